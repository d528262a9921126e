"""Lists of assets and of their ends: order, filters, pages."""

import json
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.storage.listing import KEY_SIZE, behind_prefix
from services.kernel.faults import Code, Fault
from tests.asset_graph.reads.films import Draft, film_of
from tests.asset_graph.reads.serving import Client, Serving

NAMES = [
    "100%", "100x", "100_", "10", "a", "a\U0010ffff", "a\U0010ffff\U0010ffff", "ab", "b", "A", "é", "e",
    "\ud7ff", "\ue000",
    "\U0001f3ac take", "\U0010ffff", "\U0010ffff\U0010ffffx", "\\", "'; DROP TABLE assets; --", "${jndi:ldap://x}",
    "<svg onload=alert(1)>", "\u202egnp.exe", "x" * 199 + "y", "x" * 200 + "y", "x" * 200 + "z", "x" * 300,
]  # fmt: skip


async def named(client: Client, *names: str, kind: str = "text") -> dict[str, str]:
    draft = Draft()
    for number, name in enumerate(names):
        draft.asset(str(number), kind, name=name)
    made = await draft.make(client)
    return {made[str(number)]: name for number, name in enumerate(names)}


async def names_of(client: Client, **fields: Any) -> list[str]:
    found: list[str] = []
    while True:
        answer = await client.ListAssets(workspace_id="a", **fields)
        found += [asset.name for asset in answer.assets]
        if not answer.next_page_token:
            return found
        fields["page_token"] = answer.next_page_token


@given(st.text(min_size=1), st.text())
@example("\U0010ffff", "\U0010ffff")
@example("a\ud7ff", "")
def test_a_prefix_is_a_range_of_code_points(prefix: str, text: str) -> None:
    """As PostgreSQL compares under the collation C: by the bytes of UTF-8, which is by code points."""
    end = behind_prefix(prefix)
    for candidate in (text, prefix + text, prefix[:-1] + text):
        inside = prefix <= candidate and (end is None or candidate < end)
        assert inside == candidate.startswith(prefix)
    if end is not None:
        end.encode()  # a lone surrogate could not be sent


async def test_names_come_back_as_they_were_and_are_found_by_each_of_their_beginnings(client: Client) -> None:
    await named(client, *NAMES)
    assert sorted(await names_of(client, order=pb.ASSET_ORDER_NAME, page_size=4)) == sorted(NAMES)
    found = await names_of(client, order=pb.ASSET_ORDER_NAME, page_size=4)
    assert [name[:KEY_SIZE] for name in found] == sorted(name[:KEY_SIZE] for name in NAMES)
    prefixes = {name[:size] for name in NAMES for size in (1, 2, 3, 200, 201, 300)} | {"%", "_", "zz", "10%"}
    for prefix in sorted(prefixes):
        for order in (pb.ASSET_ORDER_NAME, pb.ASSET_ORDER_CREATE_TIME):
            found = await names_of(client, name_prefix=prefix, order=order)
            assert sorted(found) == sorted(name for name in NAMES if name.startswith(prefix)), prefix


async def test_a_megabyte_of_a_name_is_listed_and_found(client: Client) -> None:
    name = "Ω" * (1 << 19)
    await named(client, name, "Ω", name[:-1] + "x")
    assert await names_of(client, name_prefix=name[:-1]) == [name, name[:-1] + "x"]
    assert await names_of(client, name_prefix=name) == [name]


async def test_every_order_has_every_asset_once_over_all_pages(client: Client) -> None:
    made = await named(client, *[f"n{number % 3}" for number in range(25)])
    in_order = list(made)
    for size in (1, 7, 25, 26):
        assert await client.ids("ListAssets", "assets", workspace_id="a", page_size=size) == in_order
        last_first = await client.ids(
            "ListAssets", "assets", workspace_id="a", page_size=size, order=pb.ASSET_ORDER_CREATE_TIME_DESCENDING
        )
        assert last_first == in_order[::-1]
        by_name = await client.ids("ListAssets", "assets", workspace_id="a", page_size=size, order=pb.ASSET_ORDER_NAME)
        assert by_name == sorted(in_order, key=lambda each: (made[each], each))


async def test_what_comes_and_goes_between_two_pages_shifts_nothing(client: Client) -> None:
    made = list(await named(client, *"abcdefgh"))
    first = await client.ListAssets(workspace_id="a", page_size=3)
    await client.DeleteAsset(id=made[0])
    await client.DeleteAsset(id=made[2])
    new = list(await named(client, "i"))
    rest = await client.ListAssets(workspace_id="a", page_token=first.next_page_token)
    assert [asset.id for asset in rest.assets] == made[3:] + new


