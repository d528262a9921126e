"""The asset graph against hand-written SQL: rows of `make bench`.

Both sides use one PostgreSQL, the embedded one as `shotline up` starts it. Ours is the asset-graph process on its own
port, called by a token of one workspace: authentication, row-level security, request ids and the log of calls are in
its figure. The opponent is a prepared asyncpg statement, as the operator, whom no row-level security holds; on small
work a bare gRPC call of a server in another process is added to it. Its writes go to the same tables, so our triggers,
which log, number and check, are in its figure as well; one row says what they cost.
"""

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from tests.bench.figures import Row, compared, p99
from tests.bench.graph_data import Films, fill, made_at
from tests.bench.graph_sides import Client, Service, Turn, alternating, ask, bare_call, service, timed, together
from tests.postgres import Database, running

OPPONENT = "the statement and a bare call"

_COLUMNS = (
    "{0}.id, {0}.workspace_id, {0}.type, {0}.name, {0}.url, {0}.duration, {0}.generation_cost, {0}.asset_metadata, \
{0}.etag, {0}.created_at, {0}.updated_at"
)
_GET = f"SELECT {_COLUMNS.format('a')} FROM assets a WHERE a.id = $1"
_CHILDREN = f"""
    SELECT {_COLUMNS.format("a")}, r.id, r.relationship_type, r.sequence, r.metadata
    FROM asset_relationships r JOIN assets a ON a.id = r.child_asset_id
    WHERE r.parent_asset_id = $1 ORDER BY r.relationship_type, r.sequence, r.id LIMIT 101
"""
_FILM = f"""
    SELECT {_COLUMNS.format("s")}, c.sequence, {_COLUMNS.format("t")}, g.sequence, {_COLUMNS.format("v")}, (
        SELECT count(*) FROM asset_relationships n
        WHERE n.parent_asset_id = $1 AND n.relationship_type = 'contains_shot'
    ) AS shots
    FROM asset_relationships c
    JOIN assets s ON s.id = c.child_asset_id
    LEFT JOIN asset_relationships g ON g.parent_asset_id = s.id AND g.relationship_type = 'generation_attempt'
    LEFT JOIN assets t ON t.id = g.child_asset_id
    LEFT JOIN asset_relationships w ON w.parent_asset_id = t.id AND w.relationship_type = 'generated_video'
    LEFT JOIN assets v ON v.id = w.child_asset_id
    WHERE c.parent_asset_id = $1 AND c.relationship_type = 'contains_shot' AND c.sequence <= $2
    ORDER BY c.sequence, g.sequence
"""
_INSERT = """
    WITH made AS (
        INSERT INTO assets (id, workspace_id, type, name, asset_metadata) VALUES ($1, $2, 'shot', $3, $4)
        RETURNING id, workspace_id
    )
    INSERT INTO asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type)
    SELECT $5, workspace_id, $6, id, 'contains_shot' FROM made
"""
_INSERT_ASSETS = """
    INSERT INTO {0}.assets (id, workspace_id, type, name, asset_metadata)
    SELECT i, $2, 'shot', n, m FROM unnest($1::uuid[], $3::text[], $4::jsonb[]) AS t (i, n, m)
"""
_INSERT_EDGES = """
    INSERT INTO {0}.asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence)
    SELECT i, $2, $3, c, 'contains_shot', s FROM unnest($1::uuid[], $4::uuid[], $5::int[]) AS t (i, c, s)
"""
_PLAIN = """
    CREATE SCHEMA plain;
    CREATE TABLE plain.assets (LIKE public.assets INCLUDING ALL);
    CREATE TABLE plain.asset_relationships (LIKE public.asset_relationships INCLUDING ALL);
    ALTER TABLE plain.assets ADD FOREIGN KEY (workspace_id) REFERENCES public.workspaces;
    ALTER TABLE plain.asset_relationships
        ADD FOREIGN KEY (parent_asset_id, workspace_id) REFERENCES plain.assets (id, workspace_id) ON DELETE CASCADE,
        ADD FOREIGN KEY (child_asset_id, workspace_id) REFERENCES plain.assets (id, workspace_id) ON DELETE CASCADE;
"""
_SELECT_TAKE = "UPDATE shot_state SET selected_take_id = $3 WHERE shot_id = $1 AND workspace_id = $2"
_UPDATE = "UPDATE assets SET asset_metadata = asset_metadata || $3 WHERE id = $1 AND workspace_id = $2"
_FILTER = f"""
    SELECT {_COLUMNS.format("a")} FROM assets a
    WHERE a.workspace_id = $1 AND a.type = 'shot_take' AND a.asset_metadata @> $2 ORDER BY a.created_at, a.id LIMIT 101
"""
_METADATA = '{"description": "They meet on the pier while the lamps go out one by one.", "duration_target": 4.5}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rounds: int
    small: int  # films of 1,000 assets each
    large: int
    shots: int  # of a film whose structure is read, and ten times as many
    changes: int  # of a large change, of assets and again of edges
    divisor: int  # of how often a round does a thing

    def count(self, full: int) -> int:
        return max(full // self.divisor, 2)


FULL = Size(rounds=7, small=10, large=1_000, shots=1_000, changes=1_000, divisor=1)
SMALL = Size(rounds=1, small=1, large=2, shots=20, changes=20, divisor=50)


def graph_rows(folder: Path, *, small: bool) -> Iterator[Row]:
    """All rows of the asset graph. Small ones show that they work and measure nothing."""
    with asyncio.Runner() as runner:
        rows = Graphs(folder / "graph", SMALL if small else FULL).rows()
        try:
            while (row := runner.run(anext(rows, None))) is not None:
                yield row
        finally:
            runner.run(rows.aclose())


class Side:
    """A database with its service, a client of one workspace, and the operator's connection."""

    def __init__(self, database: Database, service: Service, client: Client, sql: asyncpg.Connection) -> None:
        self.database = database
        self.service = service
        self.client = client
        self.sql = sql

    def call(self, method: str, requests: Sequence[object]) -> Turn:
        """The requests in turn, over and over."""
        asking, endless = ask(self.client, method), itertools.cycle(requests)
        return timed(lambda: asking(next(endless)))

    async def statement(self, sql: str, arguments: Sequence[Sequence[object]]) -> Turn:
        """A prepared statement with these arguments in turn, over and over."""
        prepared, endless = await self.sql.prepare(sql), itertools.cycle(arguments)
        return timed(lambda: prepared.fetch(*next(endless)))


class Graphs:
    """What is measured on graphs; their folder is for tokens and logs."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder = folder
        self._size = size

    async def rows(self) -> AsyncGenerator[Row]:
        """All rows."""
        size = self._size
        small = Films(workspace="bench", films=size.small)
        large = Films(workspace="bench", films=size.large)
        plain = {"takes": 3, "characters": 0, "others": 0, "films": 1}
        short = Films(workspace="film", shots=size.shots, **plain)
        long = Films(workspace="film", shots=10 * size.shots, first=short.group, **plain)
        # A larger journal than usual, so that loading a million assets is not all checkpoints.
        with running("pg18", max_wal_size="8GB") as server:
            template = server.asset_graph_template()
            async with bare_call() as bare:
                async with self._side("films", server.database(template), "film", short, long) as side:
                    async for row in self._films(side, short, long):
                        yield row
                async with self._side("small", server.database(template), "bench", small) as few:
                    async for row in self._reads(few, small, bare):
                        yield row
                    async with self._side("large", server.database(template), "bench", large) as many:
                        async for row in self._scale(few, small, many, large):
                            yield row
                        yield await self._filter(many, large, bare)
                    async for row in self._writes(few, small, bare):
                        yield row

    @asynccontextmanager
    async def _side(self, name: str, database: Any, workspace: str, *films: Films) -> AsyncIterator[Side]:
        with ExitStack() as stack:
            made = stack.enter_context(database)
            await fill(made.operator_url, *films)
            running_service = stack.enter_context(service(self._folder / name, made))
            sql = await asyncpg.connect(made.operator_url)
            try:
                async with running_service.client(workspace) as client:
                    yield Side(made, running_service, client, sql)
            finally:
                await sql.close()

    async def _reads(self, side: Side, films: Films, bare: Turn) -> AsyncIterator[Row]:
        shots = _shots(films)
        count = self._size.count(200)
        ours = side.call("GetAsset", [pb.GetAssetRequest(id=str(each)) for each in shots])
        theirs = together(await side.statement(_GET, [(each,) for each in shots]), bare)
        yield await self._compared(f"get an asset by id (opponent: {OPPONENT})", count, ours, theirs, 2.0)
        ours = side.call("ListChildren", [pb.ListChildrenRequest(parent_asset_id=str(each)) for each in shots])
        theirs = together(await side.statement(_CHILDREN, [(each,) for each in shots]), bare)
        yield await self._compared(f"the 10 children of a shot (opponent: {OPPONENT})", count, ours, theirs, 2.0)

    async def _films(self, side: Side, short: Films, long: Films) -> AsyncIterator[Row]:
        shots = self._size.shots
        page = min(100, shots // 2)
        film = short.film(0)
        first = side.call("GetFilmStructure", [pb.GetFilmStructureRequest(film_id=str(film), page_size=page)])
        floor = await side.statement(_FILM, [(film, page)])
        label = f"film → {shots:,} shots → 3 takes → video: first page of {page} (opponent: one query for as many)"
        yield await self._compared(label, self._size.count(30), first, floor, 1.5)
        whole = timed(lambda: _whole_film(side.client, film, shots))
        label = f"film → {shots:,} shots → 3 takes → video: whole, by pages of up to 1,000 (opponent: one query)"
        yield await self._compared(label, self._size.count(4), whole, await side.statement(_FILM, [(film, shots)]), 1.5)
        larger = timed(lambda: _whole_film(side.client, long.film(0), 10 * shots))
        query = await side.statement(_FILM, [(long.film(0), 10 * shots)])
        all_ours, fewer, queries = await alternating(min(self._size.rounds, 5), 1, larger, whole, query)
        label = f"the whole film of {10 * shots:,} shots (opponent:"
        yield compared(f"{label} ours, of {shots:,})", all_ours, fewer, 11.0)
        yield compared(f"{label} one query)", all_ours, queries)

    async def _scale(self, few: Side, small: Films, many: Side, large: Films) -> AsyncIterator[Row]:
        """Each read at both sizes; the same number of rows is found."""

        def both(method: str, request: Callable[[Films, int, int], object]) -> tuple[Turn, Turn]:
            return tuple(  # type: ignore[return-value]
                side.call(method, [request(films, film, place) for film, place in _places(films)])
                for side, films in ((many, large), (few, small))
            )

        wanted: list[tuple[str, int, tuple[Turn, Turn]]] = [
            ("get", 100, both("GetAsset", lambda f, film, at: pb.GetAssetRequest(id=str(f.take(film, at, 1))))),
            (
                "children",
                100,
                both("ListChildren", lambda f, film, at: pb.ListChildrenRequest(parent_asset_id=str(f.shot(film, at)))),
            ),
            (
                "parents (the 40 shots of a character)",
                50,
                both(
                    "ListParents",
                    lambda f, film, at: pb.ListParentsRequest(child_asset_id=str(f.character(film, at % 10))),
                ),
            ),
            (
                "takes",
                100,
                both("ListShotTakes", lambda f, film, at: pb.ListShotTakesRequest(shot_id=str(f.shot(film, at)))),
            ),
            ("list by type and time", 30, both("ListAssets", _by_time)),
            ("list by name prefix", 30, both("ListAssets", _by_name)),
        ]
        sizes = f"at {large.films * large.group:,} assets (opponent: ours, at {small.films * small.group:,})"
        for name, count, (ours, theirs) in wanted:
            yield await self._compared(f"{name} {sizes}", self._size.count(count), ours, theirs, 1.3)

    async def _filter(self, side: Side, films: Films, bare: Turn) -> Row:
        seeds = [films.shot_number(film, place) + 1 for film, place in _places(films)]
        texts = [f'{{"generation_params": {{"seed": {seed}}}}}' for seed in seeds]
        requests = [
            pb.ListAssetsRequest(workspace_id=films.workspace, types=["shot_take"], metadata_contains_json=text)
            for text in texts
        ]
        answer = await ask(side.client, "ListAssets")(requests[0])
        _sure(len(answer.assets) == 1)  # type: ignore[attr-defined]
        ours = side.call("ListAssets", requests)
        theirs = together(await side.statement(_FILTER, [(films.workspace, text) for text in texts]), bare)
        label = f"one of {3 * films.shots * films.films:,} takes by metadata (opponent: {OPPONENT})"
        return await self._compared(label, 1, ours, theirs, None)

    async def _writes(self, side: Side, films: Films, bare: Turn) -> AsyncIterator[Row]:
        workspace = films.workspace
        size = self._size
        creating = ask(side.client, "CreateShot")
        film = await _new_film(side, workspace)
        insert = await side.sql.prepare(_INSERT)

        async def create() -> None:
            await creating(
                pb.CreateShotRequest(
                    workspace_id=workspace,
                    name="Shot",
                    metadata_json=_METADATA,
                    parent_asset_id=str(film),
                    request_id=_new(),
                )
            )

        async def theirs() -> None:
            await insert.fetch(uuid.uuid4(), workspace, "Shot", _METADATA, uuid.uuid4(), film)

        label = f"insert an asset and its edge (opponent: {OPPONENT}, with our triggers)"
        yield await self._compared(label, size.count(50), timed(create), together(timed(theirs), bare), 2.0)

        await side.sql.execute(_PLAIN)
        turns = [
            self._many(side, workspace),
            *(self._unnest(side, workspace, schema) for schema in ("public", "plain")),
        ]
        ours, floor, plain = await alternating(size.rounds, size.count(3), *turns)
        label = f"{size.changes:,} assets and {size.changes:,} edges in one call (opponent: unnest into"
        yield compared(f"{label} the same tables, with our triggers)", ours, floor, 1.5)
        yield compared(f"{label} plain tables with the same indexes and foreign keys)", ours, plain)

        shot = films.shot(0, 0)
        selecting = ask(side.client, "SelectTake")
        takes = itertools.cycle([films.take(0, 0, 0), films.take(0, 0, 2)])

        async def select() -> None:
            await selecting(pb.SelectTakeRequest(shot_id=str(shot), take_id=str(next(takes)), request_id=_new()))

        selection = await side.sql.prepare(_SELECT_TAKE)
        point = timed(lambda: selection.fetch(shot, workspace, next(takes)))
        label = f"select another take of a shot (opponent: {OPPONENT}, with our triggers)"
        yield await self._compared(label, size.count(50), timed(select), together(point, bare), None)

        updated = await side.sql.prepare(_UPDATE)
        edits = itertools.count()
        update = timed(lambda: _update(side.client, films.shot(0, 1), next(edits)))
        patch = timed(lambda: updated.fetch(films.shot(0, 1), workspace, f'{{"prompt": "take {next(edits)}"}}'))
        label = f"update an asset (opponent: {OPPONENT}, with our triggers)"
        yield await self._compared(label, size.count(50), update, together(patch, bare), None)
        yield await self._at_once(side, films)
        yield await self._watching(side, films)

    def _many(self, side: Side, workspace: str) -> Turn:
        """The shots of a new film as one change."""

        async def turn() -> float:
            film = await _new_film(side, workspace)
            shots = [
                pb.Change(
                    temp_id=f"$shot-{number}",
                    create_asset=pb.CreateAssetRequest(type="shot", name=f"Shot {number}", metadata_json=_METADATA),
                )
                for number in range(self._size.changes)
            ]
            edges = [
                pb.Change(
                    create_relationship=pb.CreateRelationshipRequest(
                        parent_asset_id=str(film), child_asset_id=f"$shot-{number}", relationship_type="contains_shot"
                    )
                )
                for number in range(self._size.changes)
            ]
            request = pb.ApplyChangesRequest(workspace_id=workspace, changes=shots + edges, request_id=_new())
            return await timed(lambda: ask(side.client, "ApplyChanges")(request))()

        return turn

    def _unnest(self, side: Side, workspace: str, schema: str) -> Turn:
        """The same by two statements in one transaction."""

        async def turn() -> float:
            film = await _new_film(side, workspace, schema)
            numbers = range(self._size.changes)
            shots, edges = _sorted_ids(len(numbers)), _sorted_ids(len(numbers))
            names, metadata = [f"Shot {number}" for number in numbers], [_METADATA] * len(numbers)

            async def insert() -> None:
                async with side.sql.transaction():
                    await side.sql.fetch(_INSERT_ASSETS.format(schema), shots, workspace, names, metadata)
                    places = list(range(1, len(numbers) + 1))
                    await side.sql.fetch(_INSERT_EDGES.format(schema), edges, workspace, film, shots, places)

            return await timed(insert)()

        return turn

    async def _at_once(self, side: Side, films: Films) -> Row:
        """Updates of different assets of one workspace, each of which holds the workspace's lock: time per update."""
        clients, each = 8, self._size.count(40)
        edits = itertools.count()
        alone: list[list[float]] = []
        at_once: list[list[float]] = []
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(side.service.client(films.workspace)) for _ in range(clients)]

            async def updates(number: int) -> list[float]:
                update = timed(lambda: _update(callers[number], films.shot(0, 10 + number), next(edits)))
                return [await update() for _ in range(each)]

            for round_number in range(self._size.rounds + 1):
                took = await updates(0)
                began = time.perf_counter()
                await asyncio.gather(*map(updates, range(clients)))
                if round_number:
                    alone.append(took)
                    at_once.append([(time.perf_counter() - began) * 1e3 / (each * clients)])
        per_second = 1e3 / statistics.median(map(statistics.median, at_once))
        ratios = [statistics.median(a) / b for a, (b,) in zip(alone, at_once, strict=True)]
        return Row(
            work=f"updates of one workspace from 8 connections, each: {per_second:,.0f} in a second "
            "(opponent: ours, from one connection; × as many)",
            ours=statistics.median(map(statistics.median, at_once)),
            ours_p99=p99(at_once),
            theirs=statistics.median(map(statistics.median, alone)),
            theirs_p99=p99(alone),
            ratio=statistics.median(ratios),
            target="–",
        )

    async def _watching(self, side: Side, films: Films) -> Row:
        """Until a watch has an update of its own client, against the update's own answer."""
        edits = itertools.count()
        seen: list[list[float]] = []
        answered: list[list[float]] = []
        async with side.service.client(films.workspace) as watcher:
            request = pb.WatchChangesRequest(workspace_id=films.workspace)
            watch = watcher.stub.WatchChanges(request, metadata=watcher.metadata)
            await watch.read()  # where it is
            for round_number in range(self._size.rounds + 1):
                times: list[tuple[float, float]] = []
                for _ in range(self._size.count(40)):
                    began = time.perf_counter()
                    arriving = asyncio.create_task(_arrival(watch))
                    await _update(side.client, films.shot(0, 2), next(edits))
                    answer = time.perf_counter()
                    times.append(((await arriving - began) * 1e3, (answer - began) * 1e3))
                if round_number:
                    seen.append([each for each, _ in times])
                    answered.append([each for _, each in times])
            watch.cancel()
        return compared("watch: until a client has its own update (opponent: its own answer)", seen, answered)

    async def _compared(self, label: str, count: int, ours: Turn, theirs: Turn, target: float | None) -> Row:
        mine, other = await alternating(self._size.rounds, count, ours, theirs)
        return compared(label, mine, other, target)


