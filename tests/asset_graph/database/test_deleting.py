"""A delete moves the asset, its edges and a shot's takes to the deleted_* tables, and an undelete moves them back."""

from uuid import UUID

import asyncpg
import pytest

from tests.asset_graph.database.graph import NOBODY, Graph

EVERYTHING = (
    "SELECT id, type, name, url, duration, generation_cost, asset_metadata, etag, created_at, updated_at FROM {}"
    " WHERE workspace_id = $1 ORDER BY id"
)
EDGES = (
    "SELECT id, parent_asset_id, child_asset_id, relationship_type, sequence, metadata, created_at FROM {}"
    " WHERE workspace_id = $1 ORDER BY id"
)


async def rows(graph: Graph, statement: str, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await graph.connection.fetch(statement.format(table), graph.workspace)]


async def everything(graph: Graph) -> tuple[object, ...]:
    state = "SELECT shot_id, selected_take_id, last_attempt_number FROM {} WHERE workspace_id = $1 ORDER BY 1"
    return (
        await rows(graph, EVERYTHING, "assets"),
        await rows(graph, EDGES, "asset_relationships"),
        await rows(graph, state, "shot_state"),
    )


async def delete(graph: Graph, *assets: UUID) -> None:
    await graph.connection.execute("DELETE FROM assets WHERE id = ANY ($1)", assets)


async def undelete(graph: Graph, asset: UUID) -> int:
    found: int = await graph.connection.fetchval("SELECT shotline_undelete($1, $2)", graph.workspace, asset)
    return found


async def deleted(graph: Graph) -> list[UUID]:
    found = await graph.connection.fetch(
        "SELECT id FROM deleted_assets WHERE workspace_id = $1 ORDER BY id", graph.workspace
    )
    return [row["id"] for row in found]


async def film_with_a_shot(graph: Graph) -> tuple[UUID, UUID, list[UUID], list[UUID]]:
    """A film of three shots; the second has a character, audio, three takes with videos, the second selected."""
    film = await graph.asset("film")
    first, (shot, takes), last = await graph.asset("shot"), await graph.shot(3), await graph.asset("shot")
    for each in (first, shot, last):
        await graph.edge("contains_shot", film, each)
    await graph.edge("uses_character", shot, await graph.asset("character_ref"))
    await graph.edge("uses_audio", shot, await graph.asset("audio", cost="0.25"))
    videos = [await graph.asset("video", cost="0.50", fps=24) for _ in takes]
    for take, video in zip(takes, videos, strict=True):
        await graph.edge("generated_video", take, video)
    await graph.flag(takes[1], True)
    return film, shot, takes, videos


async def test_a_deleted_shot_takes_its_takes_and_edges_along_in_one_revision(graph: Graph) -> None:
    film, shot, takes, videos = await film_with_a_shot(graph)
    assets, edges, _ = await everything(graph)
    before = await graph.revision()
    await delete(graph, shot)
    assert await graph.revision() == before + 1
    assert await deleted(graph) == sorted([shot, *takes])
    assert {tuple(row) for row in await rows(graph, EVERYTHING, "deleted_assets")} | {
        tuple(row) for row in await rows(graph, EVERYTHING, "assets")
    } == set(assets)  # type: ignore[arg-type]
    gone = await rows(graph, EDGES, "deleted_asset_relationships")
    assert len(gone) == 1 + 1 + 1 + 3 + 3
    assert {*gone, *await rows(graph, EDGES, "asset_relationships")} == set(edges)  # type: ignore[arg-type]
    told = await graph.connection.fetch(
        "SELECT deleted_revision, deleted_with, deleted_by FROM deleted_assets WHERE workspace_id = $1", graph.workspace
    )
    assert {row["deleted_revision"] for row in told} == {before + 1}
    assert sorted(str(row["deleted_with"]) for row in told) == [*[str(shot)] * 3, "None"]
    assert await graph.connection.fetchval("SELECT count(*) FROM assets WHERE id = ANY ($1)", videos) == 3
    assert await graph.connection.fetchval("SELECT count(*) FROM shot_state WHERE shot_id = $1", shot) == 0
    assert await graph.sequences(film, "contains_shot") == [1, 3]


