"""Everything at once, against a model: editors, batches, structure, the past, other programs, crashes and restarts.

Two servers take turns on one project. A server is killed behind an operation on the disk that is chosen at random, and
comes back; then the change was made or was not, as the model would have it, and nothing else.
"""

import json
import shutil
from collections.abc import Callable, Coroutine
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain.batch import Batch, ShotEdit
from services.sequence_file.domain.changes import What
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.ports import Caller, Outcome
from services.sequence_file.domain.steps import Edit, Place
from tests.storage import projects
from tests.storage.desk import Desk, DeskSequences, at_once
from tests.storage.interrupted import InterruptedDisk
from tests.storage.power import Killed

Ask = Callable[[Library, Caller], Coroutine[Any, Any, Outcome]]

# Where in its work on a change a server is killed, in hundredths of about how long it is; from 100 on not at all.
kills = st.sampled_from(range(200))
_ONE_FILE, _SEVERAL = 60, 160  # operations on the disk that a change is, about
servers = st.integers(0, 1)
picks = st.integers(0, 1 << 16)  # taken modulo what there is
texts = st.sampled_from(["", "·", "dawn", "night"])
lengths = st.sampled_from(["0", "1", "2.5", "0.1"])
yes_or_no = st.booleans()


@dataclass
class Sequence:
    """What a file is to hold: its shots as (id, note, seconds)."""

    name: str = ""
    order: int | None = None
    shots: list[tuple[str, str, float]] = field(default_factory=list)

    def index(self, shot: str) -> int:
        return [each[0] for each in self.shots].index(shot)


def sequence_of(raw: bytes, where: object) -> Sequence:
    """What a file holds; its numbers and totals must be true."""
    document = json.loads(raw)
    shots = [(each["id"], each.get("note", ""), each["timing"]["duration"]) for each in document["shots"]]
    numbers = [(each.get("number"), place) for place, each in enumerate(document["shots"], 1)]
    assert all(number in (None, place) for number, place in numbers), (numbers, where)
    assert document["shot_count"] == len(shots), where
    assert abs(document["duration"] - sum(seconds for _, _, seconds in shots)) < 1e-6, (raw, where)
    return Sequence(document.get("name", ""), document.get("order"), shots)


def file_of(sequence: str) -> str:
    return f"sequences/sequence_{sequence}.json"


