"""The table of bad input, third part: structure, history and watches."""

import errno
from collections.abc import Iterator, Mapping, Sequence

from tests.services import situations as is_
from tests.services.asking import Ask
from tests.services.bad_input import (
    UUID,
    Row,
    Text,
    batch,
    create_sequence,
    create_shot,
    delete_sequence,
    delete_shot,
    diff,
    edit,
    move_shot,
    project_shots,
    reorder,
    restore,
    trash,
    update,
    update_sequence,
    version,
    versions,
    watch,
)

READS = (project_shots(), versions(), version(), diff(), trash(), watch())
OF_SEQUENCE = (update_sequence(), delete_sequence(), create_shot(), delete_shot(), move_shot(), batch(edit()))
CHANGES = (*OF_SEQUENCE, create_sequence(), reorder(), restore())
WITH_ETAG = (update_sequence(), delete_sequence(), delete_shot(), move_shot(), restore(), restore(shot_id="s1"))
# Changes in every file that they touch when they succeed, so that a file in trouble stops each.
FILE = {"file": "sequences/sequence_001.json"}
EDITED = is_.called(update())  # which makes revision 1


def rows() -> Iterator[Row]:
    """All about the calls that came with structure, history and watching."""
    yield from _paths_and_ids()
    yield from _new_sequences()
    yield from _new_shots()
    yield from _places()
    yield from _orders()
    yield from _batches()
    yield from _etags_and_request_ids()
    yield from _revisions()
    yield from _watches()
    yield from _files_in_trouble()


def _refused(name: str, *asks: Ask, reason: str = "INVALID_FIELD", field: str = "", **more: object) -> Row:
    return Row(name=name, asks=asks, code="INVALID_ARGUMENT", reason=reason, field=field, **more)  # type: ignore[arg-type]


def _paths_and_ids() -> Iterator[Row]:
    everything = (*READS, *CHANGES)
    for name, path, code, reason in (
        ("relative", "films/harbour", "INVALID_ARGUMENT", "INVALID_PROJECT_PATH"),
        ("elsewhere", "/etc", "PERMISSION_DENIED", "PROJECT_NOT_ALLOWED"),
        ("unknown", "<root>/nobody", "NOT_FOUND", "PROJECT_NOT_FOUND"),
    ):
        asks = [ask.but(project_path=path) for ask in everything]
        yield Row(name=f"new calls, path {name}", asks=asks, code=code, reason=reason)
    named = (*OF_SEQUENCE[:-1], versions(), version(), diff(), restore())
    for text in ("../project", "001\n"):
        yield _refused(
            f"new calls, sequence id {text!r}",
            *(ask.but(sequence_id=text) for ask in (*named, create_sequence())),
            move_shot(target_sequence_id=text),
            create_sequence(f'{{"id": "{text}"}}'.replace("\n", "\\n")),
            reorder("001", text),
            batch(edit(sequence_id=text), all_or_nothing=True),
            reason="INVALID_SEQUENCE_ID",
        )
    yield _refused(
        "new calls, empty sequence id",
        *(ask.but(sequence_id="") for ask in OF_SEQUENCE[:-1]),
        reorder("001", ""),
        reason="INVALID_SEQUENCE_ID",
    )
    yield Row(
        name="new calls, unknown sequence",
        asks=[
            *(ask.but(sequence_id="009") for ask in named),
            move_shot(target_sequence_id="009"),
            reorder("001", "009"),
            batch(edit(sequence_id="009"), all_or_nothing=True),
        ],
        code="NOT_FOUND",
        reason="SEQUENCE_NOT_FOUND",
        says=["'009'"],
    )
    for text in ("", "s" * 257):
        yield _refused(
            f"new calls, shot id of {len(text)} characters",
            delete_shot(shot_id=text),
            move_shot(shot_id=text),
            batch(edit(shot_id=text), all_or_nothing=True),
            reason="INVALID_SHOT_ID",
            field="shot_id",
        )
    yield _refused(
        "past of a shot, id of 257 characters",
        *(ask.but(shot_id="s" * 257) for ask in (versions(), diff(), restore())),
        given=EDITED,
        reason="INVALID_SHOT_ID",
        field="shot_id",
    )
    yield Row(
        name="new calls, unknown shot",
        given=EDITED,
        asks=[
            delete_shot(shot_id="nobody"),
            move_shot(shot_id="nobody"),
            move_shot(shot_id="nobody", target_sequence_id="002"),
            batch(edit(shot_id="nobody"), all_or_nothing=True),
            restore(shot_id="nobody"),
        ],
        code="NOT_FOUND",
        reason="SHOT_NOT_FOUND",
        says=["'nobody'"],
    )
    yield Row(
        name="new calls, a shot that stands twice",
        given=is_.shot_added("sequences/sequence_001.json", {"id": "s1"}),
        asks=[delete_shot(), move_shot(), batch(edit(), all_or_nothing=True)],
        code="FAILED_PRECONDITION",
        reason="DUPLICATE_ID",
    )


