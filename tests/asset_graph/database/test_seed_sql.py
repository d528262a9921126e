"""Every SQL statement that seeds 002 and 004 print, read from the documents, run as the operator; and twins of our own.

Only the bind parameters are replaced, by the numbers that the driver wants.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest

from services.asset_graph.storage.migrate import migrate
from tests import given
from tests.asset_graph.database.graph import Graph
from tests.postgres import Database, Server


@dataclass
class Story:
    """The film of the seeds: two shots, the first with everything, its second take selected."""

    film: UUID
    shots: list[UUID]
    characters: list[UUID]
    audios: list[UUID]
    scripts: list[UUID]
    takes: list[UUID]
    videos: list[UUID]
    ids: dict[str, UUID] = field(default_factory=dict)


@pytest.fixture(scope="module")
def shared(postgres: Server) -> Iterator[Database]:
    """On every version, always."""
    with postgres.database(postgres.asset_graph_template()) as database:
        yield database


@pytest.fixture
async def story(graph: Graph) -> Story:
    film = await graph.asset("film", "My film", cost="1.25")
    shots = [await graph.asset("shot", name, cost="0.10") for name in ("Confrontation", "Escape")]
    characters = [await graph.asset("character_ref", name) for name in ("Villain", "Hero")]
    audios = [await graph.asset("audio", name) for name in ("music", "rain", "voice")]
    scripts = [await graph.asset("script", name) for name in ("dialogue", "blocking")]
    takes = [await graph.asset("shot_take", f"take {n}", cost="0.50", quality_score=n + 0.5) for n in (1, 2)]
    videos = [
        await graph.connection.fetchval(
            "INSERT INTO assets (workspace_id, type, name, url, duration) VALUES ($1, 'video', $2, $3, $4)"
            " RETURNING id",
            *(graph.workspace, f"video {n}", f"https://cdn/take{n}.mp4", 8.0 + n / 10),
        )
        for n in (1, 2)
    ]
    for shot in shots:
        await graph.edge("contains_shot", film, shot)
    for character in characters:
        await graph.edge("uses_character", shots[0], character)
    for audio in audios:
        await graph.edge("uses_audio", shots[0], audio)
    for script in scripts:
        await graph.edge("uses_script", shots[0], script)
    for take, video in zip(takes, videos, strict=True):
        await graph.edge("generation_attempt", shots[0], take)
        await graph.edge("generated_video", take, video)
    await graph.flag(takes[0], True)
    await graph.flag(takes[1], True)
    return Story(film, shots, characters, audios, scripts, takes, videos, {"film_id": film, "shot_id": shots[0]})


def numbered(statement: str) -> tuple[str, list[str]]:
    """A statement with `$1` for its first bind parameter, and their names in that order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"(?<!:):([a-z_]+)", number, statement), names


Rows = list[asyncpg.Record]


async def shot_structure(rows: Rows, story: Story) -> None:
    found = [(row["relationship_type"], row["sequence"], row["asset_id"]) for row in rows]
    assert {row["shot_name"] for row in rows} == {"Confrontation"}
    assert [kind for kind, _, _ in found] == sorted(kind for kind, _, _ in found)
    assert [id for kind, _, id in found if kind == "uses_audio"] == story.audios
    assert [number for kind, number, _ in found if kind == "generation_attempt"] == [1, 2]
    assert {row["asset_type"] for row in rows} == {"audio", "character_ref", "shot_take", "text"}
    assert len(found) == 9


async def characters(rows: Rows, story: Story) -> None:
    assert sorted(row["id"] for row in rows) == sorted(story.characters)


async def characters_by_name(rows: Rows, story: Story) -> None:
    assert [row["name"] for row in rows] == ["Hero", "Villain"]


async def audio_layers(rows: Rows, story: Story) -> None:
    assert [(row["id"], row["sequence"]) for row in rows] == [(id, n + 1) for n, id in enumerate(story.audios)]


async def selected_take(rows: Rows, story: Story) -> None:
    assert [dict(row) for row in rows] == [
        {
            "take_id": story.takes[1],
            "take_name": "take 2",
            "attempt": "2",
            "score": "2.5",
            "video_url": "https://cdn/take2.mp4",
            "duration": 8.2,
        }
    ]