async def _whole_film(client: Client, film: uuid.UUID, shots: int) -> None:
    asking = ask(client, "GetFilmStructure")
    request = pb.GetFilmStructureRequest(film_id=str(film), page_size=1_000)
    found = 0
    while True:
        answer: Any = await asking(request)
        found += len(answer.shots)
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    _sure(found == shots)


async def _update(client: Client, asset: uuid.UUID, number: int) -> None:
    text = f'{{"prompt": "take {number}"}}'
    await ask(client, "UpdateAsset")(pb.UpdateAssetRequest(id=str(asset), metadata_json=text, request_id=_new()))


async def _arrival(watch: Any) -> float:
    """When the next change comes."""
    while True:
        message = await watch.read()
        if message.WhichOneof("message") == "change":
            return time.perf_counter()


async def _new_film(side: Side, workspace: str, schema: str = "public") -> uuid.UUID:
    film = uuid.uuid4()
    await side.sql.execute(
        f"INSERT INTO {schema}.assets (id, workspace_id, type, name) VALUES ($1, $2, 'film', 'Film')", film, workspace
    )
    return film


def _sorted_ids(count: int) -> list[uuid.UUID]:
    """Ids of version 7 as far as an index can tell."""
    now = time.time_ns() // 1_000_000
    return sorted(uuid.UUID(f"{now:012x}7{uuid.uuid4().hex[13:]}") for _ in range(count))


def _places(films: Films) -> list[tuple[int, int]]:
    """100 shots from all over a workspace: film and place."""
    return [(number * films.films // 100, number * 37 % films.shots) for number in range(100)]


def _shots(films: Films) -> list[uuid.UUID]:
    return [films.shot(film, place) for film, place in _places(films)]


def _by_time(films: Films, film: int, place: int) -> pb.ListAssetsRequest:
    """A page of a hundred shots, from some time on."""
    from_shot = films.shot_number(film, place if film < films.films - 1 else 0)
    request = pb.ListAssetsRequest(workspace_id=films.workspace, types=["shot"])
    request.created_from.FromDatetime(datetime.fromtimestamp(made_at(from_shot), UTC))
    return request


def _by_name(films: Films, film: int, place: int) -> pb.ListAssetsRequest:
    """Ten shots with their takes and videos: 70 assets."""
    prefix = f"{films.name(film)} shot {place // 10:04d}"
    return pb.ListAssetsRequest(workspace_id=films.workspace, name_prefix=prefix, order=pb.ASSET_ORDER_NAME)


def _new() -> str:
    return str(uuid.uuid4())


def _sure(right: bool) -> None:
    if not right:
        raise SystemExit("an answer of the bench is not what it asks for")
