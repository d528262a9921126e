"""The old table of seed 002, "Migration from Old Schema": every row becomes a relationship, whatever its ids are."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from services.asset_graph.storage.migrate import migrate
from services.asset_graph.storage.migrations import MigrationError
from tests.asset_graph.database.graph import Graph
from tests.postgres import Database


class Old:
    """A migrated database with an old table that came later, as from a backup."""

    def __init__(self, database: Database, connection: asyncpg.Connection) -> None:
        self.url = database.operator_url
        self.connection = connection
        self.graph = Graph(connection, "default")

    async def table(self, *rows: tuple[object, object], columns: str = "shot_id text, character_id text") -> None:
        await self.connection.execute(f"CREATE TABLE shot_characters ({columns})")
        await self.connection.executemany("INSERT INTO shot_characters (shot_id, character_id) VALUES ($1, $2)", rows)

    async def edges(self) -> list[tuple[str, str, str]]:
        """Workspace, and the names of both ends."""
        rows = await self.connection.fetch(
            "SELECT r.workspace_id, s.name AS shot, c.name AS character FROM asset_relationships r"
            " JOIN assets s ON s.id = r.parent_asset_id AND s.type = 'shot'"
            " JOIN assets c ON c.id = r.child_asset_id AND c.type = 'character_ref'"
            " WHERE r.relationship_type = 'uses_character' ORDER BY 1, 2, 3"
        )
        return [(row[0], row[1], row[2]) for row in rows]

    async def tables(self) -> list[str]:
        rows = await self.connection.fetch("SELECT relname FROM pg_class WHERE relname ~ '^shot_characters' ORDER BY 1")
        return [row[0] for row in rows]


@pytest.fixture
async def old(embedded_database: Database) -> AsyncIterator[Old]:
    connection = await asyncpg.connect(embedded_database.operator_url)
    yield Old(embedded_database, connection)
    await connection.close()


async def test_a_table_that_was_there_before_the_schema(bare_database: Database) -> None:
    connection = await asyncpg.connect(bare_database.operator_url)
    before = Old(bare_database, connection)
    await before.table(("shot 1", "hero"), ("shot 1", "villain"), ("shot 2", "hero"))
    migrate(before.url)
    migrate(before.url)
    assert await before.edges() == [
        ("default", "shot 1", "hero"),
        ("default", "shot 1", "villain"),
        ("default", "shot 2", "hero"),
    ]
    assert await before.tables() == ["shot_characters_migrated"]
    assert await connection.fetchval("SELECT count(*) FROM assets") == 4
    await connection.close()


async def test_the_same_pair_twice_is_one_relationship_and_one_that_is_there_stays(old: Old) -> None:
    shot, character = await old.graph.asset("shot", "s"), await old.graph.asset("character_ref", "c")
    await old.graph.edge("uses_character", shot, character)
    await old.table(
        (str(shot), str(character)), (str(shot).upper(), str(character)), (str(shot), "guest"), (str(shot), "guest")
    )
    migrate(old.url)
    assert await old.edges() == [("default", "s", "c"), ("default", "s", "guest")]


async def test_ids_that_no_asset_has_get_placeholders_that_say_so(old: Old) -> None:
    id = "0195a1c2-7e00-7000-8000-00000000000a"
    await old.table((id, "Zoë; DROP TABLE"), (id, ""))
    migrate(old.url)
    assert await old.edges() == [("default", id, ""), ("default", id, "Zoë; DROP TABLE")]
    assert await old.graph.metadata(UUID(id)) == {"migrated_from": "shot_characters", "old_id": id}


async def test_a_second_table_with_the_same_ids_finds_the_placeholders(old: Old) -> None:
    await old.table(("shot 1", "hero"))
    migrate(old.url)
    await old.table(("shot 1", "hero"), ("shot 1", "villain"))
    migrate(old.url)
    assert await old.edges() == [("default", "shot 1", "hero"), ("default", "shot 1", "villain")]
    assert await old.tables() == ["shot_characters_migrated", "shot_characters_migrated_2"]
    assert await old.connection.fetchval("SELECT count(*) FROM assets") == 3


async def test_other_columns_become_the_metadata_of_the_relationship(old: Old) -> None:
    await old.table(
        ("shot 1", "hero"),
        columns="shot_id text, character_id text, role text DEFAULT 'lead', screen_time int DEFAULT 7",
    )
    migrate(old.url)
    found = await old.connection.fetchval("SELECT metadata FROM asset_relationships")
    assert found == '{"role": "lead", "screen_time": 7}'


async def test_a_relationship_belongs_to_the_workspace_of_its_ends(old: Old) -> None:
    """And a placeholder to that of what it is joined to, over however many steps."""
    await old.connection.execute("INSERT INTO workspaces (id) VALUES ('studio')")
    shot = await Graph(old.connection, "studio").asset("shot", "theirs")
    await old.table((str(shot), "hero"), ("lost shot", "hero"), ("lost shot", "guest"), ("elsewhere", "nobody"))
    migrate(old.url)
    assert await old.edges() == [
        ("default", "elsewhere", "nobody"),
        ("studio", "lost shot", "guest"),
        ("studio", "lost shot", "hero"),
        ("studio", "theirs", "hero"),
    ]


async def test_rows_that_cannot_become_relationships_are_named_and_nothing_happens(old: Old) -> None:
    await old.connection.execute("INSERT INTO workspaces (id) VALUES ('studio')")
    theirs = await Graph(old.connection, "studio").asset("shot")
    mine, film = await old.graph.asset("character_ref"), await old.graph.asset("film")
    before = await old.graph.revision()
    await old.table(("fine", "fine"), (str(theirs), str(mine)), (str(film), str(mine)), (None, str(mine)))
    for _ in range(2):
        with pytest.raises(MigrationError) as refused:
            migrate(old.url)
        said = str(refused.value)
        assert said.startswith("3 rows of shot_characters cannot become relationships, so none did: ")
        assert f"({theirs}, {mine}): the shot is in workspace studio, the character in default" in said
        assert f"({film}, {mine}): the shot is of type film" in said
        assert f"(None, {mine}): an id is missing" in said
    assert await old.edges() == []
    assert await old.graph.revision() == before
    await old.connection.execute("DELETE FROM shot_characters WHERE shot_id IS DISTINCT FROM 'fine'")
    migrate(old.url)
    assert await old.edges() == [("default", "fine", "fine")]


async def test_a_large_table(old: Old) -> None:
    await old.connection.execute(
        "CREATE TABLE shot_characters AS SELECT 'shot ' || n / 10 AS shot_id, 'person ' || n % 50 AS character_id"
        " FROM generate_series(0, 19999) n"
    )
    pairs = await old.connection.fetchval("SELECT count(*) FROM (SELECT DISTINCT * FROM shot_characters) t")
    migrate(old.url)
    assert len(await old.edges()) == pairs