async def film_structure(rows: Rows, story: Story) -> None:
    assert [(row["id"], row["sequence"]) for row in rows] == [(id, n + 1) for n, id in enumerate(story.shots)]
    assert rows[0]["metadata"] == "{}"


async def selected_video(rows: Rows, story: Story) -> None:
    assert [(row["id"], row["url"]) for row in rows] == [(story.videos[1], "https://cdn/take2.mp4")]


async def direct_children_cost(rows: Rows, story: Story) -> None:
    assert str(rows[0]["total_cost"]) == "0.20"


Check = Callable[[Rows, Story], Awaitable[None]]
READS: dict[tuple[str, str], Check] = {
    ("002", "Get Complete Shot Structure"): shot_structure,
    ("002", "Get All Characters Used in Shot"): characters_by_name,
    ("002", "Get Audio Tracks in Layering Order"): audio_layers,
    ("002", "Get Selected Take with Video"): selected_take,
    ("004", "Get film structure with all shots"): film_structure,
    ("004", "Get all characters used in a shot"): characters,
    ("004", "Get selected take video for shot"): selected_video,
    ("004", "Get total generation cost for film"): direct_children_cost,
}
TABLE, INSERT = ("002", "Before (Old Schema)"), ("002", "After (New Schema)")


def printed() -> dict[tuple[str, str], str]:
    """The SQL blocks of both documents by number and heading."""
    found = {}
    for number in ("002", "004"):
        heading = ""
        for match in re.finditer(r"^#+ ([^\n]+)$|^```sql\n(.*?)^```", given.seed(number), re.M | re.S):
            if match[1]:
                heading = match[1].strip()
            else:
                found[number, heading] = match[2]
    return found


TWINS: dict[tuple[str, str], str] = {
    ("002", "Get Complete Shot Structure"): (
        "SELECT up.id AS shot_id, up.name AS shot_name, down.id AS asset_id, down.name AS asset_name,"
        " down.type AS asset_type, e.relationship_type, e.sequence FROM asset_relationships e"
        " JOIN assets up ON up.id = e.parent_asset_id AND up.type = 'shot'"
        " JOIN assets down ON down.id = e.child_asset_id WHERE up.id = :shot_id ORDER BY 6, 7 NULLS LAST"
    ),
    ("002", "Get All Characters Used in Shot"): (
        "SELECT c.* FROM assets c, asset_relationships e WHERE e.child_asset_id = c.id AND c.type = 'character_ref'"
        " AND e.parent_asset_id = :shot_id AND e.relationship_type = 'uses_character' ORDER BY c.name"
    ),
    ("002", "Get Audio Tracks in Layering Order"): (
        "SELECT t.*, e.sequence FROM assets t, asset_relationships e WHERE e.child_asset_id = t.id AND t.type = 'audio'"
        " AND e.parent_asset_id = :shot_id AND e.relationship_type = 'uses_audio' ORDER BY e.sequence"
    ),
    ("002", "Get Selected Take with Video"): (
        "SELECT t.id AS take_id, t.name AS take_name, t.asset_metadata->>'attempt_number' AS attempt,"
        " t.asset_metadata->>'quality_score' AS score, v.url AS video_url, v.duration FROM asset_relationships a"
        " JOIN assets t ON t.id = a.child_asset_id JOIN asset_relationships g ON g.parent_asset_id = t.id"
        " JOIN assets v ON v.id = g.child_asset_id WHERE a.parent_asset_id = :shot_id"
        " AND a.relationship_type = 'generation_attempt' AND g.relationship_type = 'generated_video'"
        " AND t.asset_metadata->>'selected' = 'true'"
    ),
    ("004", "Get film structure with all shots"): (
        "SELECT s.*, e.sequence FROM assets_v2 s, asset_relationships e"
        " WHERE e.child_asset_id = s.id AND s.type = 'shot' AND e.parent_asset_id = :film_id"
        " AND e.relationship_type = 'contains_shot' ORDER BY e.sequence"
    ),
    ("004", "Get all characters used in a shot"): (
        "SELECT c.* FROM assets_v2 c WHERE c.type = 'character_ref' AND EXISTS (SELECT FROM asset_relationships e"
        " WHERE e.child_asset_id = c.id AND e.parent_asset_id = :shot_id AND e.relationship_type = 'uses_character')"
    ),
    ("004", "Get selected take video for shot"): (
        "SELECT v.* FROM assets_v2 v, asset_relationships g, assets_v2 t, asset_relationships a"
        " WHERE g.child_asset_id = v.id AND g.relationship_type = 'generated_video' AND t.id = g.parent_asset_id"
        " AND a.child_asset_id = t.id AND a.relationship_type = 'generation_attempt' AND a.parent_asset_id = :shot_id"
        " AND t.metadata->>'selected' = 'true'"
    ),
    ("004", "Get total generation cost for film"): (
        "SELECT SUM(c.generation_cost) AS total_cost FROM assets_v2 c, asset_relationships e"
        " WHERE e.child_asset_id = c.id AND e.parent_asset_id = :film_id"
    ),
}


