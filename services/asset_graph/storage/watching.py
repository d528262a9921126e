"""Following the changes of workspaces, each as its change log tells of them.

The log is written by the transaction that makes a change, and a workspace's revisions are given in the order in which
their transactions commit, so whoever sees one sees all before it. NOTIFY only wakes: every second each workspace that
is watched is looked at anyway.

A watch pulls from the log at its own pace: one that is slow costs nothing. All watches of a workspace share what was
read last. While PostgreSQL is away they end, each saying where: a silent watch would look like one in which nothing
happens.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg

from services.asset_graph.domain import faults
from services.asset_graph.domain.model import Scope
from services.asset_graph.domain.reading import AssetNotice, GraphChange, RelationshipNotice, SelectionNotice, What
from services.asset_graph.storage.database import Connection, Database
from services.kernel.faults import Fault

CHANNEL = "shotline_changes"
LOOK_EVERY = 1.0  # seconds
_RECONNECT_AFTER = 0.2  # seconds
_PATIENCE = 10.0  # seconds for one look into the log
_AT_ONCE = 16  # revisions that are read at a time
_ROWS_AT_ONCE = 200  # of the log, each of up to 1,000 items; the last revision of them is read to its end
# What one message tells at most; it stays below what a message may have. The contract says these, too.
_MOST_ASSETS, _MOST_RELATIONSHIPS, _MOST_SELECTIONS = 20_000, 50_000, 20_000
_MOST_ITEMS = 120_000  # of one revision that are looked at
_LARGE = 100_000  # characters
_RECENT = 64  # revisions of a workspace that its watches share, of not more than
_RECENT_NOTICES = 20_000  # of what changed; the last revision is kept whatever it tells
_EVERYTHING = Scope(workspaces=None)

_HEADS = "SELECT w.id, w.revision, w.oldest_revision FROM workspaces w WHERE w.id = ANY ($1)"

_LOG = """
    SELECT l.* FROM (
        SELECT c.revision, c.entity, c.kind, c.items, c.created_at, c.actor, c.client, c.request_id,
            sum(jsonb_array_length(c.items)) OVER (PARTITION BY c.revision ORDER BY c.ordinal) AS told
        FROM change_log c WHERE c.workspace_id = $1 AND c.revision > $2 AND c.revision <= (
            SELECT max(n.revision) FROM (
                SELECT o.revision FROM change_log o WHERE o.workspace_id = $1 AND o.revision > $2 AND o.revision <= $3
                ORDER BY o.revision, o.ordinal LIMIT $4
            ) n
        )
        ORDER BY c.revision, c.ordinal
    ) l WHERE l.told - jsonb_array_length(l.items) <= $5