async def test_a_deletion_is_told(graph: Graph) -> None:
    _, shot, takes, _ = await film_with_a_shot(graph)
    before = await graph.revision()
    await delete(graph, shot)
    told = [(entity, kind, item["id"]) for _, entity, kind, items in await graph.changes(before) for item in items]
    assert sorted(str(id) for entity, kind, id in told if entity == "asset") == sorted(map(str, [shot, *takes]))
    assert len([1 for entity, _, _ in told if entity == "relationship"]) == 9
    assert {kind for _, kind, _ in told} == {"deleted"}


async def test_an_undeleted_shot_is_as_it_was(graph: Graph) -> None:
    film, shot, takes, _ = await film_with_a_shot(graph)
    before = await everything(graph)
    history = await graph.connection.fetch("SELECT * FROM selection_history WHERE shot_id = $1", shot)
    await delete(graph, shot)
    assert await undelete(graph, shot) == 4
    assert await everything(graph) == before
    assert await graph.pointed(shot) == takes[1]
    assert await deleted(graph) == []
    assert await rows(graph, EDGES, "deleted_asset_relationships") == []
    now = await graph.connection.fetch("SELECT * FROM selection_history WHERE shot_id = $1", shot)
    assert now[: len(history)] == history
    assert await undelete(graph, shot) == 0
    assert await graph.sequences(film, "contains_shot") == [1, 2, 3]


async def test_an_undeleted_shot_goes_on_counting(graph: Graph) -> None:
    shot, takes = await graph.shot(3)
    await delete(graph, takes[2])
    await delete(graph, shot)
    await undelete(graph, shot)
    assert await graph.sequences(shot, "generation_attempt") == [1, 2]
    await graph.edge("generation_attempt", shot, await graph.asset("shot_take"))
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 4]
    assert await undelete(graph, takes[2]) == 1
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 3, 4]


async def test_an_undeleted_take_does_not_take_the_selection_from_another(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    await delete(graph, first)
    await graph.flag(second, True)
    await undelete(graph, first)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (second, [second])
    assert await graph.metadata(first) == {"attempt_number": 1, "selected": False}


async def test_an_undeleted_take_is_selected_again_where_nobody_was_meanwhile(graph: Graph) -> None:
    shot, (first, _) = await graph.shot(2)
    await graph.flag(first, True)
    await delete(graph, first)
    await undelete(graph, first)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (first, [first])


async def test_of_takes_that_were_each_selected_when_they_went_the_shots_own_is(graph: Graph) -> None:
    shot, (first, second, third) = await graph.shot(3)
    await graph.flag(second, True)
    await delete(graph, second)
    await graph.flag(first, True)
    await graph.connection.execute("UPDATE assets SET name = 'still the one' WHERE id = $1", first)
    await delete(graph, shot)
    await undelete(graph, second)
    assert await undelete(graph, shot) == 3
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (first, [first])
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 3]
    assert third