async def test_filters_are_all_of_them_together(client: Client) -> None:
    draft = Draft()
    for number in range(12):
        kind = ("film", "scene", "text")[number % 3]
        metadata = json.dumps({"number": number, "tags": ["x", f"t{number % 2}"], "deep": {"a": number % 4}})
        draft.asset(f"n{number:02}", kind, metadata_json=metadata)
    ids = await draft.make(client)

    async def found(**fields: Any) -> list[str]:
        return [asset.name for asset in (await client.ListAssets(workspace_id="a", **fields)).assets]

    assert await found(types=["film"]) == ["n00", "n03", "n06", "n09"]
    assert await found(types=["script", "film", "text"], name_prefix="n0") == [
        "n00",
        "n02",
        "n03",
        "n05",
        "n06",
        "n08",
        "n09",
    ]
    assert await found(metadata_contains_json='{"tags": ["t1"]}', types=["scene"]) == ["n01", "n07"]
    assert await found(metadata_contains_json='{"deep": {"a": 3}}') == ["n03", "n07", "n11"]
    assert await found(metadata_contains_json='{"number": 3.0}') == ["n03"]
    assert await found(metadata_contains_json="{}", types=["shot"]) == []
    made = (await client.GetAsset(id=ids["n00"])).create_time
    later = Timestamp()
    later.FromDatetime(made.ToDatetime() + timedelta(microseconds=1))
    assert len(await found(created_from=made)) == 12
    assert await found(created_from=later) == []
    assert await found(created_before=made) == []
    assert len(await found(created_before=later, created_from=made)) == 12


async def test_a_page_is_cut_at_three_mebibytes_and_the_rest_follows(client: Client) -> None:
    large = json.dumps(
        {"text": "".join(chr(0x4E00 + number % 20_000) for number in range(400_000))}, ensure_ascii=False
    )
    draft = Draft()
    for number in range(4):
        draft.asset(f"n{number}", "text", metadata_json=large)
        draft.asset(f"s{number}", "shot")
        draft.edge(f"s{number}", "uses_script", f"n{number}")
    ids = await draft.make(client)
    first = await client.ListAssets(workspace_id="a", types=["text"])
    assert 1 <= len(first.assets) <= 3
    assert first.ByteSize() < 3.1 * 1024 * 1024
    texts = [ids[f"n{number}"] for number in range(4)]
    assert await client.ids("ListAssets", "assets", workspace_id="a", types=["text"]) == texts
    for each in texts:
        await client.DeleteAsset(id=each)
    deleted = await client.ListDeletedAssets(workspace_id="a")
    assert len(deleted.assets) == len(first.assets)
    assert await client.ids("ListDeletedAssets", "assets", workspace_id="a") == texts[::-1]


async def test_what_compresses_well_is_cut_as_well(server: Serving) -> None:
    """The database counts what it stores, which is far less than what travels."""
    await server.sql(large_texts(8, 500_000))
    first = await server.client.ListAssets(workspace_id="default")
    assert len(first.assets) == 6
    everything = await server.client.ids("ListAssets", "assets", workspace_id="default")
    assert len(set(everything)) == 8
    assert len((await server.client.BatchGetAssets(ids=everything)).assets) == 8


async def test_one_asset_larger_than_a_page_is_a_page(server: Serving) -> None:
    await server.sql(large_texts(3, 4_000_000))
    first = await server.client.ListAssets(workspace_id="default")
    assert len(first.assets) == 1
    assert len(await server.client.ids("ListAssets", "assets", workspace_id="default")) == 3


async def test_assets_too_large_for_one_answer_are_refused_by_name(server: Serving) -> None:
    """Those that the database sees to be so, and those that only travel so."""
    mixed = "(SELECT string_agg(md5(k::text), '') FROM generate_series(1, 130000) k)"
    find = "SELECT id::text FROM assets ORDER BY created_at"
    rows = await server.sql(large_texts(9, 4_000_000), large_texts(9, 4_000_000, mixed), find)
    ids = [row["id"] for row in rows]
    for nine in (ids[:9], ids[9:]):
        with pytest.raises(Fault) as caught:
            await server.client.BatchGetAssets(ids=nine)
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert len((await server.client.BatchGetAssets(ids=ids[8:10])).assets) == 2


def large_texts(number: int, size: int, text: str = "") -> str:
    text = text or f"repeat('x', {size})"
    return (
        "INSERT INTO assets (workspace_id, type, name, asset_metadata) "
        f"SELECT 'default', 'text', n::text, jsonb_build_object('text', {text}) "
        f"FROM generate_series(1, {number}) n"
    )


async def test_many_assets_by_id_come_in_the_order_asked_and_the_others_are_named(client: Client) -> None:
    a, b, c = await named(client, "a", "b", "c")
    nowhere = "00000000-0000-7000-8000-000000000000"
    answer = await client.BatchGetAssets(ids=[c, nowhere, a.upper(), c, b])
    assert [asset.id for asset in answer.assets] == [c, a, b]
    assert answer.missing_ids == [nowhere]
    assert answer.assets[1] == await client.GetAsset(id=a)