# What no document may hold, and where in it.
_NO_JSON: Mapping[str, tuple[Text, str]] = {
    "NaN": ('{"a": NaN}', "/a"),
    "1e999": ('{"a": [1e999]}', "/a/0"),
    "2^53 + 1": ('{"a": 9007199254740993}', "/a"),
    "a name twice": ('{"a": 1, "a": 2}', "/a"),
    "a lone surrogate": ('{"a": "\\ud800"}', "/a"),
    "U+0000": ('{"a": "\\u0000"}', "/a"),
    "depth 65": (lambda: '{"a":' * 64 + "{}" + "}" * 64, "/a" * 64),
}


def _new_sequences() -> Iterator[Row]:
    for name, (text, pointer) in _NO_JSON.items():
        yield _refused(f"sequence, {name}", create_sequence(text), update_sequence(text), reason="INVALID_JSON")
        yield _refused(f"shot, {name}", create_shot(text), reason="INVALID_JSON")
        if isinstance(text, str):
            yield _refused(f"batch, {name}", batch(edit(text)), reason="INVALID_JSON", says=[pointer])
    for text in ("[]", "null"):
        reasons = {"grpc": "INVALID_JSON", "connect": "INVALID_JSON", "ipc": "INVALID_FIELD"}
        yield Row(
            name=f"document, {text}",
            asks=[create_sequence(text), update_sequence(text), create_shot(text)],
            code="INVALID_ARGUMENT",
            reason=reasons,
        )
    for text in ('{"id": true}', '{"id": []}', '{"id": {}}', '{"shots": {}}', '{"shots": [1]}', '{"metadata": 1}'):
        yield _refused(f"sequence, {text}", create_sequence(text))
    yield _refused("sequence, two ids", create_sequence('{"id": "7"}', sequence_id="008"))
    taken = ("001", "1", "sequence-1", "sequence_001")
    yield Row(
        name="sequence, an id that is taken",
        asks=[
            *(create_sequence(sequence_id=text) for text in taken),
            create_sequence('{"id": "002"}'),
            create_sequence('{"id": 2}'),
        ],
        code="ALREADY_EXISTS",
        reason="SEQUENCE_EXISTS",
    )
    yield Row(
        name="sequence, with a shot that another holds",
        asks=[create_sequence('{"shots": [{"id": "c1"}]}')],
        code="ALREADY_EXISTS",
        reason="SHOT_EXISTS",
        says=["sequence_002"],
    )
    for name in ("id", "shots", "storyboard"):
        yield _refused(
            f"sequence's {name}",
            update_sequence(f'{{"name": "x", "{name}": []}}'),
            update_sequence(f'{{"{name}": null}}'),
            reason="IMMUTABLE_FIELD",
            metadata={"pointer": f"/{name}"},
        )


def _new_shots() -> Iterator[Row]:
    for text in ('{"id": 7}', '{"id": true}', '{"id": ["s9"]}', '{"id": {}}'):
        yield _refused(f"shot, {text}", create_shot(text))
    for length in (0, 257):
        text = f'{{"id": "{"s" * length}"}}'
        yield _refused(f"shot, an id of {length} characters", create_shot(text), reason="INVALID_SHOT_ID")
    for taken in ("s1", "c1"):
        yield Row(
            name=f"shot, the id of {taken}",
            asks=[create_shot(f'{{"id": "{taken}"}}')],
            code="ALREADY_EXISTS",
            reason="SHOT_EXISTS",
            says=[f"'{taken}'"],
        )


def _places() -> Iterator[Row]:
    for index in (-1, -(2**31)):
        place = {"index": index}
        elsewhere = move_shot(place=place, target_sequence_id="002")
        yield _refused(
            f"place, index {index}", create_shot(place=place), move_shot(place=place), elsewhere, field="index"
        )
    nowhere = {"after_shot_id": ""}
    yield _refused("place, behind nothing", create_shot(place=nowhere), move_shot(place=nowhere), field="after_shot_id")
    for unknown in ("nobody", "c1"):  # c1 is a shot of the other sequence
        place = {"after_shot_id": unknown}
        yield Row(
            name=f"place, behind {unknown}",
            asks=[create_shot(place=place), move_shot(place=place)],
            code="NOT_FOUND",
            reason="SHOT_NOT_FOUND",
            says=[f"'{unknown}'"],
        )
    yield Row(
        name="place, behind a shot that the target does not have",
        asks=[move_shot(target_sequence_id="002", place={"after_shot_id": "s2"})],
        code="NOT_FOUND",
        reason="SHOT_NOT_FOUND",
        says=["'s2'"],
    )
    yield Row(
        name="move, to a sequence that holds the id",
        given=is_.shot_added("sequences/sequence_002.json", {"id": "s1"}),
        asks=[move_shot(target_sequence_id="002")],
        code="ALREADY_EXISTS",
        reason="SHOT_EXISTS",
    )


