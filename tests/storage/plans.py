"""Changes of several files, and the project that they are made in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from services.kernel.faults import Fault
from services.kernel.strict_json import parse_object
from services.sequence_file.domain import moving, sequence_plans
from services.sequence_file.domain.batch import Batch, ShotEdit
from services.sequence_file.domain.document import parse_project
from services.sequence_file.domain.ports import PROJECT_FILE, Outcome, Plan, Request
from services.sequence_file.domain.steps import Edit, Place
from tests.storage.desk import Desk, shots_on_disk
from tests.storage.projects import UnsyncedDisk

FIRST, SECOND, THIRD, FOURTH = (f"sequences/sequence_00{number}.json" for number in range(1, 5))
FILES = (FIRST, SECOND, THIRD, FOURTH, PROJECT_FILE)
_SHOTS = {FIRST: ["s1", "s2", "s3"], SECOND: ["t1", "t2"], THIRD: ["u1"]}


def film(folder: Path) -> Path:
    """A project with three sequences, and shots of its own."""
    project = folder / "project"
    (project / "sequences").mkdir(parents=True)
    for number, (file, shots) in enumerate(_SHOTS.items(), 1):
        document = {
            "id": f"00{number}",
            "order": number,
            "shots": [_shot(shot, place) for place, shot in enumerate(shots, 1)],
            "shot_count": len(shots),
            "metadata": {"modified_at": "2020-01-01T00:00:00.000Z"},
        }
        (project / file).write_text(json.dumps(document, indent=2))
    (project / PROJECT_FILE).write_text(json.dumps({"shots": [_shot("p1", 1)]}, indent=2))
    return project


def _shot(shot_id: str, number: int) -> dict[str, object]:
    return {"id": shot_id, "number": number, "note": ""}


@dataclass(frozen=True)
class Many:
    """A change of several files."""

    name: str
    plan: Callable[[Desk], Plan]
    files: tuple[str, ...]  # that it changes
    deleted: bool = False  # whether the second sequence was deleted before

    def make(self, desk: Desk, once: Request | None = None, told: str = "") -> Outcome:
        """Carry it out."""
        if once and (known := desk.answered(once)):
            return known
        return desk.change_many(self.plan(desk), once, told=told)

    def prepared(self, folder: Path, *, warm: bool) -> Path:
        """The project as it is before the change."""
        project = film(folder)
        desk = Desk(project, UnsyncedDisk())
        if warm:
            desk.update("s3", {"warm": 1})
        if self.deleted:
            desk.change_many(sequence_plans.delete("002", None))
            desk.flush()
        return project


def _edits(desk: Desk, *, one_is_there: bool) -> Plan:
    notes = {"001": ("s1", "" if one_is_there else "new"), "002": ("t1", "new"), "": ("p1", "new")}
    edits = [
        ShotEdit(sequence_id=sequence, edit=Edit(shot_id=shot, updates=parse_object(json.dumps({"note": note}))))
        for sequence, (shot, note) in notes.items()
    ]
    raw = (desk.project / PROJECT_FILE).read_bytes()
    return Batch(edits=edits, all_or_nothing=True).plan(parse_project(raw, PROJECT_FILE))


def _fourth(desk: Desk) -> Plan:
    new = sequence_plans.new_sequence(
        "004", parse_object('{"shots": [{"id": "v1"}]}'), datetime(2026, 1, 1, tzinfo=UTC), (), ()
    )
    return sequence_plans.create(new)


def _second_again(desk: Desk) -> Plan:
    return sequence_plans.bring_back(desk.version(SECOND, desk.trash()["002"]), None)


MANY = (
    Many("move", lambda _: moving.move("s1", "001", "002", Place(index=1), None), (FIRST, SECOND)),
    Many("move back", lambda _: moving.move("t1", "002", "001", Place(after="s1"), None), (FIRST, SECOND)),
    Many("reorder", lambda _: sequence_plans.reorder(["003", "001", "002"]), (FIRST, SECOND, THIRD)),
    Many("edits", lambda desk: _edits(desk, one_is_there=False), (FIRST, SECOND, PROJECT_FILE)),
    Many("edits, one is there", lambda desk: _edits(desk, one_is_there=True), (SECOND, PROJECT_FILE)),
    Many("create", _fourth, (FOURTH,)),
    Many("delete", lambda _: sequence_plans.delete("002", None), (SECOND,)),
    Many("restore", _second_again, (SECOND,), deleted=True),
)
BY_NAME = {each.name: each for each in MANY}


def state(project: Path) -> dict[str, Any]:
    """What the files mean: without times, and without what heirs and other programs put in."""
    found: dict[str, Any] = {}
    for file in FILES:
        if not (project / file).exists():
            continue
        document = json.loads((project / file).read_bytes())
        document.pop("metadata", None)
        for shot in document["shots"]:
            for mark in ("heir", "again", "warm", "theirs"):
                shot.pop(mark, None)
        found[file] = document
    return found


def states_of(many: Many, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The project before the change and behind it."""
    project = many.prepared(folder, warm=False)
    before = state(project)
    many.make(Desk(project, UnsyncedDisk()))
    after = state(project)
    assert before != after
    return before, after


def check_the_past(project: Path, where: object) -> None:
    """Every version can be read, revisions have no gaps, and nothing lies about."""
    desk = Desk(project, UnsyncedDisk())
    for file in FILES:
        desk.notice(file)
    desk.flush()
    for file in FILES:
        versions = desk.contents(file)
        if (path := project / file).exists():
            assert path.read_bytes() in {each.raw for each in versions.values()}, (file, where)
    changes = desk.log.changes(desk.log.oldest - 1, 1000)
    assert [each.revision for each in changes] == list(range(1, len(changes) + 1)), where
    left = list(project.rglob(".*shotline-*"))
    assert not left, (left, where)


def where_is(project: Path, shot: str) -> list[str]:
    """The files that hold a shot."""
    return [file for file in FILES if shot in shots_on_disk(project, file)]


_numbers = count(1)


def heir(desk: Desk, name: str, many: Many, once: Request | None = None) -> None:
    """Somebody else who needs one of the files."""
    what, _, file = name.partition(" ")
    mark = {"heir": next(_numbers)}
    if what == "sends":
        many.make(desk, once)
    elif what == "notices":
        desk.notice(file)
    elif what == "edits":
        shots = list(shots_on_disk(desk.project, file))
        try:
            desk.update(shots[-1] if shots else "none", mark, file=file)
        except Fault as fault:
            assert fault.reason in ("SEQUENCE_NOT_FOUND", "SHOT_NOT_FOUND", "IO_ERROR"), fault  # noqa: PT017
    else:  # changes several files, of which only some are those of the change
        edits = [
            ShotEdit(sequence_id=sequence, edit=Edit(shot_id=shot, updates=parse_object(json.dumps(mark))))
            for sequence, shot in (("001", "s3"), ("003", "u1"))
        ]
        if SECOND in many.files and (project_file := desk.project / SECOND).exists():
            shot = json.loads(project_file.read_bytes())["shots"][-1]["id"]
            edits.append(ShotEdit(sequence_id="002", edit=Edit(shot_id=shot, updates=parse_object(json.dumps(mark)))))
        desk.change_many(Batch(edits=edits, all_or_nothing=False).plan(None))


def heirs(many: Many) -> list[str]:
    """All who may come."""
    touch = [f"{what} {file}" for what in ("edits", "notices") for file in many.files]
    return [*touch, "changes several", "sends it again"]
