"""A workspace of many assets, filled past the triggers: films of 1,000 shots, each with three takes and videos."""

import asyncpg

from tests.postgres import Database

SHOTS_OF_A_FILM = 1_000
_OF_A_SHOT = 7  # it, its takes and their videos

# Ids say what they are, so that none has to be looked up: kind, number of the shot, number of the take.
_ID = "(lpad(to_hex({shot}), 8, '0') || '-000{kind}-7000-8000-' || lpad(to_hex({take}), 12, '0'))::uuid"
FILM, SHOT, TAKE, VIDEO, HERO = "1", "2", "3", "4", "5"


def made_id(kind: str, shot: int, take: int = 0) -> str:
    return f"{shot:08x}-000{kind}-7000-8000-{take:012x}"


def _sql(kind: str, shot: str = "n", take: str = "0") -> str:
    return _ID.format(kind=kind, shot=shot, take=take)


async def fill(database: Database, assets: int, workspace: str = "large") -> int:
    """Make so many, about; gives the number of shots."""
    shots = assets // _OF_A_SHOT
    made = "timestamptz '2026-01-01' + n * interval '1 second'"
    asset = (
        "INSERT INTO assets (id, workspace_id, type, name, created_at, generation_cost, url, asset_metadata) SELECT "
    )
    edge = (
        "INSERT INTO asset_relationships (workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence) "
        f"SELECT '{workspace}', "
    )
    takes = f"generate_series(0, {shots - 1}) n, generate_series(1, 3) k"
    params = """'{"provider": "minimax", "model": "video-01"}'::jsonb"""
    film = _sql(FILM, f"n / {SHOTS_OF_A_FILM}")
    statements = [
        "SET session_replication_role = replica",
        f"INSERT INTO workspaces (id, revision) VALUES ('{workspace}', 1)",
        f"{asset} {_sql(FILM)}, '{workspace}', 'film', 'Film ' || n, {made}, NULL, NULL, '{{}}' "
        f"FROM generate_series(0, {(shots - 1) // SHOTS_OF_A_FILM}) n",
        f"{asset} {_sql(HERO)}, '{workspace}', 'character_ref', 'Hero ' || n, {made}, NULL, NULL, '{{}}' "
        f"FROM generate_series(0, {(shots - 1) // 10}) n",
        f"{asset} {_sql(SHOT)}, '{workspace}', 'shot', 'Shot ' || lpad(n::text, 8, '0'), {made}, NULL, NULL, "
        "jsonb_build_object('shot_number', n::text, 'prompt', 'wide shot of a hero who walks into the golden sunset') "
        f"FROM generate_series(0, {shots - 1}) n",
        f"{asset} {_sql(TAKE, take='k')}, '{workspace}', 'shot_take', 'Take ' || n || '-' || k, {made}, 0.50, NULL, "
        f"jsonb_build_object('attempt_number', k, 'generation_params', {params}, 'quality_score', 8.5) FROM {takes}",
        f"{asset} {_sql(VIDEO, take='k')}, '{workspace}', 'video', 'Video ' || n || '-' || k, {made}, NULL, "
        f"'https://cdn.example.com/' || n || '/' || k, '{{\"width\": 1920, \"fps\": 24}}' FROM {takes}",
        f"{edge} {film}, {_sql(SHOT)}, 'contains_shot', n % {SHOTS_OF_A_FILM} + 1 "
        f"FROM generate_series(0, {shots - 1}) n",
        f"{edge} {_sql(SHOT)}, {_sql(HERO, 'n / 10')}, 'uses_character', NULL FROM generate_series(0, {shots - 1}) n",
        f"{edge} {_sql(SHOT)}, {_sql(TAKE, take='k')}, 'generation_attempt', k FROM {takes}",
        f"{edge} {_sql(TAKE, take='k')}, {_sql(VIDEO, take='k')}, 'generated_video', NULL FROM {takes}",
        f"INSERT INTO shot_state (workspace_id, shot_id, selected_take_id, last_attempt_number) "
        f"SELECT '{workspace}', {_sql(SHOT)}, {_sql(TAKE, take='3')}, 3 FROM generate_series(0, {shots - 1}) n",
        "ANALYZE",
    ]
    connection = await asyncpg.connect(database.operator_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
    return shots
