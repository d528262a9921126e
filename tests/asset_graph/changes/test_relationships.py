"""Relationships: once each, in order, without cycles, and moved by as few rows as can be."""

import asyncio
import random
from uuid import uuid4

import asyncpg
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.kernel.faults import Fault
from tests.asset_graph.changes.graph import (
    NOWHERE,
    children,
    everything,
    made,
    refused,
    related,
    shot_with_takes,
)
from tests.asset_graph.reads.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_duplicate_is_an_error_of_create_and_no_change_of_link(
    client: Client, operator: asyncpg.Connection
) -> None:
    shot, hero = await made(client, "shot"), await made(client, "character_ref")
    first = await client.LinkShotAssets(shot_id=shot, links={"characters": [hero, hero]})
    assert (first.created_count, len(first.relationships)) == (1, 1)
    before = await everything(operator)
    again = await client.LinkShotAssets(shot_id=shot, links={"characters": [hero]})
    assert (again.created_count, again.revision, list(again.relationships)) == (0, 0, list(first.relationships))
    fault = await refused(related(client, shot, hero, "uses_character"), "ALREADY_EXISTS", "RELATIONSHIP_EXISTS")
    assert fault.metadata["relationship_id"] == first.relationships[0].id
    assert await everything(operator) == before


async def test_many_links_of_one_asset_at_once_are_one(client: Client, operator: asyncpg.Connection) -> None:
    shot, hero = await made(client, "shot"), await made(client, "character_ref")
    answers = await asyncio.gather(
        *(client.LinkShotAssets(shot_id=shot, links={"characters": [hero]}) for _ in range(8)),
    )
    assert sum(answer.created_count for answer in answers) == 1
    assert await children(operator, shot, "uses_character") == [(hero, None)]
    results = await asyncio.gather(
        *(related(client, shot, hero, "uses_asset") for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Fault) for each in results) == 7


async def test_one_link_that_fails_leaves_none_of_the_call(client: Client, operator: asyncpg.Connection) -> None:
    shot, hero, song = await made(client, "shot"), await made(client, "character_ref"), await made(client, "audio")
    before = await everything(operator)
    wrong_type = ("INVALID_ARGUMENT", "RELATIONSHIP_TYPE_MISMATCH")
    for links, refusal in (
        ({"characters": [hero], "audios": [song, hero]}, wrong_type),
        ({"characters": [hero], "assets": [NOWHERE]}, ("NOT_FOUND", "ASSET_NOT_FOUND")),
        ({"characters": [hero], "scripts": [shot]}, ("INVALID_ARGUMENT", "INVALID_FIELD")),
    ):
        await refused(client.LinkShotAssets(shot_id=shot, links=links), *refusal)
        refusal = wrong_type if "scripts" in links else refusal
        await refused(client.CreateShot(workspace_id=client.workspace, name="new", links=links), *refusal)
    assert await everything(operator) == before


async def test_numbers_go_on_over_several_calls(client: Client, operator: asyncpg.Connection) -> None:
    shot = await made(client, "shot")
    songs = [await made(client, "audio") for _ in range(6)]
    await client.LinkShotAssets(shot_id=shot, links={"audios": songs[:2]})
    await client.LinkShotAssets(shot_id=shot, links={"audios": [songs[1], *songs[2:4]]})
    await client.UnlinkShotAssets(shot_id=shot, links={"audios": [songs[0], songs[5]]})
    answer = await client.LinkShotAssets(shot_id=shot, links={"audios": songs[4:]})
    assert [each.sequence for each in answer.relationships] == [5, 6]
    assert await children(operator, shot, "uses_audio") == list(zip(songs[1:], range(2, 7), strict=True))


async def test_concurrent_links_get_numbers_of_their_own(client: Client, operator: asyncpg.Connection) -> None:
    shot = await made(client, "shot")
    songs = [await made(client, "audio") for _ in range(16)]
    await asyncio.gather(
        *(client.LinkShotAssets(shot_id=shot, links={"audios": songs[at : at + 2]}) for at in range(0, 16, 2))
    )
    assert [number for _, number in await children(operator, shot, "uses_audio")] == list(range(1, 17))


async def test_a_number_is_taken_once(client: Client) -> None:
    film = await made(client, "film")
    shots = [await made(client, "shot") for _ in range(3)]
    assert (await related(client, film, shots[0], "contains_shot", sequence=7)).sequence == 7
    await refused(related(client, film, shots[1], "contains_shot", sequence=7), "ALREADY_EXISTS", "SEQUENCE_TAKEN")
    assert (await related(client, film, shots[1], "contains_shot")).sequence == 8
    assert not (await related(client, shots[2], await made(client, "text"), "uses_script")).HasField("sequence")


async def test_a_cycle_is_refused_with_its_way(client: Client) -> None:
    a, b, c = [await made(client, "scene") for _ in range(3)]
    await related(client, a, b, "contains_scene")
    await related(client, b, c, "contains_scene")
    fault = await refused(related(client, c, a, "contains_scene"), "FAILED_PRECONDITION", "CYCLE")
    assert fault.metadata["path"] == f"{c},{a},{b},{c}"