def _orders() -> Iterator[Row]:
    bad: Mapping[str, Sequence[str]] = {
        "incomplete": ["001"],
        "one twice": ["001", "002", "001"],
        "one twice, in other words": ["001", "1"],
        "one too many, in other words": ["001", "002", "sequence-2"],
    }
    for name, order in bad.items():
        yield _refused(f"order, {name}", reorder(*order), field="sequence_ids")
    yield _refused("order, empty", reorder().but(sequence_ids=[]), field="sequence_ids")
    yield _refused("order, 10,001", reorder(*map(str, range(10_001))), field="sequence_ids")


def _batches() -> Iterator[Row]:
    yield _refused("batch, empty", batch(), field="edits")
    yield _refused("batch, 10,001 edits", batch(*[edit("{}")] * 10_001), field="edits")
    for name, broken, field in (
        ("etag", edit(etag="x"), "etag"),
        ("mode", edit(mode=999), "mode"),
    ):
        yield _refused(f"batch, {name}", batch(edit(), broken), field=field)
    yield _refused(
        "batch, a malformed edit",
        batch(edit(), edit("[]")),
        reason="INVALID_JSON",
        metadata={"edit_index": "1"},
        kinds=("grpc", "connect"),
    )
    for name, refused, code, reason in (
        ("unknown shot", edit(shot_id="nobody"), "NOT_FOUND", "SHOT_NOT_FOUND"),
        ("stale etag", edit('{"prompt": "dusk"}', etag="0" * 32), "ABORTED", "ETAG_MISMATCH"),
        ("id", edit('{"id": "s9"}'), "INVALID_ARGUMENT", "IMMUTABLE_FIELD"),
        ("in another file", edit(sequence_id="002"), "NOT_FOUND", "SHOT_NOT_FOUND"),
    ):
        yield Row(
            name=f"batch, all or nothing, {name}",
            asks=[batch(edit(), refused, all_or_nothing=True), batch(edit(), refused, edit(), all_or_nothing=True)],
            code=code,
            reason=reason,
            metadata={"edit_index": "1"},
        )


def _etags_and_request_ids() -> Iterator[Row]:
    yield Row(
        name="new calls, etag stale",
        given=is_.called(update()),
        asks=[ask.but(etag="0" * 32) for ask in (*WITH_ETAG[:-2], move_shot(target_sequence_id="002"))],
        code="ABORTED",
        reason="ETAG_MISMATCH",
    )
    yield Row(
        name="restore, etag stale",
        given=is_.then(EDITED, is_.called(update('{"prompt": "later"}'))),
        asks=[restore(etag="0" * 32), restore(shot_id="s1", etag="0" * 32)],
        code="ABORTED",
        reason="ETAG_MISMATCH",
    )
    for etag in ("x", "0" * 33):
        yield _refused(f"new calls, etag {etag}", *(ask.but(etag=etag) for ask in WITH_ETAG), field="etag")
    for request_id in ("x", f"{UUID}\n"):
        asks = [ask.but(request_id=request_id) for ask in CHANGES]
        yield _refused(f"new calls, request id {request_id!r}", *asks, field="request_id")
    yield _refused(
        "request id, used for a change of another kind",
        *(ask.but(request_id=UUID) for ask in CHANGES),
        given=is_.called(update(request_id=UUID)),
        reason="REQUEST_ID_REUSED",
        field="request_id",
    )


