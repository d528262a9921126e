"""Several servers write one log, are restarted, killed in a line, and have it deleted: always as a plain model says."""

import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.kernel.faults import Fault
from services.sequence_file.domain.ports import Request
from services.sequence_file.storage import log as log_module
from services.sequence_file.storage.log import Batch, Known, Log
from tests.storage.logged import batch, edit, etag, nothing
from tests.storage.projects import UnsyncedDisk

FILES = ("a", "b", "c")
SERVERS = st.integers(0, 2)
RETENTION = log_module.RETENTION


@dataclass
class Told:
    """What one log is to tell, from its first line to its deletion."""

    revisions: list[tuple[str, float]] = field(default_factory=list)  # summaries and times
    known: dict[str, Known] = field(default_factory=dict)
    versions: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    answers: dict[str, tuple[int, float]] = field(default_factory=dict)  # revisions and times by request id
    surveyed: bool = False
    begun: bool = False  # whether there is a file at all


@dataclass
class Started:
    """A batch without a mark."""

    batch: Batch
    owner: Log
    told: Told  # in which log it was begun
    at: float


class Servers(RuleBasedStateMachine):
    """Three servers of one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.place = TemporaryDirectory(prefix="shotline-")
        self.state = Path(self.place.name) / ".shotline"
        self.file = self.state / "changes.jsonl"
        self.state.mkdir()
        self.now = 1_000_000.0
        self.logs = [self.start() for _ in range(3)]
        self.told = Told()
        self.open: dict[str, Started] = {}
        self.number = 0

    def start(self) -> Log:
        return Log(UnsyncedDisk(), self.place.name, (), clock=lambda: self.now)

    def teardown(self) -> None:
        self.logs.clear()
        self.open.clear()
        self.place.cleanup()

    def happened(self, what: Batch, at: float) -> int:
        """The model's part of a batch that is done; its first revision."""
        told, head = self.told, len(self.told.revisions)
        told.begun = True
        for made in what.made:
            if made.files:
                told.revisions.append((made.summary, at))
            if made.request:
                told.answers[made.request.id] = len(told.revisions) if made.files else 0, at
        if len(told.revisions) == head:
            return 0
        for touched in what.touched:
            told.known[touched.key] = Known(
                revision=len(told.revisions), etag=touched.after, file=touched.file, sequence_id=touched.key
            )
            told.versions.setdefault(touched.key, []).append((len(told.revisions), touched.after))
        return head + 1

    def some(self, files: list[list[str]], requests: bool) -> Batch:
        """A batch of changes; one of no files changes nothing."""
        made = []
        for of in files:
            self.number += 1
            once = Request(id=str(uuid.uuid4()), fingerprint="f") if requests or not of else None
            made.append(edit(self.number, of=of, once=once) if of else nothing(once or Request(id="", fingerprint="")))
        return batch(*made, number=self.number)

    @rule(
        at=SERVERS,
        files=st.lists(st.lists(st.sampled_from(FILES), unique=True, max_size=2), min_size=1, max_size=3),
        requests=st.booleans(),
    )
    def begin(self, at: int, files: list[list[str]], requests: bool) -> None:
        what = self.some(files, requests)
        name = self.logs[at].begin(what, durably=requests)
        self.told.begun = True
        self.open[name] = Started(what, self.logs[at], self.told, self.now)

    @rule(at=SERVERS, which=st.integers(0, 9), mine=st.booleans())
    def done(self, at: int, which: int, mine: bool) -> None:
        if not self.open:
            return
        name = list(self.open)[which % len(self.open)]
        started = self.open[name]
        log = started.owner if mine else self.logs[at]
        given = log.done(name)
        del self.open[name]
        if started.told is self.told:
            assert given == self.happened(started.batch, started.at)
        elif log is started.owner:  # its log was deleted
            assert given == self.happened(started.batch, self.now)
        else:
            assert given == 0

    @rule(at=SERVERS, which=st.integers(0, 9))
    def void(self, at: int, which: int) -> None:
        if self.open:
            name = list(self.open)[which % len(self.open)]
            self.logs[at].void(name)
            started = self.open.pop(name)
            if started.told is not self.told:
                started.owner.void(name)

    @rule(at=SERVERS, files=st.lists(st.lists(st.sampled_from(FILES), unique=True, max_size=2), min_size=1, max_size=2))
    def record(self, at: int, files: list[list[str]]) -> None:
        what = self.some(files, requests=False)
        assert self.logs[at].record(what) == self.happened(what, self.now)

    @rule(at=SERVERS, file=st.sampled_from(FILES))
    def baseline(self, at: int, file: str) -> None:
        self.number += 1
        self.logs[at].baseline(file, f"{file}.json", file, etag(self.number))
        if file not in self.told.known:
            self.told.begun = True
            self.told.known[file] = Known(revision=0, etag=etag(self.number), file=f"{file}.json", sequence_id=file)
            self.told.versions.setdefault(file, []).append((0, etag(self.number)))

    @rule(at=SERVERS)
    def survey(self, at: int) -> None:
        self.logs[at].set_surveyed()
        self.told.surveyed = self.told.begun = True

    @rule(at=SERVERS)
    def restart(self, at: int) -> None:
        self.logs[at] = self.start()

    @rule(at=SERVERS)
    def close(self, at: int) -> None:
        self.logs[at].close()

    @rule(torn=st.sampled_from([b"{", b'{"done": "x", "revision": 1}', b"\0\0", b'{"batch": "\xff']))
    def kill_somebody_in_a_line(self, torn: bytes) -> None:
        if self.file.exists():
            with self.file.open("ab") as file:
                file.write(torn)

    @rule(seen=SERVERS, empty=st.booleans())
    def delete(self, seen: int, empty: bool) -> None:
        if empty and self.file.exists():
            self.file.write_bytes(b"")
        else:
            shutil.rmtree(self.state)
            self.logs[seen].catch_up()
            self.state.mkdir()
        self.told = Told()

    @rule(hours=st.sampled_from([1, 9, 30]))
    def sleep(self, hours: int) -> None:
        self.now += hours * 3600
        for name, each in list(self.open.items()):
            if not each.batch.touched and each.at < self.now - RETENTION:
                del self.open[name]  # nobody looks for it any more, and it need not be kept

    @initialize()
    def begin_with_something(self) -> None:
        self.record(0, [["a"]])

    @invariant()
    def every_server_tells_the_same(self) -> None:
        live = {name: each for name, each in self.open.items() if each.told is self.told}
        for log in self.logs:
            log.catch_up()
            self.check(log, live)
        assert len({log.log_id for log in self.logs}) == 1
        assert (self.logs[0].log_id != "") == self.told.begun

    def check(self, log: Log, live: dict[str, Started]) -> None:
        told = self.told
        revisions = told.revisions
        assert log.head == log.make_durable() == len(revisions)
        assert log.surveyed == told.surveyed
        assert log.keys() == told.known
        for file in FILES:
            assert [(each.revision, each.etag) for each in log.versions(file)] == told.versions.get(file, [])
            of_file = [
                (name, each.batch) for name, each in live.items() if any(t.key == file for t in each.batch.touched)
            ]
            assert log.open_batches(file) == of_file
        young = [number for number, (_, at) in enumerate(revisions, 1) if at >= self.now - RETENTION]
        assert log.oldest <= min(young, default=log.head + 1)
        after = log.oldest - 1
        found = [(change.revision, change.summary, change.at.timestamp()) for change in log.changes(after, 1000)]
        assert found == [(number, *each) for number, each in enumerate(revisions, 1) if number > after]
        assert [change.revision for change in log.changes(log.head - min(log.head - after, 2), 1)] == [
            number for number in (max(after + 1, log.head - 1),) if number <= log.head
        ]
        if after:
            with pytest.raises(Fault, match="not kept"):
                log.changes(after - 1, 1)
        for request, (revision, at) in told.answers.items():
            answer = log.answer(Request(id=request, fingerprint="f"))
            assert (answer.revision if answer else None) == (revision if at >= self.now - RETENTION else None)
        for each in live.values():
            for made in each.batch.made:
                assert made.request is None or log.answer(made.request) is None


def test_servers_restarts_kills_and_deletions_follow_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_REWRITE_BYTES", 2000)
    monkeypatch.setattr(log_module, "_REWRITE_PAUSE", 0.0)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Servers,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
