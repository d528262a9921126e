"""The Python examples of seeds 002 and 004, read from the documents and run as they are printed.

What is put in their place: the import line; ids, by assets of the right types; the placeholders `{...}` and
`take2_id = ...`. Each block under "Best Practices" gets a shot of its own.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from shotline.client import AssetService

from tests.asset_graph.sdk.documents import blocks, replaced, run
from tests.asset_graph.sdk.graphs import TOKEN, Graph
from tests.given import seed

CHARACTERS = (
    "hero_character_id",
    "villain_character_id",
    "sidekick_character_id",
)
AUDIOS = (
    "dialogue_audio_id",
    "background_music_id",
    "sound_effects_id",
    "hero_dialogue_id",
    "villain_dialogue_id",
    "rain_sound_fx_id",
    "ambient_sounds_id",
    "dialogue_id",
)
SCRIPTS = (
    "dialogue_script_id",
    "stage_directions_id",
    "camera_notes_id",
    "blocking_script_id",
    "english_script_id",
    "spanish_script_id",
    "director_notes_id",
)
TAKE_2 = """\
take2_id = await asset_service.create_asset(
    workspace_id="ws-123",
    asset_type="shot_take",
    name="Shot 01A - Take 2",
    metadata={"attempt_number": 2, "selected": False},
    generation_cost=0.50,
)
video2_id = await asset_service.create_asset(
    workspace_id="ws-123", asset_type="video", name="Shot 01A - Take 2 Video", url="https://cdn.example.com/video2.mp4"
)
await asset_service.create_relationship(
    parent_asset_id=shot_id, child_asset_id=take2_id, relationship_type="generation_attempt", sequence=2
)
await asset_service.create_relationship(
    parent_asset_id=take2_id, child_asset_id=video2_id, relationship_type="generated_video"
)
"""


async def cast_of(service: AssetService, workspace_id: str) -> dict[str, Any]:
    """An asset of the right type for each id that the documents name."""
    kinds = {"character_ref": CHARACTERS, "audio": AUDIOS, "script": SCRIPTS}
    return {
        name: await service.create_asset(workspace_id, kind, name.removesuffix("_id"))
        for kind, names in kinds.items()
        for name in names
    }


async def links(rows: asyncpg.Connection, shot_id: str) -> dict[str, list[tuple[int | None, str]]]:
    """What a shot is linked to: by type, the sequence and the name of each, in the order of the seed's own SQL."""
    found: dict[str, list[tuple[int | None, str]]] = {}
    for row in await rows.fetch(
        "SELECT r.relationship_type, r.sequence, a.name"
        " FROM asset_relationships r JOIN assets a ON a.id = r.child_asset_id"
        " WHERE r.parent_asset_id = $1 ORDER BY r.relationship_type, r.sequence NULLS LAST, r.id",
        UUID(shot_id),
    ):
        found.setdefault(row["relationship_type"], []).append((row["sequence"], row["name"]))
    return found


