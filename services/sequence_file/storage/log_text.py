"""How a line of a project's log is written and read; `log_format` says what it looks like."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import cast

import orjson

from services.kernel.faults import Code, Current, Fault
from services.sequence_file.domain import steps
from services.sequence_file.domain.changes import Author, FileChange, ShotChange, What
from services.sequence_file.domain.draft import Shot
from services.sequence_file.domain.ports import Outcome, Refusal, Request, SequenceState, Work
from services.sequence_file.storage.log_format import (
    AuthorJson,
    BatchJson,
    CurrentJson,
    FaultJson,
    KnownJson,
    MadeJson,
    OutcomeJson,
    RefusalJson,
    RequestJson,
    WorkJson,
    WrittenJson,
)
from services.sequence_file.storage.log_lines import (
    Baseline,
    Batch,
    Begun,
    Header,
    Kept,
    Known,
    Line,
    Made,
    Marked,
    Standing,
    Surveyed,
    Touched,
    Written,
)


def encode(line: Line) -> bytes:
    """A line's text with its end."""
    match line:
        case Begun():
            raw = _begun_text(line)
            return raw if line.first is None else with_revision(raw, line.first)
        case Marked(name, None):
            return _dump({"void": name})
        case Marked(name, first):
            return _dump({"done": name, "revision": first})
        case Baseline(key, at, known):
            return _dump({"baseline": key, "at": at, "state": known})
        case Standing(key, known):
            return _dump({"known": key, "state": known})
        case Kept(key, written):
            return _dump({"version": key, "written": written})
        case Surveyed(at):
            return _dump({"surveyed": at})
        case Header(copy, log_id, base, surveyed):
            return _dump({"copy": copy, "log": log_id, "base": base, "surveyed": surveyed})


def with_revision(begun: bytes, first: int) -> bytes:
    """The text of a batch that is done in its own line, from the text of one that is not."""
    return b'{"revision":%d,%s' % (first, begun[1:])


def decode(text: bytes) -> Line | None:
    """What a line says; None for one that was torn by a crash, or that nobody of us wrote."""
    try:
        read = orjson.loads(text)
    except ValueError:
        read = _load_surrogates(text)
    if not isinstance(read, dict):
        return None  # torn, with an end that happens to be JSON
    try:
        return _line(cast(dict[str, object], read))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


