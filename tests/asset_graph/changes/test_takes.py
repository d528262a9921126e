"""Takes and their selection, through every method that can change them."""

import asyncio
import json
import random

import asyncpg
import pytest

from services.kernel.faults import Fault
from tests.asset_graph.changes.graph import (
    NOWHERE,
    children,
    made,
    refused,
    related,
    revision,
    selected,
    shot_with_takes,
)
from tests.asset_graph.reads.serving import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_attempt_numbers_are_unique_and_without_gaps(client: Client, operator: asyncpg.Connection) -> None:
    shot = await made(client, "shot")

    async def create() -> list[int]:
        return [(await client.CreateShotTake(shot_id=shot)).attempt_number for _ in range(50)]

    numbers = await asyncio.gather(*(create() for _ in range(8)))
    assert sorted(number for each in numbers for number in each) == list(range(1, 401))
    assert all(each == sorted(each) for each in numbers)
    rows = await operator.fetch(
        "SELECT r.sequence, a.asset_metadata->'attempt_number' FROM asset_relationships r"
        " JOIN assets a ON a.id = r.child_asset_id WHERE r.parent_asset_id = $1 ORDER BY 1",
        shot,
    )
    assert [(row[0], int(row[1])) for row in rows] == [(number, number) for number in range(1, 401)]


async def test_a_take_has_what_was_said_of_it(client: Client) -> None:
    shot = await client.CreateShot(workspace_id=client.workspace, name="Harbour")
    take = await client.CreateShotTake(
        shot_id=shot.id,
        attempt_number=3,
        selected=True,
        generation_params_json='{"provider": "minimax", "seed": 12345}',
        quality_score=8.5,
        director_notes="Perfect",
        generation_cost="0.50",
        metadata_json='{"attempt_number": 9, "lens": "35mm"}',
    )
    assert json.loads(take.asset.metadata_json) == {
        "attempt_number": 3,
        "selected": True,
        "generation_params": {"provider": "minimax", "seed": 12345},
        "quality_score": 8.5,
        "director_notes": "Perfect",
        "lens": "35mm",
    }
    assert (take.asset.name, take.shot_id, take.attempt_number) == ("Harbour - Take 3", shot.id, 3)
    assert take.selected
    assert (await client.CreateShotTake(shot_id=shot.id)).attempt_number == 4
    assert (await client.CreateShotTake(shot_id=shot.id, attempt_number=1)).attempt_number == 1
    fault = await refused(client.CreateShotTake(shot_id=shot.id, attempt_number=3), "ALREADY_EXISTS", "ATTEMPT_EXISTS")
    assert fault.metadata["last_attempt_number"] == "4"
    stored = await client.GetAsset(id=take.asset.id)
    assert stored.etag == take.asset.etag


async def test_the_number_of_a_deleted_take_is_not_used_again(client: Client) -> None:
    shot, takes = await shot_with_takes(client, 2)
    await client.DeleteAsset(id=takes[1])
    await refused(client.CreateShotTake(shot_id=shot, attempt_number=2), "ALREADY_EXISTS", "ATTEMPT_EXISTS")
    assert (await client.CreateShotTake(shot_id=shot)).attempt_number == 3
    back = await client.UndeleteAsset(id=takes[1])
    assert json.loads(back.metadata_json)["attempt_number"] == 2


async def test_a_take_that_was_made_as_an_asset_gets_its_place(client: Client, operator: asyncpg.Connection) -> None:
    shot, (first,) = await shot_with_takes(client, 1)
    await client.SelectTake(shot_id=shot, take_id=first)
    wishes = await made(client, "shot_take", metadata={"attempt_number": 5, "selected": True})
    plain = await made(client, "shot_take")
    wrong = await made(client, "shot_take", metadata={"attempt_number": 1})
    assert (await related(client, shot, wishes, "generation_attempt")).sequence == 5
    assert (await related(client, shot, plain, "generation_attempt")).sequence == 6
    assert await selected(operator, shot) == ([wishes], wishes)
    assert json.loads((await client.GetAsset(id=plain)).metadata_json)["attempt_number"] == 6
    await refused(related(client, shot, wrong, "generation_attempt"), "ALREADY_EXISTS", "SEQUENCE_TAKEN")
    await refused(
        related(client, shot, wrong, "generation_attempt", sequence=9), "INVALID_ARGUMENT", "ATTEMPT_NUMBER_MISMATCH"
    )
    other = await made(client, "shot")
    await refused(related(client, other, plain, "generation_attempt"), "ALREADY_EXISTS", "RELATIONSHIP_EXISTS")
    await refused(
        client.UpdateAsset(id=plain, metadata_json='{"attempt_number": 7}'), "INVALID_ARGUMENT", "IMMUTABLE_FIELD"
    )
    await refused(
        client.UpdateAsset(id=plain, metadata_json='{"attempt_number": null}'), "INVALID_ARGUMENT", "IMMUTABLE_FIELD"
    )


async def test_a_take_comes_back_to_its_shot_under_its_number(client: Client) -> None:
    shot, takes = await shot_with_takes(client, 2)
    edge = {"parent_asset_id": shot, "child_asset_id": takes[0], "relationship_type": "generation_attempt"}
    await client.DeleteRelationship(key=edge)
    new = await made(client, "shot_take", metadata={"attempt_number": 1})
    await refused(related(client, shot, new, "generation_attempt"), "ALREADY_EXISTS", "ATTEMPT_EXISTS")
    assert (await related(client, shot, takes[0], "generation_attempt")).sequence == 1