def here(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOTLINE_ADDRESS", graph.address)
    monkeypatch.setenv("SHOTLINE_TOKEN", TOKEN)


async def test_the_examples_of_seed_002(
    graph: Graph,
    service: AssetService,
    rows: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here(graph, monkeypatch)
    found = blocks(seed("002"))
    by_heading = {
        heading: [code for other, code in found if other == heading] for heading in dict.fromkeys(h for h, _ in found)
    }
    assert {heading: len(codes) for heading, codes in by_heading.items()} == {
        "Asset Relationship Types": 3,
        "Complete Shot Creation Example": 1,
        "Querying Shot Assets": 5,
        "Best Practices": 4,
    }
    names: dict[str, Any] = {"db": None, "UUID": UUID, **await cast_of(service, "workspace-123")}

    (complete,) = by_heading["Complete Shot Creation Example"]
    importing = {"from services.asset_service import AssetService": "from shotline.client import AssetService"}
    await run(replaced(complete, importing), names)

    shot = await rows.fetchrow("SELECT * FROM assets WHERE id = $1", UUID(names["shot_id"]))
    assert (shot["workspace_id"], shot["type"], shot["name"]) == ("workspace-123", "shot", "Scene 3 - Confrontation")
    description = await service.get_asset(names["shot_id"])
    assert description["asset_metadata"] == {
        "shot_number": "03A",
        "description": "Hero confronts villain in the alley",
        "camera_angle": "medium two-shot",
        "duration_target": 8.0,
        "prompt": "Cinematic medium shot, hero and villain facing each other in dark alley",
    }
    there = await links(rows, names["shot_id"])
    assert [name for _, name in there["uses_character"]] == ["hero_character", "villain_character"]
    assert there["uses_audio"] == [
        (1, "hero_dialogue"),
        (2, "villain_dialogue"),
        (3, "background_music"),
        (4, "rain_sound_fx"),
    ]
    assert [name for _, name in there["uses_script"]] == ["dialogue_script", "blocking_script"]
    assert [sequence for sequence, _ in there["generation_attempt"]] == [1, 2]
    takes = await rows.fetch(
        "SELECT take.id, take.asset_metadata->>'selected' AS selected, take.generation_cost, video.id AS video,"
        " video.url, video.duration, video.asset_metadata->>'fps' AS fps FROM asset_relationships rt"
        " JOIN assets take ON take.id = rt.child_asset_id"
        " JOIN asset_relationships rv ON rv.parent_asset_id = take.id AND rv.relationship_type = 'generated_video'"
        " JOIN assets video ON video.id = rv.child_asset_id"
        " WHERE rt.parent_asset_id = $1 AND rt.relationship_type = 'generation_attempt' ORDER BY rt.sequence",
        UUID(names["shot_id"]),
    )
    assert [(str(row["id"]), str(row["video"])) for row in takes] == [
        (names["take1_id"], names["video1_id"]),
        (names["take2_id"], names["video2_id"]),
    ]
    assert [row["selected"] == "true" for row in takes] == [False, True]
    assert [row["generation_cost"] for row in takes] == [Decimal("0.5"), Decimal("0.5")]
    assert [(row["url"], row["duration"], row["fps"]) for row in takes] == [
        ("https://cdn.example.com/take1.mp4", 8.2, "24"),
        ("https://cdn.example.com/take2.mp4", 8.1, "24"),
    ]

    for block in by_heading["Querying Shot Assets"]:
        await run(block, names)
    assert capsys.readouterr().out.splitlines() == [
        "Character: hero_character",
        "Character: villain_character",
        "Audio #1: hero_dialogue",
        "Audio #2: villain_dialogue",
        "Audio #3: background_music",
        "Audio #4: rain_sound_fx",
        "Take 1: alternate (score: None)",
        "Take 2: ✓ SELECTED (score: 9.5)",
        "Selected video: https://cdn.example.com/take2.mp4",
    ]
    assert [each["name"] for each in names["scripts"]] == ["dialogue_script", "blocking_script"]
    assert {each["type"] for each in names["scripts"]} == {"text"}

    # The blocks that come first: all on one shot, whose id is a UUID.
    first = await service.create_shot("workspace-123", "Shot of the first blocks")
    for block in by_heading["Asset Relationship Types"]:
        await run(block, names | {"shot_uuid": UUID(first)})
    there = await links(rows, first)
    assert [name for _, name in there["uses_character"]] == [
        "hero_character",
        "villain_character",
        "sidekick_character",
    ]
    assert there["uses_audio"] == [(1, "dialogue_audio"), (2, "background_music"), (3, "sound_effects")]
    assert [name for _, name in there["uses_script"]] == ["dialogue_script", "stage_directions", "camera_notes"]

    practices = []
    for block in by_heading["Best Practices"]:
        fresh = names | {"shot_id": await service.create_shot("workspace-123", "Fresh")}
        fresh["appearing_characters"] = [names[name] for name in CHARACTERS]
        await run(block, fresh)
        practices.append(fresh["shot_id"])
    assert {kind: [name for _, name in found] for kind, found in (await links(rows, practices[0])).items()} == {
        "uses_character": ["hero_character", "villain_character", "sidekick_character"]
    }
    assert await links(rows, practices[1]) == {
        "uses_audio": [(1, "background_music"), (2, "ambient_sounds"), (3, "sound_effects"), (4, "dialogue")]
    }
    selected = await service.get_shot_takes(practices[2])
    assert [(take["attempt_number"], take["selected"]) for take in selected] == [(1, False), (2, False), (3, True)]
    assert [name for _, name in (await links(rows, practices[3]))["uses_script"]] == [
        "english_script",
        "spanish_script",
        "director_notes",
    ]
    await names["asset_service"].close()


async def test_the_example_of_seed_004(
    graph: Graph, service: AssetService, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(graph, monkeypatch)
    ((heading, example),) = blocks(seed("004"))
    assert heading == "Shot Lifecycle Example"
    placeholders = {"{...}": '{"provider": "minimax", "model": "video-01"}', "take2_id = ...  # Same process\n": TAKE_2}
    hero = await service.create_asset("ws-123", "character_ref", "hero")
    names: dict[str, Any] = {"asset_service": AssetService(graph.address), "hero_character_id": hero}
    await run(replaced(example, placeholders), names)

    assert [(take["name"], take["sequence"], take["metadata"]["selected"]) for take in names["takes"]] == [
        ("Shot 01A - Take 1", 1, False),
        ("Shot 01A - Take 2", 2, True),
    ]
    assert [take["id"] for take in names["selected_take"]] == [names["take2_id"]]
    assert [video["id"] for video in names["video"]] == [names["video2_id"]]
    there = await links(rows, names["shot_id"])
    assert {kind: [name for _, name in found] for kind, found in there.items()} == {
        "uses_character": ["hero"],
        "generation_attempt": ["Shot 01A - Take 1", "Shot 01A - Take 2"],
    }
    take = await rows.fetchrow("SELECT * FROM assets WHERE id = $1", UUID(names["take1_id"]))
    assert (take["type"], take["generation_cost"]) == ("shot_take", Decimal("0.5"))
    video = await rows.fetchrow("SELECT * FROM assets WHERE id = $1", UUID(names["video1_id"]))
    assert (video["url"], video["duration"]) == ("https://cdn.../video1.mp4", 5.2)
    # In the database, too, the take that the example selects is the selected one.
    assert [
        str(row["id"])
        for row in await rows.fetch(
            "SELECT a.id FROM assets a WHERE a.type = 'shot_take' AND a.asset_metadata->>'selected' = 'true'"
        )
    ] == [names["take2_id"]]
    await names["asset_service"].close()
