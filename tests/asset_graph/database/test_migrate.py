"""`shotline migrate`: twice, by several at once, with few rights, with new types, and what it says when it cannot."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import asyncpg
import pytest

from services.asset_graph.domain import rules
from services.asset_graph.storage import schema, synchronise
from services.asset_graph.storage.migrate import migrate, pending, script_directory
from services.asset_graph.storage.migrations import MigrationError
from services.asset_graph.storage.roles import APP_ROLE
from tests.asset_graph.database.graph import Graph
from tests.postgres import APP_PASSWORD, HASTY, Database, running


async def fetch(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


OBJECTS = (
    "SELECT oid, tgname::text FROM pg_trigger WHERE NOT tgisinternal UNION SELECT oid, relname::text FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace UNION SELECT oid, conname::text FROM pg_constraint"
    " UNION SELECT oid, polname::text FROM pg_policy ORDER BY 1"
)


async def test_a_second_run_changes_nothing(bare_database: Database) -> None:
    assert pending(bare_database.operator_url) == "the database has no schema"
    migrate(bare_database.operator_url)
    assert pending(bare_database.operator_url) is None
    before = await fetch(bare_database.operator_url, OBJECTS)
    migrate(bare_database.operator_url)
    assert await fetch(bare_database.operator_url, OBJECTS) == before


async def test_several_at_once_wait_for_one_another(bare_database: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate, bare_database.operator_url) for _ in range(4)]:
            done.result()
    assert pending(bare_database.app_url) is None


async def test_the_head_that_servers_ask_for_is_the_newest_step() -> None:
    assert script_directory().get_heads() == [schema.HEAD]


async def test_a_schema_that_is_behind_is_named(shared: Database) -> None:
    connection = await asyncpg.connect(shared.operator_url)
    app = await asyncpg.connect(shared.app_url)
    await schema.check_head(connection)
    await schema.check_head(app)
    for change, said in (
        ("UPDATE alembic_version SET version_num = '0000'", "is 0000 and this version needs"),
        ("DELETE FROM alembic_version", "run `shotline migrate`"),
        ("DELETE FROM relationship_rules WHERE relationship_type = 'final_edit'", "'final_edit' may join a 'film'"),
    ):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(change)
        with pytest.raises(schema.SchemaBehind, match=said):
            await schema.check_head(connection)
        await transaction.rollback()
    await connection.close()
    await app.close()


async def test_a_schema_that_is_newer_than_the_program_is_left_alone(embedded_database: Database) -> None:
    await fetch(embedded_database.operator_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="newer than the program"):
        migrate(embedded_database.operator_url)


async def test_the_role_may_make_no_temporary_tables(bare_database: Database) -> None:
    migrate(bare_database.operator_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="temporary"):
        await fetch(bare_database.app_url, "CREATE TEMP TABLE mine (id int)")


async def test_a_role_that_could_get_around_the_policies_is_refused(bare_database: Database) -> None:
    await fetch(bare_database.operator_url, f"ALTER ROLE {APP_ROLE} BYPASSRLS")
    try:
        with pytest.raises(MigrationError, match=r"row-level security \(rolbypassrls\)"):
            migrate(bare_database.operator_url)
    finally:
        await fetch(bare_database.operator_url, f"ALTER ROLE {APP_ROLE} NOBYPASSRLS")
    assert pending(bare_database.operator_url) == "the database has no schema"


async def test_an_operator_with_few_rights() -> None:
    """One that owns its database and nothing more, as with many providers: row-level security holds it, too."""
    with running("pg18", **HASTY) as server:
        server.execute("postgres", "CREATE ROLE few LOGIN PASSWORD 'few'", "CREATE DATABASE theirs OWNER few")
        url = server.cluster.url("theirs", role="few", password="few")
        with pytest.raises(MigrationError, match="CREATE ROLE shotline_app LOGIN PASSWORD"):
            migrate(url)
        server.execute(
            "postgres", f"CREATE ROLE {APP_ROLE} LOGIN PASSWORD '{APP_PASSWORD.replace(chr(39), chr(39) * 2)}'"
        )
        await fetch(url, "CREATE TABLE shot_characters (shot_id uuid, character_id uuid)")
        await fetch(url, "INSERT INTO shot_characters VALUES (gen_random_uuid(), gen_random_uuid())")
        migrate(url)
        migrate(url)
        owner = await asyncpg.connect(url)
        app = await asyncpg.connect(server.cluster.url("theirs", role=APP_ROLE, password=APP_PASSWORD))
        await app.execute("SELECT set_config('shotline.workspaces', '{default}', false)")
        for connection in (owner, app):
            graph = Graph(connection, "default")
            shot, takes = await graph.shot(2)
            await graph.flag(takes[0], True)
            await graph.point(shot, takes[1])
            assert await graph.flagged(shot) == [takes[1]]
            await connection.execute("DELETE FROM assets WHERE id = $1", shot)
            assert await connection.fetchval("SELECT shotline_undelete('default', $1)", shot) == 3
            assert await graph.flagged(shot) == [takes[1]]
        assert await app.fetchval("SELECT count(*) FROM assets") == await owner.fetchval("SELECT count(*) FROM assets")
        await app.execute("SELECT set_config('shotline.workspaces', '', false)")
        assert await app.fetchval("SELECT count(*) FROM assets") == 0
        adopted = await fetch(
            url, "SELECT count(*) FROM asset_relationships WHERE relationship_type = 'uses_character'"
        )
        assert adopted == [(1,)]
        await owner.close()
        await app.close()


NEW_TYPES = (*rules.ASSET_TYPES, rules.AssetType(name="prop", description="A thing.", aliases=("requisite",)))
NEW_RELATIONSHIPS = (
    *rules.RELATIONSHIP_TYPES,
    rules.RelationshipType(
        name="uses_prop",
        parents=("shot",),
        children=("prop",),
        description="The thing is in the shot.",
        ordered=True,
        max_parents=1,
    ),
)


async def test_a_new_type_and_relationship_need_their_rows_in_the_domain_only(
    embedded_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (synchronise, schema):
        monkeypatch.setattr(module, "ASSET_TYPES", NEW_TYPES)
        monkeypatch.setattr(module, "RELATIONSHIP_TYPES", NEW_RELATIONSHIPS)
    assert pending(embedded_database.app_url) == "the database does not know the asset type 'prop'"
    migrate(embedded_database.operator_url)
    assert pending(embedded_database.app_url) is None
    connection = await asyncpg.connect(embedded_database.operator_url)
    graph = Graph(connection, "default")
    shot, _ = await graph.shot()
    props = [await graph.asset(kind) for kind in ("prop", "requisite")]
    for prop in props:
        await graph.edge("uses_prop", shot, prop)
    assert await graph.sequences(shot, "uses_prop") == [1, 2]
    other, _ = await graph.shot()
    with pytest.raises(asyncpg.UniqueViolationError, match="one_parent_uses_prop"):
        await graph.edge("uses_prop", other, props[0])

    # An older program over the same database: what is stored stays known, its limits are gone.
    monkeypatch.undo()
    migrate(embedded_database.operator_url)
    await graph.asset("prop")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge("uses_prop", other, props[0])
    assert refused.value.sqlstate == "SH001"
    await connection.execute("DELETE FROM assets WHERE type IN ('prop', 'shot')")
    migrate(embedded_database.operator_url)
    with pytest.raises(asyncpg.CheckViolationError, match="assets_type_known"):
        await graph.asset("prop")
    await connection.close()


async def test_a_changed_rule_reaches_the_database(
    embedded_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tuple(
        replace(kind, ordered=True, max_children=1) if kind.name == "uses_script" else kind
        for kind in rules.RELATIONSHIP_TYPES
        if kind.name != "final_edit"
    )
    monkeypatch.setattr(synchronise, "RELATIONSHIP_TYPES", changed)
    migrate(embedded_database.operator_url)
    connection = await asyncpg.connect(embedded_database.operator_url)
    graph = Graph(connection, "default")
    shot, _ = await graph.shot()
    await graph.edge("uses_script", shot, await graph.asset("script"))
    assert await graph.sequences(shot, "uses_script") == [1]
    with pytest.raises(asyncpg.UniqueViolationError, match="one_child_uses_script"):
        await graph.edge("uses_script", shot, await graph.asset("script"))
    with pytest.raises(asyncpg.PostgresError) as refused:
        await graph.edge("final_edit", await graph.asset("film"), await graph.asset("video"))
    assert refused.value.sqlstate == "SH001"
    await connection.close()


async def test_servers_go_on_while_the_types_are_synchronised(embedded_database: Database) -> None:
    """A run that has nothing to do waits for nobody who is in the middle of a change."""
    connection = await asyncpg.connect(embedded_database.operator_url)
    async with connection.transaction():
        await Graph(connection, "default").asset("shot")
        await asyncio.wait_for(asyncio.to_thread(migrate, embedded_database.operator_url), 5)
    await connection.close()