async def test_every_way_to_select_leaves_one(client: Client, operator: asyncpg.Connection) -> None:
    shot, takes = await shot_with_takes(client, 3)
    answer = await client.SelectTake(shot_id=shot, take_id=takes[0])
    assert (answer.take.asset.id, answer.take.attempt_number, answer.take.selected) == (takes[0], 1, True)
    assert answer.revision == await revision(operator, client.workspace)
    assert await selected(operator, shot) == ([takes[0]], takes[0])
    flipped = await client.UpdateAsset(id=takes[1], metadata_json='{"selected": true}')
    assert json.loads(flipped.metadata_json)["selected"] is True
    assert flipped.etag == (await client.GetAsset(id=takes[1])).etag
    assert await selected(operator, shot) == ([takes[1]], takes[1])
    assert json.loads((await client.GetAsset(id=takes[0])).metadata_json)["selected"] is False
    made_selected = await client.CreateShotTake(shot_id=shot, selected=True)
    assert await selected(operator, shot) == ([made_selected.asset.id], made_selected.asset.id)
    await client.UpdateAsset(id=made_selected.asset.id, metadata_json='{"selected": false}')
    assert await selected(operator, shot) == ([], None)
    await client.SelectTake(shot_id=shot, take_id=takes[2])
    await client.DeleteAsset(id=takes[2])
    assert await selected(operator, shot) == ([], None)
    history = await operator.fetch("SELECT take_id FROM selection_history WHERE shot_id = $1 ORDER BY revision", shot)
    wanted = [takes[0], takes[1], made_selected.asset.id, None, takes[2], None]
    assert [row[0] and str(row[0]) for row in history] == wanted


async def test_selecting_what_is_selected_changes_nothing(client: Client, operator: asyncpg.Connection) -> None:
    shot, (take,) = await shot_with_takes(client, 1)
    assert (await client.SelectTake(shot_id=shot)).revision == 0
    first = await client.SelectTake(shot_id=shot, take_id=take)
    again = await client.SelectTake(shot_id=shot, take_id=take, expected_take_id=take)
    assert again.revision == 0
    assert again.take == first.take
    assert await revision(operator, client.workspace) == first.revision


async def test_a_selection_that_is_not_as_expected_is_refused(client: Client, operator: asyncpg.Connection) -> None:
    shot, takes = await shot_with_takes(client, 2)
    await client.SelectTake(shot_id=shot, take_id=takes[0], expected_take_id="")
    for expected in ("", takes[1]):
        fault = await refused(
            client.SelectTake(shot_id=shot, take_id=takes[1], expected_take_id=expected), "ABORTED", "SELECTION_CHANGED"
        )
        assert fault.metadata["current_take_id"] == takes[0]
    assert await selected(operator, shot) == ([takes[0]], takes[0])


async def test_only_a_take_of_the_shot_can_be_selected(client: Client) -> None:
    shot, _ = await shot_with_takes(client, 1)
    other, (foreign,) = await shot_with_takes(client, 1)
    loose, film = await made(client, "shot_take"), await made(client, "film")
    for take in (foreign, loose, film, other):
        await refused(client.SelectTake(shot_id=shot, take_id=take), "FAILED_PRECONDITION", "NOT_A_TAKE_OF_THE_SHOT")
    await refused(client.SelectTake(shot_id=shot, take_id=NOWHERE), "NOT_FOUND", "ASSET_NOT_FOUND")
    await refused(client.SelectTake(shot_id=NOWHERE), "NOT_FOUND", "ASSET_NOT_FOUND")
    await refused(client.SelectTake(shot_id=film), "INVALID_ARGUMENT", "INVALID_FIELD")


@pytest.mark.parametrize("count", [15, pytest.param(1_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
async def test_selections_at_once_leave_exactly_one(client: Client, operator: asyncpg.Connection, count: int) -> None:
    shot, takes = await shot_with_takes(client, 4)
    looking = asyncio.Lock()

    async def select(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(count):
            take = chance.choice(takes)
            way = chance.randrange(3)
            if way == 0:
                await client.SelectTake(shot_id=shot, take_id=take)
            elif way == 1:
                await client.UpdateAsset(id=take, metadata_json='{"selected": true}')
            else:
                await client.ApplyChanges(
                    workspace_id=client.workspace, changes=[{"select_take": {"shot_id": shot, "take_id": take}}]
                )
            async with looking:
                flagged, pointer = await selected(operator, shot)
            assert len(flagged) == 1
            assert pointer is not None

    await asyncio.gather(*map(select, range(8)))
    flagged, pointer = await selected(operator, shot)
    assert flagged == [pointer]


async def test_a_take_has_one_video(client: Client, operator: asyncpg.Connection) -> None:
    shot, takes = await shot_with_takes(client, 2)
    results = await asyncio.gather(
        *(client.LinkTakeVideo(take_id=takes[0], url=f"https://example.com/{at}") for at in range(6)),
        return_exceptions=True,
    )
    videos = [each for each in results if not isinstance(each, BaseException)]
    assert len(videos) == 1
    assert all(each.reason == "RELATIONSHIP_EXISTS" for each in results if isinstance(each, Fault))
    assert videos[0].name == "Harbour - Take 1 Video"
    assert await children(operator, takes[0], "generated_video") == [(videos[0].id, None)]
    await refused(related(client, takes[1], videos[0].id, "generated_video"), "ALREADY_EXISTS", "RELATIONSHIP_EXISTS")
    await refused(client.LinkTakeVideo(take_id=shot, url="u"), "INVALID_ARGUMENT", "INVALID_FIELD")