async def read(graph: Graph, story: Story, statement: str) -> Rows:
    text, names = numbered(statement)
    return list(await graph.connection.fetch(text, *(story.ids[name] for name in names)))


async def test_every_printed_read_gives_the_right_rows(graph: Graph, story: Story) -> None:
    statements = printed()
    assert statements.keys() == READS.keys() | {TABLE, INSERT}
    for key, check in READS.items():
        await check(await read(graph, story, statements[key]), story)


@pytest.mark.parametrize("key", READS, ids=lambda key: key[1])
async def test_twins_of_the_reads_give_the_right_rows(graph: Graph, story: Story, key: tuple[str, str]) -> None:
    await READS[key](await read(graph, story, TWINS[key]), story)


async def inserted(graph: Graph, statement: str) -> None:
    """The INSERT gives everything else by itself: id, workspace, a revision in the log."""
    shot, character = await graph.asset("shot"), await graph.asset("character_ref")
    before = await graph.revision()
    text, names = numbered(statement)
    await graph.connection.execute(text, *({"shot_id": shot, "character_id": character}[name] for name in names))
    (row,) = await graph.connection.fetch("SELECT * FROM asset_relationships WHERE parent_asset_id = $1", shot)
    assert (row["workspace_id"], row["child_asset_id"]) == (graph.workspace, character)
    assert (row["relationship_type"], row["sequence"], row["metadata"]) == ("uses_character", None, "{}")
    ((revision, entity, kind, items),) = await graph.changes(before)
    assert (revision, entity, kind) == (before + 1, "relationship", "created")
    assert items[0]["id"] == str(row["id"])


async def test_the_printed_insert_of_three_columns_does_all(graph: Graph) -> None:
    await inserted(graph, printed()[INSERT])


async def test_a_twin_of_the_insert_does_all(graph: Graph) -> None:
    await inserted(
        graph,
        "INSERT INTO asset_relationships (relationship_type, child_asset_id, parent_asset_id)"
        " VALUES ('uses_character', :character_id, :shot_id)",
    )


async def test_the_printed_old_table_becomes_relationships(database: Database) -> None:
    await adopted(database, printed()[TABLE])


async def test_a_twin_of_the_old_table_becomes_relationships(database: Database) -> None:
    await adopted(database, "CREATE TABLE shot_characters (shot_id uuid, character_id uuid)")


async def adopted(database: Database, table: str) -> None:
    connection = await asyncpg.connect(database.operator_url)
    graph = Graph(connection, "default")
    shots, people = await graph.assets("shot", 3), await graph.assets("character_ref", 2)
    await connection.execute(table)
    pairs = {(shots[0], people[0]), (shots[0], people[1]), (shots[2], people[1])}
    await connection.executemany("INSERT INTO shot_characters (shot_id, character_id) VALUES ($1, $2)", sorted(pairs))
    migrate(database.operator_url)
    rows = await connection.fetch(
        "SELECT parent_asset_id, child_asset_id FROM asset_relationships WHERE relationship_type = 'uses_character'"
    )
    await connection.close()
    assert {tuple(row) for row in rows} == pairs