"""

_log = logging.getLogger(__name__)


class Watching:
    """The watches of one process; fills `domain.reading.Watches`. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feeds: dict[str, _Feed] = {}
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def watch(self, workspace_id: str, after: int | None) -> "_Watch":
        """See `Watches.watch`."""
        feed = self._feeds.get(workspace_id)
        if feed is None:
            feed = self._feeds[workspace_id] = _Feed(self, workspace_id)
        watch = _Watch(feed)
        feed.watches.add(watch)
        try:
            # Counted in before it looks: what happens from here on wakes it.
            oldest, head = (await self.heads([workspace_id])).get(workspace_id, (1, 0))
            if after is not None and (after > head or 0 < after < oldest - 1):
                raise faults.revision_too_old(oldest, head)
            watch.begin(head if after is None else after or oldest - 1)
            feed.grow(head)
        except BaseException:
            watch.close()
            raise
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())
        return watch

    async def close(self) -> None:
        """End all watches."""
        for feed in list(self._feeds.values()):
            feed.end(faults.database_unavailable("this process is stopping"))
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def heads(self, workspaces: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Of workspaces that exist: the first revision that is kept, and the last one."""
        async with self._database.read(_EVERYTHING, time.monotonic() + _PATIENCE) as connection:
            rows = await connection.fetch(_HEADS, list(workspaces))
        return {row["id"]: (row["oldest_revision"], row["revision"]) for row in rows}

    async def read(self, workspace_id: str, after: int, until: int) -> list[GraphChange]:
        """Some of the changes behind one revision and up to another, in order."""
        async with self._database.read(_EVERYTHING, time.monotonic() + _PATIENCE) as connection:
            rows = await connection.fetch(_LOG, workspace_id, after, until, _ROWS_AT_ONCE, _MOST_ITEMS)
        # A large one is put together beside the event loop, which everybody else waits for.
        large = sum(len(row["items"]) for row in rows) > _LARGE
        return await asyncio.to_thread(_folded, rows) if large else _folded(rows)

    def forget(self, workspace_id: str) -> None:
        """Its last watch has left."""
        self._feeds.pop(workspace_id, None)

    async def _keep_looking(self) -> None:
        """Listen, and look at all watched workspaces whenever something was said and every second."""
        listening: Connection | None = None
        try:
            while self._feeds:
                try:
                    if listening is None or listening.is_closed():
                        listening = await self._listen()
                    await self._look()
                except Fault as fault:
                    for feed in list(self._feeds.values()):
                        feed.end(fault)
                    await asyncio.sleep(_RECONNECT_AFTER)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._woken.wait()
        except Exception as error:
            _log.exception("watching ended")
            for feed in list(self._feeds.values()):
                feed.end(error)
            raise
        finally:
            if listening is not None and not listening.is_closed():
                listening.terminate()

    async def _listen(self) -> Connection:
        connection = await self._database.connect()

        def wake(*_: object) -> None:
            self._woken.set()

        try:
            await connection.add_listener(CHANNEL, wake)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, Exception):
                raise faults.database_unavailable() from error
            raise
        connection.add_termination_listener(wake)
        return connection

    async def _look(self) -> None:
        self._woken.clear()
        for workspace_id, (_, head) in (await self.heads(self._feeds)).items():
            if feed := self._feeds.get(workspace_id):
                feed.grow(head)


class _Feed:
    """What the watches of one workspace share."""

    def __init__(self, watching: Watching, workspace_id: str) -> None:
        self.watches: set[_Watch] = set()
        self.head = 0
        self._watching = watching
        self._workspace_id = workspace_id
        self._recent: dict[int, GraphChange] = {}
        self._reading = asyncio.Lock()

    def grow(self, head: int) -> None:
        """The workspace has this revision."""
        if head > self.head:
            self.head = head
            for watch in self.watches:
                watch.woken.set()

    def end(self, trouble: Exception) -> None:
        """All watches must end."""
        for watch in list(self.watches):
            watch.trouble = trouble
            watch.woken.set()

    def leave(self, watch: "_Watch") -> None:
        """A watch that is over."""
        self.watches.discard(watch)
        if not self.watches:
            self._watching.forget(self._workspace_id)

    async def behind(self, revision: int) -> Sequence[GraphChange]:
        """Some changes behind a revision that is not the last. Raises REVISION_TOO_OLD, DATABASE_UNAVAILABLE."""
        if found := self._kept(revision):
            return found
        async with self._reading:
            # Another watch may have read them while this one waited.
            if found := self._kept(revision):
                return found
            changes = await self._watching.read(self._workspace_id, revision, min(self.head, revision + _AT_ONCE))
            if not changes or changes[0].revision != revision + 1:
                heads = await self._watching.heads([self._workspace_id])
                oldest, head = heads.get(self._workspace_id, (1, 0))
                raise faults.revision_too_old(oldest, head)
            for change in changes:
                self._recent[change.revision] = change
            self._forget_old()
            return changes

    def _forget_old(self) -> None:
        notices = 0
        for number, revision in enumerate(sorted(self._recent, reverse=True)):
            change = self._recent[revision]
            notices += len(change.assets) + len(change.relationships) + len(change.selections)
            if number and (number >= _RECENT or notices > _RECENT_NOTICES):
                del self._recent[revision]

    def _kept(self, revision: int) -> list[GraphChange]:
        found: list[GraphChange] = []
        while len(found) < _AT_ONCE and (change := self._recent.get(revision + len(found) + 1)):
            found.append(change)
        return found


class _Watch:
    """Fills `domain.reading.Watch`."""

    def __init__(self, feed: _Feed) -> None:
        self.woken = asyncio.Event()
        self.trouble: Exception | None = None  # why it must end
        self._feed = feed
        self._revision = 0

    @property
    def revision(self) -> int:
        """See `Watch.revision`."""
        return self._revision

    def begin(self, revision: int) -> None:
        """From behind this revision on."""
        self._revision = revision

    async def next(self, seconds: float) -> Sequence[GraphChange]:
        """See `Watch.next`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.woken.clear()
                    if self.trouble:
                        raise self.trouble.again() if isinstance(self.trouble, Fault) else self.trouble
                    if self._feed.head > self._revision:
                        break
                    await self.woken.wait()
        except TimeoutError:
            return ()
        changes = await self._feed.behind(self._revision)
        self._revision = changes[-1].revision
        return changes

    def close(self) -> None:
        """See `Watch.close`."""
        self._feed.leave(self)


class _Fold:
    """What became of the things of one kind in one revision: each stands once, as it was at its end."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[What, dict[str, Any]]] = {}

    def add(self, kind: str, item: dict[str, Any]) -> None:
        """The next that happened to it."""
        now = What.UPDATED if kind == "moved" else What(kind)
        before, _ = self._found.get(item["id"], (None, None))
        if before is What.CREATED and now is What.DELETED:
            del self._found[item["id"]]  # it was not there before, and is not now
            return
        if before is What.CREATED:
            now = What.CREATED
        elif before is What.DELETED:
            now = What.UPDATED  # it went and came back
        self._found[item["id"]] = now, item

    def first(self, most: int) -> list[tuple[What, dict[str, Any]]]:
        """What became of each of the first so many."""
        return list(islice(self._found.values(), most))

    def __len__(self) -> int:
        return len(self._found)


def _folded(rows: Sequence[asyncpg.Record]) -> list[GraphChange]:
    """The changes that rows of the log tell of, whole revisions in order."""
    revisions: dict[int, list[asyncpg.Record]] = {}
    for row in rows:
        revisions.setdefault(row["revision"], []).append(row)
    return [_change(revision, told) for revision, told in revisions.items()]


def _change(revision: int, rows: Sequence[asyncpg.Record]) -> GraphChange:
    assets, relationships, selections = _Fold(), _Fold(), dict[str, SelectionNotice]()
    for row in rows:
        for item in json.loads(row["items"]):
            if row["entity"] == "asset":
                assets.add(row["kind"], item)
            elif row["entity"] == "relationship":
                relationships.add(row["kind"], item)
            else:
                _select(selections, item)
    last = rows[-1]
    request_id: UUID | None = last["request_id"]
    return GraphChange(
        revision=revision,
        created_at=last["created_at"],
        actor=last["actor"],
        client=last["client"],
        request_id="" if request_id is None else str(request_id),
        assets=[
            AssetNotice(
                id=item["id"],
                what=what,
                type=item["type"],
                name=item["name"],
                etag="" if what is What.DELETED else item["etag"],
            )
            for what, item in assets.first(_MOST_ASSETS)
        ],
        relationships=[
            RelationshipNotice(
                id=item["id"],
                what=what,
                parent=item["parent"],
                child=item["child"],
                type=item["type"],
                sequence=item["sequence"],
            )
            for what, item in relationships.first(_MOST_RELATIONSHIPS)
        ],
        selections=list(selections.values())[:_MOST_SELECTIONS],
        truncated=last["told"] > _MOST_ITEMS
        or len(assets) > _MOST_ASSETS
        or len(relationships) > _MOST_RELATIONSHIPS
        or len(selections) > _MOST_SELECTIONS,
    )


def _select(selections: dict[str, SelectionNotice], item: dict[str, Any]) -> None:
    shot, take = item["shot"], item["take"] or ""
    known = selections.get(shot)
    previous = known.previous if known else item["previous"] or ""
    if take == previous:
        selections.pop(shot, None)  # it is again what it was
    else:
        selections[shot] = SelectionNotice(shot=shot, take=take, previous=previous)
