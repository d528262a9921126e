"""The one vocabulary of failure: what went wrong, in words that survive the wire.

    Fault
    ├── code      which kind (the canonical codes of google/rpc/code.proto)
    ├── reason    stable upper-case word that programs decide by, an ErrorReason of a contract
    ├── message   one sentence for people, with the remedy where there is one
    ├── metadata  named facts (file, line, pointer, current_etag …)
    ├── fields    which request fields break which rule
    ├── retry_after   seconds after which trying again makes sense
    └── current   what is there now, for a conflict

Domains raise faults; only `runtime.status` knows how gRPC says them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """Canonical status codes; the value is the number in google/rpc/code.proto."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The value that a stale etag met."""

    etag: str
    document_json: str | None  # None where it was too large to travel with the error


class Fault(Exception):
    """A failure with a name. Everything that is not a Fault is a bug and becomes INTERNAL."""

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        current: Current | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.fields = dict(fields or {})
        self.retry_after = retry_after
        self.current = current

    def again(self) -> "Fault":
        """An equal fault, to be raised for another caller: raising one object twice makes its traceback grow."""
        return Fault(
            self.code,
            self.reason,
            self.message,
            metadata=self.metadata,
            fields=self.fields,
            retry_after=self.retry_after,
            current=self.current,
        )

    def __repr__(self) -> str:
        return f"Fault({self.code.name}, {self.reason}, {self.message!r})"


def invalid_field(field: str, rule: str) -> Fault:
    """INVALID_ARGUMENT naming the request field and the rule that it breaks."""
    return Fault(Code.INVALID_ARGUMENT, "INVALID_FIELD", f"{field}: {rule}", fields={field: rule})


def request_id_reused() -> Fault:
    """One request id, two different changes."""
    return Fault(
        Code.INVALID_ARGUMENT,
        "REQUEST_ID_REUSED",
        "request_id: was used for another change; make a new one for each change",
        fields={"request_id": "was used for another change"},
    )
