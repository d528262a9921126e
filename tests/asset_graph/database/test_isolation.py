"""What the servers' role can see and do: its workspaces, and nothing that would show it others."""

import json
import secrets
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from tests.asset_graph.database.graph import Graph
from tests.postgres import Database

HELD = {
    "workspaces": "id",
    "assets": "workspace_id",
    "asset_relationships": "workspace_id",
    "shot_state": "workspace_id",
    "selection_history": "workspace_id",
    "change_log": "workspace_id",
    "request_log": "workspace_id",
    "deleted_assets": "workspace_id",
    "deleted_asset_relationships": "workspace_id",
    "deleted_shot_state": "workspace_id",
    "assets_v2": "workspace_id",
}


class App:
    """The servers' role, acting for the workspaces that it names."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def acts_for(self, *workspaces: str) -> None:
        named = "*" if workspaces == ("*",) else "{" + ",".join(f'"{name}"' for name in workspaces) + "}"
        await self.connection.execute("SELECT set_config('shotline.workspaces', $1, false)", named)

    async def sees(self, table: str) -> set[str]:
        rows = await self.connection.fetch(f"SELECT DISTINCT {HELD[table]} FROM {table}")
        return {row[0] for row in rows}


@pytest.fixture
async def app(shared: Database) -> AsyncIterator[App]:
    connection = await asyncpg.connect(shared.app_url)
    yield App(connection)
    await connection.close()


async def filled(graph: Graph, workspace: str) -> tuple[UUID, UUID]:
    """A workspace with a row in every table; a shot and its take of it."""
    await graph.connection.execute("INSERT INTO workspaces (id) VALUES ($1) ON CONFLICT DO NOTHING", workspace)
    mine = Graph(graph.connection, workspace)
    shot, (take,) = await mine.shot(1)
    await mine.flag(take, True)
    gone, _ = await mine.shot(1)
    await graph.connection.execute("DELETE FROM assets WHERE id = $1", gone)
    await graph.connection.execute(
        "INSERT INTO request_log (workspace_id, request_id, digest, answer) VALUES ($1, shotline_uuid7(), '', '')",
        workspace,
    )
    return shot, take


@pytest.fixture
async def two(graph: Graph) -> tuple[str, str, tuple[UUID, UUID], tuple[UUID, UUID]]:
    """Two workspaces, and a shot and its take of each."""
    other = f'{graph.workspace}-"{secrets.token_hex(2)}'.replace('"', "")
    return graph.workspace, other, await filled(graph, graph.workspace), await filled(graph, other)


Two = tuple[str, str, tuple[UUID, UUID], tuple[UUID, UUID]]


async def test_every_table_shows_the_workspaces_that_are_named(app: App, two: Two) -> None:
    mine, other, *_ = two
    for table in HELD:
        assert await app.sees(table) == set(), "nothing, as long as nobody is named"
    for named, seen in (((), set()), ((mine,), {mine}), ((mine, other, "nowhere"), {mine, other})):
        await app.acts_for(*named)
        for table in HELD:
            assert await app.sees(table) == seen, table
    await app.acts_for("*")
    for table in HELD:
        assert await app.sees(table) >= {mine, other}, table


async def test_a_name_set_for_one_transaction_is_gone_afterwards(app: App, two: Two) -> None:
    async with app.connection.transaction():
        await app.connection.execute("SELECT set_config('shotline.workspaces', '*', true)")
        assert await app.sees("assets")
    assert await app.sees("assets") == set()


async def test_a_name_with_quotes_and_commas_is_one_name(app: App, graph: Graph) -> None:
    odd = 'a","b,{*}' + graph.workspace
    await filled(graph, odd)
    await app.connection.execute("SELECT set_config('shotline.workspaces', ($1::text[])::text, false)", [odd])
    assert await app.sees("assets") == {odd}
    await app.connection.execute("SELECT set_config('shotline.workspaces', ($1::text[])::text, false)", ["*"])
    assert await app.sees("assets") == set(), "a workspace of the name * is not all of them"


async def test_the_tables_of_the_schema_are_all_held(graph: Graph) -> None:
    rows = await graph.connection.fetch(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS held FROM pg_class c"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND EXISTS"
        " (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id'"
        " OR c.relname = 'workspaces')"
    )
    assert {row["relname"] for row in rows} == HELD.keys() - {"assets_v2"}
    assert all(row["held"] for row in rows)


async def test_a_view_without_security_invoker_shows_all(app: App, graph: Graph, two: Two) -> None:
    """The naive opponent of `assets_v2`."""
    mine, other, *_ = two
    await graph.connection.execute("CREATE VIEW naive_view AS SELECT * FROM assets")
    await graph.connection.execute("GRANT SELECT ON naive_view TO shotline_app")
    await app.acts_for(mine)
    rows = await app.connection.fetch("SELECT DISTINCT workspace_id FROM naive_view")
    await graph.connection.execute("DROP VIEW naive_view")
    assert other in {row[0] for row in rows}
    assert await app.sees("assets_v2") == {mine}


async def test_nothing_can_be_written_to_another_workspace(app: App, graph: Graph, two: Two) -> None:
    mine, other, _, (theirs, _) = two
    await app.acts_for(mine)
    for statement in (
        f"INSERT INTO assets (workspace_id, type, name) VALUES ('{other}', 'shot', 's')",
        "INSERT INTO request_log (workspace_id, request_id, digest, answer)"
        f" VALUES ('{other}', shotline_uuid7(), '', '')",
        "INSERT INTO workspaces (id) VALUES ('not named')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await app.connection.execute(statement)
    for statement in (
        f"UPDATE assets SET name = 'x' WHERE id = '{theirs}'",
        f"DELETE FROM assets WHERE id = '{theirs}'",
        f"DELETE FROM asset_relationships WHERE parent_asset_id = '{theirs}'",
        f"UPDATE shot_state SET selected_take_id = NULL WHERE shot_id = '{theirs}'",
        f"UPDATE workspaces SET currency = 'EUR' WHERE id = '{other}'",
    ):
        assert (await app.connection.execute(statement)).endswith(" 0"), statement
    (gone,) = await graph.connection.fetch(
        "SELECT id FROM deleted_assets WHERE workspace_id = $1 AND type = 'shot'", other
    )
    assert await app.connection.fetchval("SELECT shotline_undelete($1, $2)", other, gone["id"]) == 0
    await app.acts_for(mine, other)
    assert await app.connection.fetchval("SELECT shotline_undelete($1, $2)", other, gone["id"]) == 2


async def test_an_edge_between_workspaces_is_impossible_for_everybody(app: App, graph: Graph, two: Two) -> None:
    mine, other, (shot, _), (theirs, _) = two
    await app.acts_for(mine, other)
    for connection in (app.connection, graph.connection):
        for workspace in (mine, other):
            with pytest.raises(asyncpg.ForeignKeyViolationError, match=r"asset_relationships_(parent|child)_fkey"):
                await connection.execute(
                    "INSERT INTO asset_relationships (workspace_id, parent_asset_id, child_asset_id, relationship_type)"
                    " VALUES ($1, $2, $3, 'variant_of')",
                    *(workspace, shot, theirs),
                )


async def test_another_workspaces_asset_is_refused_as_a_made_up_one_is(app: App, two: Two) -> None:
    mine, _, (shot, _), (theirs, _) = two
    await app.acts_for(mine)
    made_up = UUID("0195a1c2-7e00-7000-8000-000000000000")
    said = []
    for id in (theirs, made_up):
        graph = Graph(app.connection, mine)
        for parent, child in ((shot, id), (id, shot)):
            with pytest.raises(asyncpg.PostgresError) as refused:
                await graph.edge("variant_of", parent, child)
            said.append(str(refused.value.as_dict()).replace(str(id), "ID"))
    assert said[:2] == said[2:]


async def test_the_role_changes_its_own_workspace_with_all_that_follows(app: App, two: Two) -> None:
    mine, _, (shot, take), _ = two
    await app.acts_for(mine)
    graph = Graph(app.connection, mine)
    before = await graph.revision()
    await graph.edge("uses_audio", shot, await graph.asset("audio"))
    await graph.flag(take, False)
    await graph.point(shot, take)
    await app.connection.execute("DELETE FROM assets WHERE id = $1", shot)
    assert await app.connection.fetchval("SELECT shotline_undelete($1, $2)", mine, shot) == 2
    assert await graph.revision() == before + 6
    assert await graph.flagged(shot) == [take]
    new = f"{mine}-new"
    await app.acts_for(new)
    await app.connection.execute("INSERT INTO workspaces (id, currency) VALUES ($1, 'EUR')", new)
    await Graph(app.connection, new).asset("film")
    assert await app.sees("change_log") == {new}
    await app.connection.execute("SELECT shotline_prune('1 day')")


async def test_the_role_prunes_nothing_younger_than_a_day(app: App, graph: Graph, two: Two) -> None:
    mine, other, *_ = two
    await graph.connection.execute(
        "UPDATE change_log SET created_at = created_at - interval '25 hours' WHERE workspace_id = $1 AND revision = 1",
        mine,
    )
    before = await Graph(graph.connection, other).changes()
    await app.connection.execute("SELECT shotline_prune('0'), shotline_prune('-1 year')")
    assert await Graph(graph.connection, other).changes() == before
    assert min(revision for revision, *_ in await Graph(graph.connection, mine).changes()) == 2


FORBIDDEN = [
    "SET ROLE {operator}",
    "SET SESSION AUTHORIZATION {operator}",
    "ALTER TABLE assets DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE assets NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE assets DISABLE TRIGGER ALL",
    "ALTER TABLE assets OWNER TO shotline_app",
    "DROP POLICY own_workspaces ON assets",
    "CREATE POLICY all_of_it ON assets USING (true)",
    "DROP TABLE assets",
    "TRUNCATE assets",
    "CREATE TABLE mine (id int)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE EXTENSION dblink",
    "ALTER ROLE shotline_app BYPASSRLS",
    "GRANT {operator} TO shotline_app",
    "SET session_replication_role = replica",
    "COPY assets TO '/tmp/assets'",
    "COPY assets FROM PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT shotline_next_revision('default')",
    "SELECT shotline_take_flags('default', '{}')",
    "UPDATE workspaces SET revision = 0",
    "UPDATE workspaces SET id = 'x'",
    "DELETE FROM workspaces",
    "INSERT INTO workspaces (id, revision) VALUES ('x', 7)",
    "INSERT INTO change_log (workspace_id, revision, entity, kind, items)"
    " VALUES ('default', 1, 'asset', 'created', '[]')",
    "DELETE FROM change_log",
    "UPDATE selection_history SET actor = 'x'",
    "INSERT INTO shot_state (workspace_id, shot_id) VALUES ('default', shotline_uuid7())",
    "UPDATE shot_state SET last_attempt_number = 0",
    "DELETE FROM deleted_assets",
    "UPDATE request_log SET answer = ''",
    "INSERT INTO asset_types VALUES ('x')",
    "DELETE FROM relationship_rules",
    "UPDATE alembic_version SET version_num = 'x'",
]


async def test_the_role_cannot_get_around_it(app: App, graph: Graph) -> None:
    operator = await graph.connection.fetchval("SELECT session_user::text")
    await app.acts_for("*")
    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.connection.execute(statement.replace("{operator}", operator))
            pytest.fail(statement)


async def test_row_level_security_cannot_be_switched_off_for_a_session(app: App, two: Two) -> None:
    """The setting makes a query fail that a policy would filter; it does not lift the policy."""
    await app.connection.execute("SET row_security = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await app.sees("assets")


async def test_a_function_in_a_condition_is_not_shown_other_workspaces(app: App, graph: Graph, two: Two) -> None:
    """A condition that could tell what it is shown is asked behind the policy; division by zero would tell."""
    mine, _, _, (theirs, _) = two
    await graph.connection.execute("UPDATE assets SET asset_metadata = '{\"zero\": 0}' WHERE id = $1", theirs)
    await app.acts_for(mine)
    rows = await app.connection.fetch(
        "SELECT id FROM assets WHERE (asset_metadata->>'zero')::int / (asset_metadata->>'zero')::int = 1"
    )
    assert json.dumps([str(row["id"]) for row in rows]) == "[]"


async def test_a_trigger_of_the_operators_right_reads_no_other_workspace(app: App, two: Two) -> None:
    """Edges without a workspace take their parent's, which the writer has to see."""
    mine, _, (shot, _), (theirs, their_take) = two
    await app.acts_for(mine)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await app.connection.execute(
            "INSERT INTO asset_relationships (parent_asset_id, child_asset_id, relationship_type)"
            " VALUES ($1, $2, 'variant_of')",
            *(theirs, their_take),
        )
    assert refused.value.sqlstate == "SH006"
    assert shot
