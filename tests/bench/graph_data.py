"""Graphs for the bench: as many assets as wanted, of the same shape at each size, with ids that can be computed.

The operator loads them with the triggers off (`session_replication_role`). That leaves what the triggers would have
left of the same rows, but for the log of changes: what is measured is reading.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

_BEGAN = 1_750_000_000_000  # milliseconds since 1970: when asset 0 was made; each later by one than the one before


def asset_id(number: int) -> UUID:
    """The id of an asset by its number. It sorts as ids of version 7 do: by when it was made."""
    return UUID(f"{_BEGAN + number:012x}70008000{number:012x}")


def made_at(number: int) -> float:
    """When an asset was made, in seconds since 1970."""
    return (_BEGAN + number) / 1_000


def _id(number: str) -> str:
    return f"(lpad(to_hex({_BEGAN} + {number}), 12, '0') || '70008000' || lpad(to_hex({number}), 12, '0'))::uuid"


def _time(number: str) -> str:
    return f"to_timestamp(({_BEGAN} + {number}) / 1000.0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """A workspace of films of one shape: a film, its characters, its shots each with takes and their videos, and what
    the shots use besides. Assets are numbered from `first`, film after film."""

    workspace: str
    films: int
    shots: int = 100  # of a film
    takes: int = 3  # of a shot, the second one selected
    characters: int = 10  # of a film; each shot uses four
    others: int = 289  # of a film: 100 sounds, 100 texts, 89 images; a shot uses one of each. 0: it uses nothing
    first: int = 0

    @property
    def group(self) -> int:
        """How many assets a film has, itself included."""
        return 1 + self.characters + self.shots * self._each + self.others

    @property
    def children(self) -> int:
        """How many assets each shot is the parent of."""
        return self.takes + (4 + 3 if self.others else 0)

    @property
    def _each(self) -> int:
        return 1 + 2 * self.takes

    @property
    def _first_shot(self) -> int:
        return 1 + self.characters

    def film(self, film: int) -> UUID:
        """One of the films; all places count from 0."""
        return asset_id(self.first + film * self.group)

    def character(self, film: int, place: int) -> UUID:
        """One of its characters."""
        return asset_id(self.first + film * self.group + 1 + place)

    def shot(self, film: int, place: int) -> UUID:
        """One of its shots."""
        return asset_id(self.shot_number(film, place))

    def shot_number(self, film: int, place: int) -> int:
        """The number of the asset that a shot is."""
        return self.first + film * self.group + self._first_shot + self._each * place

    def take(self, film: int, shot: int, place: int) -> UUID:
        """One of a shot's takes."""
        return asset_id(self.shot_number(film, shot) + 1 + 2 * place)

    def name(self, film: int) -> str:
        """What the names of all assets of a film begin with."""
        return f"Film {film:06d}"

    def statements(self) -> Iterator[str]:
        """What makes them, all but the workspace; in any order."""
        of_shots = f"place - {self._first_shot}"
        end = self._first_shot + self.shots * self._each
        films = f"generate_series({self.first}, {self.first + (self.films - 1) * self.group}, {self.group}) AS f"
        yield f"""
            INSERT INTO assets (id, workspace_id, type, name, url, duration, generation_cost, asset_metadata,
                                created_at, updated_at)
            SELECT {_id("n")}, '{self.workspace}', type,
                'Film ' || lpad(film::text, 6, '0') || CASE
                    WHEN type = 'film' THEN ''
                    WHEN shot IS NULL THEN ' ' || type || ' ' || place
                    ELSE ' shot ' || lpad(shot::text, 5, '0') || CASE type WHEN 'shot' THEN ''
                        WHEN 'shot_take' THEN ' take ' || take ELSE ' take ' || take || ' Video' END
                END,
                CASE WHEN type IN ('video', 'audio', 'image') THEN 'https://media.example/' || n || '.bin' END,
                CASE WHEN type IN ('video', 'audio') THEN 4.5 END,
                CASE WHEN type IN ('shot_take', 'video') THEN 0.25 END,
                CASE type
                    WHEN 'shot' THEN jsonb_build_object(
                        'description', 'They meet on the pier while the lamps go out one by one.',
                        'shot_number', lpad(shot::text, 5, '0'), 'camera_angle', 'medium two-shot',
                        'duration_target', 4.5,
                        'prompt', 'two people on a pier at dusk, lamps, slow push in, light fog over still water')
                    WHEN 'shot_take' THEN jsonb_build_object(
                        'attempt_number', take, 'selected', take = 2, 'quality_score', 0.75,
                        'generation_params', jsonb_build_object('provider', 'minimax', 'model', 'video-01', 'seed', n))
                    WHEN 'video' THEN '{{"width": 1280, "height": 720, "fps": 24}}'
                    ELSE jsonb_build_object('description', 'made for the bench', 'number', n)
                END,
                {_time("n")}, {_time("n")}
            FROM (
                SELECT n, film, place,
                    CASE WHEN in_shots THEN ({of_shots}) / {self._each} END AS shot,
                    (({of_shots}) % {self._each} + 1) / 2 AS take,
                    CASE
                        WHEN place = 0 THEN 'film'
                        WHEN place < {self._first_shot} THEN 'character_ref'
                        WHEN in_shots THEN CASE
                            WHEN ({of_shots}) % {self._each} = 0 THEN 'shot'
                            WHEN ({of_shots}) % {self._each} % 2 = 1 THEN 'shot_take' ELSE 'video' END
                        WHEN place < {end + 100} THEN 'audio'
                        WHEN place < {end + 200} THEN 'text'
                        ELSE 'image'
                    END AS type
                FROM (
                    SELECT n, (n - {self.first}) / {self.group} AS film, (n - {self.first}) % {self.group} AS place,
                        (n - {self.first}) % {self.group} BETWEEN {self._first_shot} AND {end - 1} AS in_shots
                    FROM generate_series({self.first}, {self.first + self.films * self.group - 1}) AS n
                ) p
            ) t
        """
        # Of each edge the numbers of parent and child, by f (the number of the film) and s (the place of the shot).
        shot = f"(f + {self._first_shot} + {self._each} * s)"
        edges = [("f", shot, "contains_shot", "s + 1")]
        for take in range(self.takes):
            its = f"({shot} + {1 + 2 * take})"
            edges += [
                (shot, its, "generation_attempt", f"{take + 1}"),
                (its, f"({its} + 1)", "generated_video", "NULL"),
            ]
        if self.others:
            edges += [(shot, f"(f + 1 + (s + {i}) % {self.characters})", "uses_character", "NULL") for i in range(4)]
            edges += [
                (shot, f"(f + {end} + s % 100)", "uses_audio", "1"),
                (shot, f"(f + {end + 100} + s % 100)", "uses_script", "NULL"),
                (shot, f"(f + {end + 200} + s % 89)", "uses_asset", "NULL"),
            ]
        rows = ", ".join(f"({index}, {p}, {c}, '{kind}', {n}::int)" for index, (p, c, kind, n) in enumerate(edges))
        yield f"""
            INSERT INTO asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type,
                                             sequence, created_at)
            SELECT (lpad(to_hex({_BEGAN} + f), 12, '0') || '70009000' || lpad(to_hex(f), 6, '0')
                    || lpad(to_hex(s), 4, '0') || lpad(to_hex(kind), 2, '0'))::uuid,
                '{self.workspace}', {_id("parent")}, {_id("child")}, type, place, {_time("f")}
            FROM {films}, generate_series(0, {self.shots - 1}) AS s,
                LATERAL (VALUES {rows}) AS e (kind, parent, child, type, place)
        """
        yield f"""
            INSERT INTO shot_state (workspace_id, shot_id, selected_take_id, last_attempt_number)
            SELECT '{self.workspace}', {_id(shot)}, {_id(f"({shot} + 3)")}, {self.takes}
            FROM {films}, generate_series(0, {self.shots - 1}) AS s
        """


_INDEXES = """
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
    FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid
    WHERE i.indrelid = $1::text::regclass AND c.oid IS NULL
"""


async def fill(operator_url: str, *films: Films) -> None:
    """Load films into an empty, migrated database, and let the planner know them."""
    connection = await asyncpg.connect(operator_url)
    try:
        for each in films:
            await connection.execute("INSERT INTO workspaces (id) VALUES ($1) ON CONFLICT DO NOTHING", each.workspace)
        statements = [list(each.statements()) for each in films]
        # With the triggers off no table asks another.
        await asyncio.gather(
            _load(operator_url, "assets", [assets for assets, _, _ in statements]),
            _load(operator_url, "asset_relationships", [each for _, *others in statements for each in others]),
        )
        await connection.execute("VACUUM (ANALYZE) assets, asset_relationships, shot_state, workspaces")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _load(operator_url: str, table: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(operator_url)
    try:
        await connection.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'"
        )
        # To sort each index once takes a third of the time of keeping it in order row by row.
        indexes = await connection.fetch(_INDEXES, table)
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['name']}")
        for statement in statements:
            await connection.execute(statement)
        for index in indexes:
            await connection.execute(index["definition"])
    finally:
        await connection.close()