def _revisions() -> Iterator[Row]:
    for number in (-1, -(2**63)):
        kinds = ("grpc", "connect", "ipc") if number == -1 else ("grpc",)
        for field in ("from_revision", "to_revision"):
            yield _refused(f"{field} {number}", diff(**{field: number}), field=field, kinds=kinds)
        yield _refused(
            f"revision {number}", version(revision=number), restore(revision=number), field="revision", kinds=kinds
        )
    for odd in ("one", 2.5, True):
        asks = (version(revision=odd), restore(revision=odd), diff(from_revision=odd))
        yield _refused(f"revision {odd!r}", *asks, kinds=("ipc",))
    for number in (2, 2**40):
        yield Row(
            name=f"version {number}",
            given=EDITED,
            asks=[
                version(revision=number),
                diff(from_revision=number),
                diff(to_revision=number),
                restore(revision=number),
                restore(revision=number, shot_id="s1"),
            ],
            code="NOT_FOUND",
            reason="VERSION_NOT_FOUND",
            says=["sequences/sequence_001.json"],
        )
    asks = (versions(page_size=-1), project_shots(page_size=-1))
    yield _refused("past, page size -1", *asks, field="page_size")
    for token in ("x", "bnVsbA"):
        asks = (versions(page_token=token), project_shots(page_token=token))
        yield _refused(f"past, page token {token}", *asks, field="page_token")
    yield _refused(
        "past, page token of another list",
        versions(sequence_id="002", page_token="<token>"),
        versions(shot_id="s1", page_token="<token>"),
        project_shots(page_token="<token>"),
        given=is_.then(EDITED, is_.page_token(versions())),
        field="page_token",
    )


def _watches() -> Iterator[Row]:
    for number in (-1, -(2**63)):
        yield _refused(f"watch behind {number}", watch(after_revision=number), field="after_revision")
    for seconds in (-1.0, 0.05, 61.0, 1e300):
        yield _refused(f"watch, progress {seconds}", watch(progress_seconds=seconds), field="progress_seconds")
    for seconds in (float("nan"), float("inf")):
        asks = watch(progress_seconds=seconds)
        yield _refused(f"watch, progress {seconds}", asks, field="progress_seconds", kinds=("grpc",))
    for name, fields in {
        "in the future": {"after_revision": 999},
        "far in the future": {"after_revision": 2**62},
        "of another log": {"after_revision": 1, "log_id": "0" * 32},
        "of no log": {"after_revision": 1, "log_id": "../journal"},
    }.items():
        yield Row(
            name=f"watch, revision {name}",
            given=EDITED,
            asks=[watch(**fields)],  # type: ignore[arg-type]
            code="OUT_OF_RANGE",
            reason="REVISION_TOO_OLD",
            metadata={"revision": "1"},
        )


def _files_in_trouble() -> Iterator[Row]:
    broken = is_.content(b'{"id": "001", "shots": [}')
    yield Row(
        name="new calls, a broken file",
        given=broken,
        asks=[*OF_SEQUENCE[:-1], batch(edit(), all_or_nothing=True), reorder(), move_shot(target_sequence_id="002")],
        code="FAILED_PRECONDITION",
        reason="SEQUENCE_FILE_INVALID",
        metadata=FILE,
    )
    yield Row(
        name="project's shots, a broken file",
        given=is_.content(b"{", "project.json"),
        asks=[project_shots()],
        code="FAILED_PRECONDITION",
        reason="SEQUENCE_FILE_INVALID",
        metadata={"file": "project.json"},
    )
    yield Row(
        name="new calls, a link out",
        given=is_.instead("sequences/sequence_001.json", is_.link_out),
        asks=[*OF_SEQUENCE[:-1], reorder(), batch(edit(), all_or_nothing=True)],
        code="FAILED_PRECONDITION",
        reason="UNSAFE_FILE",
        metadata=FILE,
    )
    yield Row(
        name="new calls, no space",
        given=is_.disk("write", errno.ENOSPC),
        asks=[ask for ask in (*OF_SEQUENCE, create_sequence(), reorder()) if ask.method != "DeleteSequence"],
        code="RESOURCE_EXHAUSTED",
        reason="DISK_FULL",
        retry=True,
    )
    yield Row(
        name="new calls, read-only",
        given=is_.disk("create", errno.EROFS),
        asks=[ask for ask in (*OF_SEQUENCE, create_sequence(), reorder()) if ask.method != "DeleteSequence"],
        code="FAILED_PRECONDITION",
        reason="READ_ONLY",
    )
    yield Row(
        name="new calls, lock held past the deadline",
        given=is_.locked,
        asks=[_hurried(ask) for ask in (*OF_SEQUENCE, reorder(), move_shot(target_sequence_id="002"))],
        code="UNAVAILABLE",
        reason="LOCK_TIMEOUT",
        metadata=FILE,
        retry=True,
    )
    yield Row(
        name="new calls, wrong token",
        asks=[_with(ask, {"authorization": "Bearer wrong"}) for ask in (*READS, *CHANGES)],
        code="UNAUTHENTICATED",
        reason="TOKEN_INVALID",
    )


def _hurried(ask: Ask) -> Ask:
    return Ask(method=ask.method, fields=ask.fields, timeout=0.3)


def _with(ask: Ask, headers: Mapping[str, str]) -> Ask:
    return Ask(method=ask.method, fields=ask.fields, headers=headers)
