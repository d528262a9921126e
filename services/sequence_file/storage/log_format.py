"""The format of a project's log, `.shotline/changes.jsonl`: lines of one JSON object each.

    {"copy": …, "log": …, "base": …, "surveyed": …}   the first line: which copy of which log this file is, and the
                                                      revision behind which it begins
    {"batch": …, "at": …, "touched": …, "made": …}    changes that are about to happen to the files `touched`
    {"revision": 7, "batch": …}                       the same, which happened already, from revision 7 on
    {"done": …, "revision": 7}                        they happened, from revision 7 on (0: nothing changed)
    {"void": …}                                       they did not
    {"baseline": key, …}                              how a file was found at first
    {"known": key, …}                                 how a file was left, as far as older lines told that are dropped
    {"version": key, …}                               a version of a file that such lines told of
    {"surveyed": at}                                  all files have been looked at

Long texts (documents of shots, contents of new files) stand once in a line, under `texts`, and are meant by their
place there. Other bytes than UTF-8 survive as lone surrogates.
"""

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class AuthorJson(TypedDict):
    principal: str
    client: str


class RequestJson(TypedDict):
    id: str
    fingerprint: str


class ShotJson(TypedDict):
    id: str
    document: int  # place among the line's `texts`
    etag: str
    file: str
    sequence_id: str


class SequenceJson(TypedDict):
    id: str
    name: str
    order: float | None
    file: str
    shot_count: int
    etag: str


class CurrentJson(TypedDict):
    etag: str
    document_json: str | None


class FaultJson(TypedDict):
    code: str
    reason: str
    message: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_after: float | None
    current: CurrentJson | None


class RefusalJson(TypedDict):
    index: int
    fault: FaultJson


class OutcomeJson(TypedDict):
    shots: list[ShotJson]
    sequences: list[SequenceJson]
    refusals: list[RefusalJson]


class ShotChangeJson(TypedDict):
    id: str
    what: str
    before: str | None
    after: str | None
    document: int | None  # place among the line's `texts`


class FileChangeJson(TypedDict):
    file: str
    sequence_id: str
    what: str
    before: str | None
    after: str | None
    shots: list[ShotChangeJson]
    complete: bool


class TouchedJson(TypedDict):
    key: str
    file: str
    before: str | None
    after: str | None


class MadeJson(TypedDict):
    author: AuthorJson | None
    request: RequestJson | None
    outcome: OutcomeJson | None
    summary: str
    files: list[FileChangeJson]


class WorkJson(TypedDict):
    file: str
    sequence_id: str
    steps: list[Mapping[str, object]]
    content: int | None  # place among the line's `texts`
    delete: bool


class BatchJson(TypedDict):
    revision: NotRequired[int]
    batch: str
    at: float
    touched: list[TouchedJson]
    made: list[MadeJson]
    works: list[WorkJson]
    texts: list[str]


class KnownJson(TypedDict):
    revision: int
    etag: str | None
    file: str
    sequence_id: str


class WrittenJson(TypedDict):
    revision: int
    at: float
    author: AuthorJson | None
    request_id: str
    summary: str
    etag: str | None