@pytest.mark.parametrize("kind", ["contains_scene", "derived_from", "variant_of"])
async def test_edges_made_at_once_close_no_cycle(client: Client, operator: asyncpg.Connection, kind: str) -> None:
    nodes = [await made(client, "video" if kind == "derived_from" else "scene") for _ in range(8)]

    async def connect(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            try:
                await related(client, *chance.sample(nodes, 2), kind)
            except Fault as fault:
                if fault.reason not in ("CYCLE", "RELATIONSHIP_EXISTS"):
                    raise

    await asyncio.gather(*map(connect, range(8)))
    below: dict[str, set[str]] = {node: set() for node in nodes}
    for parent in nodes:
        below[parent] = {child for child, _ in await children(operator, parent, kind)}
    assert sum(map(len, below.values())) > 8
    while ends := [node for node, under in below.items() if not under]:
        for end in ends:
            del below[end]
        for under in below.values():
            under.difference_update(ends)
    assert not below


def key(parent: str, child: str, kind: str = "contains_shot") -> pb.RelationshipKey:
    return pb.RelationshipKey(parent_asset_id=parent, child_asset_id=child, relationship_type=kind)


async def test_a_move_rewrites_the_rows_between_the_two_places_only(
    client: Client, operator: asyncpg.Connection
) -> None:
    film = await made(client, "film")
    shots = [await made(client, "shot") for _ in range(7)]
    numbers = [1, 2, 4, 7, 8, 20, 21]
    for shot, number in zip(shots, numbers, strict=True):
        await related(client, film, shot, "contains_shot", sequence=number)
    chance = random.Random(4)
    for _ in range(40):
        order = [child for child, _ in await children(operator, film, "contains_shot")]
        moved, other = chance.sample(order, 2)
        rest = [each for each in order if each != moved]
        beside = rest.index(other)
        place, at = chance.choice(
            [
                ({"position": chance.randint(1, 7)}, None),
                ({"after_child_asset_id": other}, beside + 1),
                ({"before_child_asset_id": other}, beside),
                ({"position": 1000}, 6),
            ]
        )
        at = int(place["position"]) - 1 if at is None else at
        wanted = [*rest[:at], moved, *rest[at:]]
        rows = "SELECT child_asset_id, xmin::text FROM asset_relationships WHERE parent_asset_id = $1"
        versions = {str(row[0]): row[1] for row in await operator.fetch(rows, film)}
        answer = await client.MoveRelationship(key=key(film, moved), **place)
        after = await children(operator, film, "contains_shot")
        assert after == list(zip(wanted, numbers, strict=True))
        assert answer.sequence == dict(after)[moved]
        assert (answer.revision > 0) == (wanted != order)
        rewritten = {str(row[0]) for row in await operator.fetch(rows, film) if versions[str(row[0])] != row[1]}
        assert rewritten == {old for old, new in zip(order, wanted, strict=True) if old != new}


async def test_what_cannot_be_moved(client: Client) -> None:
    shot, (take, other) = await shot_with_takes(client, 2)
    hero = await made(client, "character_ref")
    await client.LinkShotAssets(shot_id=shot, links={"characters": [hero]})
    for child, kind in ((take, "generation_attempt"), (hero, "uses_character")):
        await refused(
            client.MoveRelationship(key=key(shot, child, kind), position=1), "FAILED_PRECONDITION", "NOT_ORDERED"
        )
    film = await made(client, "film")
    await refused(client.MoveRelationship(key=key(film, shot), position=1), "NOT_FOUND", "RELATIONSHIP_NOT_FOUND")
    await refused(client.MoveRelationship(key=key(NOWHERE, shot), position=1), "NOT_FOUND", "RELATIONSHIP_NOT_FOUND")
    await related(client, film, shot, "contains_shot")
    await refused(
        client.MoveRelationship(key=key(film, shot), after_child_asset_id=other),
        "NOT_FOUND",
        "RELATIONSHIP_NOT_FOUND",
    )
    await refused(
        client.MoveRelationship(key=key(film, shot), after_child_asset_id=shot), "INVALID_ARGUMENT", "INVALID_FIELD"
    )


async def test_an_ended_relationship_is_gone(client: Client, operator: asyncpg.Connection) -> None:
    film, shot = await made(client, "film"), await made(client, "shot")
    await related(client, film, shot, "contains_shot")
    ended = await client.DeleteRelationship(key=key(film, shot))
    assert ended.revision == 4
    await refused(client.DeleteRelationship(key=key(film, shot)), "NOT_FOUND", "RELATIONSHIP_NOT_FOUND")
    await refused(client.DeleteRelationship(key=key(NOWHERE, shot)), "NOT_FOUND", "RELATIONSHIP_NOT_FOUND")
    assert await children(operator, film, "contains_shot") == []
    assert (await client.GetAsset(id=shot)).id == shot


async def test_unlinking_what_is_not_linked_changes_nothing(client: Client, operator: asyncpg.Connection) -> None:
    shot, hero = await made(client, "shot"), await made(client, "character_ref")
    before = await everything(operator)
    answer = await client.UnlinkShotAssets(shot_id=shot, links={"characters": [hero, str(uuid4())]})
    assert (answer.deleted_count, answer.revision) == (0, 0)
    assert await everything(operator) == before