class _Texts:
    """Puts what JSON does not have into a line: long texts aside, all else as plain values."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[bytes, int] = {}

    def plain(self, value: object) -> object:
        """What to write for a value that the encoder does not know."""
        if isinstance(value, bytes):
            place = self._places.setdefault(value, len(self.texts))
            if place == len(self.texts):
                self.texts.append(value.decode("utf-8", "surrogateescape"))
            return place
        if isinstance(value, Fault):
            return FaultJson(
                code=value.code.name,
                reason=value.reason,
                message=value.message,
                metadata=value.metadata,
                fields=value.fields,
                retry_after=value.retry_after,
                current=cast(CurrentJson | None, value.current),
            )
        if isinstance(value, Work):
            return WorkJson(
                file=value.file,
                sequence_id=value.sequence_id,
                steps=[steps.to_json(step) for step in value.steps],
                content=None if value.content is None else cast(int, self.plain(value.content)),
                delete=value.delete,
            )
        if isinstance(value, Enum):
            return value.value
        if is_dataclass(value):
            return {each.name: getattr(value, each.name) for each in fields(value)}
        raise TypeError(type(value).__name__)


def _begun_text(line: Begun) -> bytes:
    texts = _Texts()
    batch = line.batch
    # The texts are found while what is before them is written.
    return _dump(
        {
            "batch": line.name,
            "at": line.at,
            "touched": batch.touched,
            "made": batch.made,
            "works": [texts.plain(work) for work in batch.works],
            "texts": texts.texts,
        },
        texts,
    )


def _dump(line: object, texts: _Texts | None = None) -> bytes:
    plain = (texts or _Texts()).plain
    try:
        return orjson.dumps(line, default=plain, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, as in the name of a file that is not UTF-8
        return json.dumps(line, default=plain).encode() + b"\n"


def _load_surrogates(text: bytes) -> object:
    if b"\\ud" not in text:
        return None
    try:
        return cast(object, json.loads(text))
    except (ValueError, RecursionError):
        return None


def _line(read: Mapping[str, object]) -> Line | None:
    if "batch" in read:
        return _begun(cast(BatchJson, read))
    if "done" in read:
        return Marked(_text(read["done"]), _whole(read["revision"]))
    if "void" in read:
        return Marked(_text(read["void"]), None)
    if "baseline" in read:
        return Baseline(_text(read["baseline"]), _time(read["at"]), _known(cast(KnownJson, read["state"])))
    if "known" in read:
        return Standing(_text(read["known"]), _known(cast(KnownJson, read["state"])))
    if "version" in read:
        return Kept(_text(read["version"]), _written(cast(WrittenJson, read["written"])))
    if "log" in read:
        return Header(_text(read["copy"]), _text(read["log"]), _whole(read["base"]), bool(read["surveyed"]))
    if "surveyed" in read:
        return Surveyed(_time(read["surveyed"]))
    return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value


def _time(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _known(read: KnownJson) -> Known:
    return Known(
        revision=_whole(read["revision"]),
        etag=read["etag"],
        file=_text(read["file"]),
        sequence_id=_text(read["sequence_id"]),
    )


def _written(read: WrittenJson) -> Written:
    return Written(
        revision=_whole(read["revision"]),
        at=_time(read["at"]),
        author=_author(read["author"]),
        request_id=_text(read["request_id"]),
        summary=_text(read["summary"]),
        etag=read["etag"],
    )


def _begun(read: BatchJson) -> Begun:
    texts = [text.encode("utf-8", "surrogateescape") for text in read["texts"]]
    batch = Batch(
        touched=tuple(
            Touched(key=_text(each["key"]), file=_text(each["file"]), before=each["before"], after=each["after"])
            for each in read["touched"]
        ),
        made=tuple(_made(each, texts) for each in read["made"]),
        works=tuple(
            Work(
                file=work["file"],
                sequence_id=work["sequence_id"],
                steps=tuple(steps.from_json(step) for step in work["steps"]),
                content=None if work["content"] is None else texts[work["content"]],
                delete=work["delete"],
            )
            for work in read["works"]
        ),
    )
    first = _whole(read["revision"]) if "revision" in read else None
    return Begun(_text(read["batch"]), _time(read["at"]), batch, first)


def _made(read: MadeJson, texts: list[bytes]) -> Made:
    return Made(
        author=_author(read["author"]),
        request=_request(read["request"]),
        outcome=None if read["outcome"] is None else _outcome(read["outcome"], texts),
        summary=_text(read["summary"]),
        files=tuple(
            FileChange(
                file=file["file"],
                sequence_id=file["sequence_id"],
                what=What(file["what"]),
                before=file["before"],
                after=file["after"],
                shots=tuple(
                    ShotChange(
                        id=shot["id"],
                        what=What(shot["what"]),
                        before=shot["before"],
                        after=shot["after"],
                        document=None if shot["document"] is None else texts[shot["document"]],
                    )
                    for shot in file["shots"]
                ),
                complete=file["complete"],
            )
            for file in read["files"]
        ),
    )


def _outcome(read: OutcomeJson, texts: list[bytes]) -> Outcome:
    return Outcome(
        shots=tuple(
            Shot(
                id=shot["id"],
                document=texts[shot["document"]],
                etag=shot["etag"],
                file=shot["file"],
                sequence_id=shot["sequence_id"],
            )
            for shot in read["shots"]
        ),
        sequences=tuple(
            SequenceState(
                id=each["id"],
                name=each["name"],
                order=each["order"],
                file=each["file"],
                shot_count=each["shot_count"],
                etag=each["etag"],
            )
            for each in read["sequences"]
        ),
        refusals=tuple(_refusal(each) for each in read["refusals"]),
    )


def _refusal(read: RefusalJson) -> Refusal:
    fault = read["fault"]
    current = fault["current"]
    return Refusal(
        index=read["index"],
        fault=Fault(
            Code[fault["code"]],
            fault["reason"],
            fault["message"],
            metadata=fault["metadata"],
            fields=fault["fields"],
            retry_after=fault["retry_after"],
            current=Current(etag=current["etag"], document_json=current["document_json"]) if current else None,
        ),
    )


def _request(read: RequestJson | None) -> Request | None:
    return None if read is None else Request(id=_text(read["id"]), fingerprint=_text(read["fingerprint"]))


def _author(read: AuthorJson | None) -> Author | None:
    return None if read is None else Author(principal=read["principal"], client=read["client"])