class Film(RuleBasedStateMachine):
    """A project, two servers, and what must be in it."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp(prefix="shotline-", dir="/dev/shm" if Path("/dev/shm").exists() else None))
        self.project = self.folder / "project"
        (self.project / "sequences").mkdir(parents=True)
        self.model: dict[str, Sequence] = {}
        self.deleted: dict[str, Sequence] = {}
        self.made = 0
        for sequence, count in (("001", 3), ("002", 2)):
            shots = [(f"{sequence}-{number}", "", 1.0) for number in range(count)]
            self.model[sequence] = Sequence("", int(sequence), shots)
            self._write_by_hand(sequence)
        self.desks = [Desk(self.project, InterruptedDisk()) for _ in range(2)]
        self.replayed: dict[str, dict[str, str]] = {file_of(sequence): self._etags(sequence) for sequence in self.model}
        self.unknown: set[str] = set()  # files of which a change was told without its shots
        self.told = 0  # revision up to which that is

    def teardown(self) -> None:
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)

    # Editors

    @rule(server=servers, kill=kills, pick=picks, note=texts)
    def edits_a_note(self, server: int, kill: int, pick: int, note: str) -> None:
        if (found := self._shot(pick)) is None:
            return
        sequence, shot = found
        edit = Edit(shot_id=shot, updates=parse_object(json.dumps({"note": note})))

        def effect() -> None:
            self._set(sequence, shot, note=note)

        self._ask(server, kill, lambda library, by: library.update_shot(self._path, sequence, edit, by), effect)

    @rule(server=servers, kill=kills, pick=picks, seconds=lengths)
    def edits_a_length(self, server: int, kill: int, pick: int, seconds: str) -> None:
        if (found := self._shot(pick)) is None:
            return
        sequence, shot = found
        edit = Edit(shot_id=shot, updates=parse_object(f'{{"timing": {{"duration": {seconds}}}}}'))

        def effect() -> None:
            self._set(sequence, shot, seconds=float(seconds))

        self._ask(server, kill, lambda library, by: library.update_shot(self._path, sequence, edit, by), effect)

    @rule(
        server=servers, kill=kills, chosen=st.lists(picks, min_size=2, max_size=4), note=texts, all_or_nothing=yes_or_no
    )
    def edits_many(self, server: int, kill: int, chosen: list[int], note: str, all_or_nothing: bool) -> None:
        found = [each for pick in chosen if (each := self._shot(pick))]
        if not found:
            return
        edits = [
            ShotEdit(sequence_id=sequence, edit=Edit(shot_id=shot, updates=parse_object(json.dumps({"note": note}))))
            for sequence, shot in found
        ]
        batch = Batch(edits=edits, all_or_nothing=all_or_nothing)

        def effect() -> None:
            for sequence, shot in found:
                self._set(sequence, shot, note=note)

        self._ask(server, kill, lambda library, by: library.update_shots(self._path, batch, by), effect, _SEVERAL)

    @rule(server=servers, kill=kills, pick=picks, index=st.integers(0, 4))
    def creates_a_shot(self, server: int, kill: int, pick: int, index: int) -> None:
        if (sequence := self._sequence(pick)) is None:
            return
        shot = self._new_id("new")
        document = parse_object(json.dumps({"id": shot, "timing": {"duration": 2.5}}))

        def effect() -> None:
            shots = self.model[sequence].shots
            shots.insert(min(index, len(shots)), (shot, "", 2.5))

        self._ask(
            server,
            kill,
            lambda library, by: library.create_shot(self._path, sequence, document, Place(index=index), by),
            effect,
        )

    @rule(server=servers, kill=kills, pick=picks)
    def deletes_a_shot(self, server: int, kill: int, pick: int) -> None:
        if (found := self._shot(pick)) is None:
            return
        sequence, shot = found

        def effect() -> None:
            del self.model[sequence].shots[self.model[sequence].index(shot)]

        self._ask(server, kill, lambda library, by: library.delete_shot(self._path, sequence, shot, None, by), effect)

    @rule(server=servers, kill=kills, pick=picks, into=picks, index=st.integers(0, 4))
    def moves_a_shot(self, server: int, kill: int, pick: int, into: int, index: int) -> None:
        if (found := self._shot(pick)) is None or (target := self._sequence(into)) is None:
            return
        sequence, shot = found

        def effect() -> None:
            source = self.model[sequence]
            moved = source.shots.pop(source.index(shot))
            shots = self.model[target].shots
            shots.insert(min(index, len(shots)), moved)

        self._ask(
            server,
            kill,
            lambda library, by: library.move_shot(self._path, sequence, shot, target, Place(index=index), None, by),
            effect,
            _SEVERAL,
        )

    # Whole sequences

    @rule(server=servers, kill=kills, count=st.integers(0, 2))
    def creates_a_sequence(self, server: int, kill: int, count: int) -> None:
        sequence = f"{100 + self.made:03}"
        shots = [(self._new_id("shot"), "", 1.0) for _ in range(count)]
        self.made += 1
        listed = [{"id": shot, "timing": {"duration": 1.0}} for shot, _, _ in shots]
        members = {"name": "new", "order": 9, "duration": float(count), "shot_count": count, "shots": listed}
        document = parse_object(json.dumps(members))

        def effect() -> None:
            self.model[sequence] = Sequence("new", 9, shots)

        self._ask(
            server,
            kill,
            lambda library, by: library.create_sequence(self._path, sequence, document, by),
            effect,
            _SEVERAL,
        )

    @precondition(lambda self: len(self.model) > 1)
    @rule(server=servers, kill=kills, pick=picks)
    def deletes_a_sequence(self, server: int, kill: int, pick: int) -> None:
        if (sequence := self._sequence(pick)) is None:
            return

        def effect() -> None:
            self.deleted[sequence] = self.model.pop(sequence)

        self._ask(
            server, kill, lambda library, by: library.delete_sequence(self._path, sequence, None, by), effect, _SEVERAL
        )

    @precondition(lambda self: self.deleted)
    @rule(server=servers, kill=kills, pick=picks)
    def brings_a_sequence_back(self, server: int, kill: int, pick: int) -> None:
        sequence = sorted(self.deleted)[pick % len(self.deleted)]
        trash = {each.sequence_id: each.revision for each in at_once(self._library(server).trash(self._path))}
        assert sequence in trash

        def effect() -> None:
            self.model[sequence] = self.deleted.pop(sequence)

        self._ask(
            server,
            kill,
            lambda library, by: library.restore(self._path, sequence, trash[sequence], "", None, by),
            effect,
            _SEVERAL,
        )

    @rule(server=servers, kill=kills, pick=picks, name=texts)
    def renames_a_sequence(self, server: int, kill: int, pick: int, name: str) -> None:
        if (sequence := self._sequence(pick)) is None:
            return
        updates = parse_object(json.dumps({"name": name}))

        def effect() -> None:
            self.model[sequence].name = name

        self._ask(
            server, kill, lambda library, by: library.update_sequence(self._path, sequence, updates, None, by), effect
        )

    @rule(server=servers, kill=kills, random=st.randoms(use_true_random=False))
    def reorders_the_sequences(self, server: int, kill: int, random: Any) -> None:
        order = sorted(self.model)
        random.shuffle(order)

        def effect() -> None:
            for place, sequence in enumerate(order, 1):
                self.model[sequence].order = place

        self._ask(server, kill, lambda library, by: library.reorder_sequences(self._path, order, by), effect, _SEVERAL)

    @rule(server=servers, kill=kills, pick=picks, back=picks)
    def brings_a_version_back(self, server: int, kill: int, pick: int, back: int) -> None:
        if (sequence := self._sequence(pick)) is None:
            return
        library = self._library(server)
        _, versions = at_once(library.versions(self._path, sequence))
        revision = versions[back % len(versions)].revision
        _, document = at_once(library.version(self._path, sequence, revision))
        then = sequence_of(document.raw, revision)
        elsewhere = {shot for other, each in self.model.items() if other != sequence for shot, _, _ in each.shots}

        def effect() -> None:
            self.model[sequence] = then

        def restore(library: Library, by: Caller) -> Coroutine[Any, Any, Outcome]:
            return library.restore(self._path, sequence, revision, "", None, by)

        if elsewhere & {shot for shot, _, _ in then.shots}:
            with pytest.raises(Fault) as caught:
                at_once(restore(library, projects.caller()))
            assert caught.value.reason == "SHOT_EXISTS"
        else:
            self._ask(server, kill, restore, effect)

    # Other programs and the passing of time

    @rule(pick=picks, note=texts, adds=yes_or_no)
    def another_program_edits(self, pick: int, note: str, adds: bool) -> None:
        if (sequence := self._sequence(pick)) is None:
            return
        shots = self.model[sequence].shots
        if adds:
            shots.append((self._new_id("theirs"), note, 0.5))
        elif shots:
            shot, _, seconds = shots[pick % len(shots)]
            shots[pick % len(shots)] = shot, note, seconds
        self._write_by_hand(sequence)

    @rule(server=servers, pick=picks)
    def a_server_looks(self, server: int, pick: int) -> None:
        if (sequence := self._sequence(pick)) is not None:
            self.desks[server].notice(file_of(sequence))

    @rule(server=servers)
    def a_server_copies_what_is_current(self, server: int) -> None:
        self.desks[server].flush()

    @rule(server=servers)
    def a_server_starts_again(self, server: int) -> None:
        self.desks[server] = Desk(self.project, InterruptedDisk())

    # What must be true

    @invariant()
    def the_files_are_as_the_model_says(self) -> None:
        if hasattr(self, "model"):
            assert self._found() == self.model

    @invariant()
    def both_servers_tell_the_same_and_a_watch_could_follow(self) -> None:
        if not hasattr(self, "model"):
            return
        first, second = self.desks
        for sequence in {*self.model, *self.deleted}:
            first.notice(file_of(sequence))
        first.flush()
        for desk in self.desks:
            desk.log.catch_up()
        changes = first.log.changes(0, 1 << 20)
        assert [each.revision for each in changes] == list(range(1, first.log.head + 1))
        assert second.log.changes(0, 1 << 20) == changes
        for change in changes[self.told :]:
            for each in change.files:
                if each.what is What.DELETED:
                    self.replayed.pop(each.file, None)
                    self.unknown.discard(each.file)
                    continue
                if not each.complete:
                    self.unknown.add(each.file)
                shots = self.replayed.setdefault(each.file, {})
                for shot in each.shots:
                    if shot.after is None:
                        shots.pop(shot.id, None)
                    else:
                        shots[shot.id] = shot.after
        self.told = len(changes)
        for sequence in self.model:
            if file_of(sequence) in self.unknown:
                # Who follows is told to read such a file again.
                self.replayed[file_of(sequence)] = self._etags(sequence)
                self.unknown.discard(file_of(sequence))
        assert self.replayed == {file_of(sequence): self._etags(sequence) for sequence in self.model}

    @invariant()
    def every_version_can_be_read(self) -> None:
        if not hasattr(self, "model"):
            return
        for sequence in {*self.model, *self.deleted}:
            versions = self.desks[1].contents(file_of(sequence))
            if sequence in self.model:
                newest = versions[max(versions)]
                assert newest.raw == (self.project / file_of(sequence)).read_bytes()
        assert not [name for name in (self.project / "sequences").iterdir() if name.name.startswith(".")]

    # How

    @property
    def _path(self) -> str:
        return str(self.project)

    def _library(self, server: int) -> Library:
        return Library(DeskSequences(self.desks[server]))

    def _ask(self, server: int, kill: int, ask: Ask, effect: Callable[[], None], operations: int = _ONE_FILE) -> None:
        """Make a change; where the server is killed in it, find out whether it was made."""
        by = projects.caller(projects.request() if kill % 3 != 1 else None)
        before = deepcopy((self.model, self.deleted))
        if kill < 100:
            self.desks[server] = Desk(self.project, InterruptedDisk(kill_at=1 + kill * operations // 100))
        try:
            outcome = at_once(ask(self._library(server), by))
        except Killed:
            pass
        else:
            effect()
            if kill < 100:
                self.desks[server] = Desk(self.project, InterruptedDisk())
            self.desks[server].log.catch_up()
            assert outcome.revision in (0, self.desks[server].log.head)
            return
        self.desks[server] = Desk(self.project, InterruptedDisk())
        if by.request and kill % 2:
            answer = at_once(ask(self._library(server), by))
            effect()
            assert at_once(ask(self._library(1 - server), by)) == answer
            return
        effect()
        after = self.model
        for sequence in {*before[0], *after}:
            self.desks[1 - server].notice(file_of(sequence))
        if self._found() != after:
            self.model, self.deleted = before

    def _found(self) -> dict[str, Sequence]:
        found: dict[str, Sequence] = {}
        for path in (self.project / "sequences").iterdir():
            if not path.name.startswith("."):
                found[path.stem.removeprefix("sequence_")] = sequence_of(path.read_bytes(), path.name)
        return found

    def _etags(self, sequence: str) -> dict[str, str]:
        document = parse_sequence((self.project / file_of(sequence)).read_bytes(), file_of(sequence))
        return {shot: document.shot_etag(index) for shot, index in document.positions.items()}

    def _write_by_hand(self, sequence: str) -> None:
        path = self.project / file_of(sequence)
        there = self.model[sequence]
        document = json.loads(path.read_bytes()) if path.exists() else {"id": sequence, "order": there.order}
        known = {each["id"]: each for each in document.get("shots", [])}
        document["shots"] = [
            {**known.get(shot, {"id": shot, "timing": {"duration": seconds}}), "note": note, "number": place}
            for place, (shot, note, seconds) in enumerate(there.shots, 1)
        ]
        document |= {"duration": sum(seconds for _, _, seconds in there.shots), "shot_count": len(there.shots)}
        beside = path.with_name("by-hand.tmp")
        beside.write_text(json.dumps(document, indent=2))
        beside.rename(path)

    def _new_id(self, what: str) -> str:
        self.made += 1
        return f"{what}-{self.made}"

    def _sequence(self, pick: int) -> str | None:
        known = sorted(self.model)
        return known[pick % len(known)] if known else None

    def _shot(self, pick: int) -> tuple[str, str] | None:
        known = [(sequence, shot) for sequence in sorted(self.model) for shot, _, _ in self.model[sequence].shots]
        return known[pick % len(known)] if known else None

    def _set(self, sequence: str, shot: str, *, note: str | None = None, seconds: float | None = None) -> None:
        there = self.model[sequence]
        index = there.index(shot)
        _, old_note, old_seconds = there.shots[index]
        there.shots[index] = (
            shot,
            old_note if note is None else note,
            old_seconds if seconds is None else seconds,
        )


@pytest.mark.parametrize("examples", [25, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_editors_other_programs_and_crashes_follow_the_model(examples: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Film,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20 if examples < 100 else 40,
            deadline=None,
            derandomize=examples < 100,
            suppress_health_check=list(HealthCheck),
        ),
    )