async def test_of_takes_that_went_one_after_the_other_the_last_is_selected_again(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    for take in (second, first):
        await graph.flag(take, True)
        await delete(graph, take)
    await delete(graph, shot)
    for back in (first, second, shot):
        assert await undelete(graph, back) == 1
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (first, [first])


async def test_after_an_undelete_a_wish_counts_again_in_the_same_transaction(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    await delete(graph, second)
    async with graph.connection.transaction():
        await undelete(graph, second)
        await graph.edge("generation_attempt", shot, take := await graph.asset("shot_take", selected=True))
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (take, [take])


async def test_a_place_that_was_taken_meanwhile_is_kept_by_who_has_it(graph: Graph) -> None:
    film = await graph.asset("film")
    shots = await graph.assets("shot", 4)
    edges = [await graph.edge("contains_shot", film, shot) for shot in shots[:3]]
    await delete(graph, shots[1])
    await graph.edge("contains_shot", film, shots[3], 2)
    await undelete(graph, shots[1])
    found = await graph.connection.fetch(
        "SELECT child_asset_id, id FROM asset_relationships WHERE parent_asset_id = $1 ORDER BY sequence", film
    )
    assert [row["child_asset_id"] for row in found] == [shots[0], shots[3], shots[2], shots[1]]
    assert found[3]["id"] == edges[1]


@pytest.mark.parametrize("first_back", ["film", "shot"])
async def test_an_edge_comes_back_with_the_second_of_its_ends(graph: Graph, first_back: str) -> None:
    film, shot = await graph.asset("film"), await graph.asset("shot")
    await graph.edge("contains_shot", film, shot)
    await delete(graph, shot)
    await delete(graph, film)
    await undelete(graph, film if first_back == "film" else shot)
    assert await rows(graph, EDGES, "asset_relationships") == []
    await undelete(graph, shot if first_back == "film" else film)
    assert await graph.sequences(film, "contains_shot") == [1]


async def test_an_edge_stays_away_whose_take_has_another_shot_by_now(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    other, _ = await graph.shot()
    await delete(graph, shot)
    await undelete(graph, first)
    await graph.edge("generation_attempt", other, first)
    assert await undelete(graph, shot) == 2
    assert await graph.sequences(shot, "generation_attempt") == [2]
    assert await graph.sequences(other, "generation_attempt") == [1]
    assert len(await rows(graph, EDGES, "deleted_asset_relationships")) == 1
    assert await graph.connection.fetchval("SELECT count(*) FROM assets WHERE id = $1", second) == 1


async def test_an_edge_stays_away_whose_take_has_another_video_by_now(graph: Graph) -> None:
    take, video, other = await graph.asset("shot_take"), await graph.asset("video"), await graph.asset("video")
    await graph.edge("generated_video", take, video)
    await delete(graph, video)
    await graph.edge("generated_video", take, other)
    assert await undelete(graph, video) == 1
    assert (
        await graph.connection.fetchval(
            "SELECT child_asset_id FROM asset_relationships WHERE parent_asset_id = $1", take
        )
        == other
    )


async def test_of_two_edges_of_one_place_the_one_deleted_last_keeps_it(graph: Graph) -> None:
    shot, first, second = await graph.asset("shot"), await graph.asset("audio"), await graph.asset("audio")
    await graph.edge("uses_audio", shot, first)
    await delete(graph, first)
    await graph.edge("uses_audio", shot, second)
    await delete(graph, shot)
    await undelete(graph, first)
    assert await undelete(graph, shot) == 1
    found = await graph.connection.fetch(
        "SELECT child_asset_id, sequence FROM asset_relationships WHERE parent_asset_id = $1 ORDER BY sequence", shot
    )
    assert [tuple(row) for row in found] == [(second, 1), (first, 2)]


async def test_of_two_videos_of_a_take_the_one_deleted_last_comes_back(graph: Graph) -> None:
    take, videos = await graph.asset("shot_take"), [await graph.asset("video") for _ in range(2)]
    for video in videos:
        await graph.edge("generated_video", take, video)
        await delete(graph, video)
    await delete(graph, take)
    for back in (*videos, take):
        assert await undelete(graph, back) == 1
    assert [edge[2] for edge in await rows(graph, EDGES, "asset_relationships")] == [videos[1]]


async def test_of_two_shots_of_a_take_the_one_deleted_last_gets_it_back(graph: Graph) -> None:
    first, (take,) = await graph.shot(1)
    second, _ = await graph.shot()
    await delete(graph, first)
    await undelete(graph, take)
    await graph.edge("generation_attempt", second, take)
    await delete(graph, second)
    assert await undelete(graph, first) == 1
    assert await undelete(graph, second) == 2
    assert [edge[1] for edge in await rows(graph, EDGES, "asset_relationships")] == [second]
    await delete(graph, first)
    await undelete(graph, first)
    away = await graph.connection.fetchval(
        "SELECT cascaded FROM deleted_asset_relationships WHERE parent_asset_id = $1", first
    )
    assert away is False, "what could not come back counts as unlinked from then on"


async def test_an_attempt_whose_number_was_taken_gets_the_next(graph: Graph) -> None:
    shot, (_, second, third) = await graph.shot(3)
    await delete(graph, second)
    await graph.edge("generation_attempt", shot, other := await graph.asset("shot_take"), 2)
    assert await undelete(graph, second) == 1
    assert await graph.sequences(shot, "generation_attempt") == [1, 2, 3, 4]
    assert [(await graph.metadata(take))["attempt_number"] for take in (other, third, second)] == [2, 3, 4]


async def test_an_edge_that_would_close_a_cycle_stays_away_and_the_others_come_back(graph: Graph) -> None:
    first, second, third, leaf = await graph.assets("scene", 4)
    await graph.edge("contains_scene", first, second)
    await graph.edge("contains_scene", second, third)
    await graph.edge("contains_scene", second, leaf)
    await delete(graph, second)
    await graph.edge("contains_scene", third, first)
    assert await undelete(graph, second) == 1
    found = {(edge[1], edge[2]) for edge in await rows(graph, EDGES, "asset_relationships")}
    assert (second, leaf) in found
    assert (third, first) in found
    assert len(found) == 3, "one of the two edges that would close it together stays away"


async def test_an_id_may_be_used_and_deleted_again(graph: Graph) -> None:
    shot, _ = await graph.shot(1)
    insert = "INSERT INTO assets (id, workspace_id, type, name) VALUES ($1, $2, 'shot', $3)"
    for name in ("again", "and again"):
        await delete(graph, shot)
        await graph.connection.execute(insert, shot, graph.workspace, name)
        assert await undelete(graph, shot) == 0, "it lives"
        await graph.edge("generation_attempt", shot, await graph.asset("shot_take"))
    await delete(graph, shot)
    assert await undelete(graph, shot) == 2
    assert await graph.connection.fetchval("SELECT name FROM assets WHERE id = $1", shot) == "and again"


async def test_whoever_pretends_to_undelete_cannot_part_flag_and_pointer(graph: Graph) -> None:
    shot, (first, second) = await graph.shot(2)
    await graph.flag(first, True)
    async with graph.connection.transaction():
        await graph.connection.execute("SELECT set_config('shotline.undeleting', 'on', true)")
        await graph.flag(first, False)
        await graph.flag(second, True)
    assert (await graph.pointed(shot), await graph.flagged(shot)) == (first, [first])


async def test_an_edge_that_was_unlinked_does_not_come_back(graph: Graph) -> None:
    shot, character = await graph.asset("shot"), await graph.asset("character_ref")
    edge = await graph.edge("uses_character", shot, character)
    await graph.connection.execute("DELETE FROM asset_relationships WHERE id = $1", edge)
    await delete(graph, shot)
    await undelete(graph, shot)
    assert await graph.sequences(shot, "uses_character") == []
    kept = await graph.connection.fetchrow("SELECT id, cascaded FROM deleted_asset_relationships WHERE id = $1", edge)
    assert dict(kept or {}) == {"id": edge, "cascaded": False}


async def test_a_take_that_lost_its_shot_lives_and_one_that_was_deleted_before_stays_deleted(graph: Graph) -> None:
    shot, (first, second, third) = await graph.shot(3)
    await graph.connection.execute("DELETE FROM asset_relationships WHERE child_asset_id = $1", first)
    await delete(graph, second)
    await delete(graph, shot)
    assert await deleted(graph) == sorted([shot, second, third])
    assert await undelete(graph, shot) == 2
    assert await deleted(graph) == [second]


async def test_many_assets_at_once(graph: Graph) -> None:
    shots = [await graph.shot(3) for _ in range(20)]
    before = await everything(graph)
    await delete(graph, *[shot for shot, _ in shots], *[takes[0] for _, takes in shots])
    assert await everything(graph) == ([], [], [])
    for shot, takes in shots:
        assert await undelete(graph, shot) == 3
        assert await undelete(graph, takes[0]) == 1
    assert await everything(graph) == before


async def test_what_was_never_there_does_not_come_back(graph: Graph) -> None:
    before = await graph.revision()
    assert await undelete(graph, NOBODY) == 0
    assert await undelete(graph, await graph.asset("shot")) == 0
    assert await graph.revision() == before + 1


async def test_what_spent_money_keeps_it_in_the_deleted_tables(graph: Graph) -> None:
    _, shot, _, videos = await film_with_a_shot(graph)
    await delete(graph, shot, *videos)
    total = await graph.connection.fetchval(
        "SELECT sum(generation_cost)::text FROM deleted_assets WHERE workspace_id = $1", graph.workspace
    )
    assert total == "1.50"


async def test_an_error_in_the_middle_leaves_everything(graph: Graph) -> None:
    _, shot, _, _ = await film_with_a_shot(graph)
    before = await everything(graph)
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with graph.connection.transaction():
            await delete(graph, shot)
            await graph.connection.execute("SELECT 1 / 0")
    assert await everything(graph) == before
    assert await deleted(graph) == []