async def test_children_stand_by_type_then_sequence_then_as_they_were_made(client: Client) -> None:
    draft = Draft()
    shot = draft.asset("shot", "shot")
    for name in ("c1", "c2", "c3", "c4"):
        draft.asset(name, "character_ref")
    for name in ("a1", "a2", "a3"):
        draft.asset(name, "audio")
    draft.asset("t", "text")
    draft.edge(shot, "uses_character", "c4")
    draft.edge(shot, "uses_character", "c1", 7)
    draft.edge(shot, "uses_character", "c3")
    draft.edge(shot, "uses_character", "c2", 2)
    for name in ("a3", "a1", "a2"):
        draft.edge(shot, "uses_audio", name)
    draft.edge(shot, "uses_asset", "a1")
    draft.edge(shot, "uses_script", "t")
    ids = await draft.make(client)
    names = {value: key for key, value in ids.items()}

    async def children(**fields: Any) -> list[str]:
        found = await client.ids("ListChildren", "children", parent_asset_id=ids["shot"], **fields)
        return [names[each] for each in found]

    for size in range(1, 11):
        expected = ["a1", "a3", "a1", "a2", "c2", "c1", "c4", "c3", "t"]
        assert await children(page_size=size) == expected
        assert await children(page_size=size, relationship_type="uses_character") == ["c2", "c1", "c4", "c3"]
        assert await children(page_size=size, asset_type="audio") == ["a1", "a3", "a1", "a2"]
    assert await children(asset_type="script") == ["t"]
    assert await children(relationship_type="uses_script", asset_type="audio") == []
    answer = await client.ListChildren(parent_asset_id=ids["shot"], relationship_type="uses_audio")
    assert [child.sequence for child in answer.children] == [1, 2, 3]
    assert not (await client.ListChildren(parent_asset_id=ids["shot"])).children[-1].HasField("sequence")


async def test_which_shots_use_a_character(client: Client) -> None:
    draft = Draft()
    draft.asset("hero", "character_ref")
    for number in range(9):
        draft.asset(f"s{number}", "shot")
    for number in (3, 1, 4, 0, 5):
        draft.edge(f"s{number}", "uses_character", "hero")
    draft.edge("s1", "uses_asset", "hero")
    ids = await draft.make(client)
    for size in (1, 2, 5, 6):
        parents = await client.ids("ListParents", "parents", child_asset_id=ids["hero"], page_size=size)
        assert parents == [ids[f"s{number}"] for number in (1, 3, 1, 4, 0, 5)]
    found = await client.ListParents(child_asset_id=ids["hero"], relationship_type="uses_character", asset_type="shot")
    assert [parent.asset.name for parent in found.parents] == ["s3", "s1", "s4", "s0", "s5"]
    assert not (await client.ListParents(child_asset_id=ids["hero"], asset_type="film")).parents


async def test_a_relationship_brings_its_metadata(client: Client) -> None:
    draft = Draft()
    draft.asset("s", "shot")
    draft.asset("c", "character_ref")
    ids = await draft.make(client)
    await client.CreateRelationship(
        parent_asset_id=ids["s"],
        child_asset_id=ids["c"],
        relationship_type="uses_character",
        metadata_json='{"mood": "tense"}',
    )
    (child,) = (await client.ListChildren(parent_asset_id=ids["s"])).children
    assert json.loads(child.relationship_metadata_json) == {"mood": "tense"}


async def test_deleted_assets_stand_the_last_deleted_first_and_leave_when_they_come_back(client: Client) -> None:
    made = list(await named(client, *"abcde"))
    for each in made:
        answer = await client.DeleteAsset(id=each)
    for size in (1, 2, 6):
        assert await client.ids("ListDeletedAssets", "assets", workspace_id="a", page_size=size) == made[::-1]
    (first, *_) = (await client.ListDeletedAssets(workspace_id="a", page_size=1)).assets
    assert (first.asset.name, first.revision, first.deleted_by) == ("e", answer.revision, "operator")
    assert first.delete_time.ToSeconds() >= first.asset.create_time.ToSeconds()
    await client.UndeleteAsset(id=made[2])
    assert await client.ids("ListDeletedAssets", "assets", workspace_id="a") == [made[4], made[3], made[1], made[0]]


async def test_a_page_token_belongs_to_its_query(client: Client) -> None:
    await named(client, *"abcde", kind="scene")
    token = (await client.ListAssets(workspace_id="a", page_size=2)).next_page_token
    for fields in ({"types": ["scene"]}, {"order": pb.ASSET_ORDER_NAME}, {"name_prefix": "a"}, {"workspace_id": "b"}):
        with pytest.raises(Fault) as caught:
            await client.ListAssets(**{"workspace_id": "a", "page_token": token, **fields})
        assert caught.value.fields.keys() == {"page_token"}
    assert len((await client.ListAssets(workspace_id="a", page_size=1, page_token=token)).assets) == 1
    with pytest.raises(Fault):
        await client.ListDeletedAssets(workspace_id="a", page_token=token)


async def test_a_filter_sees_only_what_the_caller_may(server: Serving) -> None:
    """Inside SQL and before the limit: what is another's takes no place on a page."""
    for workspace in ("b", "a"):
        await film_of(server.client, [f"s{number}" for number in range(5)], workspace)
    page = await server.anne.ListAssets(workspace_id="a", types=["shot"], page_size=5)
    assert len(page.assets) == 5
    assert {asset.workspace_id for asset in page.assets} == {"a"}
    assert not page.next_page_token
