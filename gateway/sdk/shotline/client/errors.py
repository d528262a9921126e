"""What a failed call raises.

    ShotlineError
    ├── InvalidArgument      a value breaks its rule; `fields` or `details["pointer"]` say which
    ├── NotFound             no such thing in the workspaces that the token holds
    ├── AlreadyExists        the relationship, the attempt number … is there
    ├── Conflict             somebody was faster: `current` is what is there now, `current_etag` its etag
    ├── FailedPrecondition   not in this state: a circle of scenes, a take of another shot …
    ├── OutOfRange           a watch that begins too far back
    ├── PermissionDenied     a workspace that the token does not hold
    ├── Unauthenticated      no token, or one that is not valid here
    ├── ResourceExhausted    too many calls, too large a message, a full disk
    ├── Unavailable          nobody answers, also after trying again
    ├── DeadlineExceeded     not done within the timeout; a change may have been made or not
    ├── Cancelled            the client was closed while the call ran
    ├── Unimplemented        the server is older than this client
    └── Internal             a bug of the server; `details["error_id"]` finds it in the log

Programs decide by the class and by `reason`, which is stable: the ErrorReason of the contract. A value that cannot be
sent at all (a cost that is not a number, NaN in metadata) is a plain ValueError, and an argument of another type a
TypeError that names it, before anything is sent.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from shotline.client import reading

from services.kernel.faults import Code, Fault


class ShotlineError(Exception):
    """A call that failed."""

    code: ClassVar[str] = "UNKNOWN"  # name of the gRPC status code

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        details: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message  # one sentence for people
        self.reason = reason  # stable word, such as "ASSET_NOT_FOUND"
        self.details = dict(details or {})  # named facts, such as the path of a circle
        self.fields = dict(fields or {})  # which field of the request breaks which rule
        self.retry_after = retry_after  # seconds after which trying again makes sense; None where unknown
        # Of a change: the id under which it was sent. Sent again with it, it is made once.
        self.request_id: str | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """Another name of `details`: that of google.rpc.ErrorInfo."""
        return self.details

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}" if self.reason else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is made, keywords included: errors travel between the processes of a script.
        return (_again, (type(self), self.message, dict(self.__dict__)))


class InvalidArgument(ShotlineError):
    """A value breaks its rule."""

    code = "INVALID_ARGUMENT"


class NotFound(ShotlineError):
    """No such thing in the workspaces that the token holds."""

    code = "NOT_FOUND"


class AlreadyExists(ShotlineError):
    """What was to be made is there."""

    code = "ALREADY_EXISTS"


class Conflict(ShotlineError):
    """Somebody was faster: the etag is stale, another take is selected, others kept changing the same."""

    code = "ABORTED"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        details: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        current: dict[str, Any] | None = None,
        current_etag: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason, details=details, fields=fields, retry_after=retry_after)
        # What is there now, as a read gives it; None where the conflict is about no single thing, or it is gone.
        self.current = current
        self.current_etag = current_etag


class FailedPrecondition(ShotlineError):
    """Not possible in the state that things are in."""

    code = "FAILED_PRECONDITION"


class OutOfRange(ShotlineError):
    """The changes behind a revision are no longer kept; `details` has `oldest_revision` and `revision`."""

    code = "OUT_OF_RANGE"


class PermissionDenied(ShotlineError):
    """The token does not allow it."""

    code = "PERMISSION_DENIED"


class Unauthenticated(ShotlineError):
    """No token, or one that is not valid here."""

    code = "UNAUTHENTICATED"


class ResourceExhausted(ShotlineError):
    """Too much: calls at once, bytes of a message, or of the disk."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(ShotlineError):
    """Nobody answers, also after trying again."""

    code = "UNAVAILABLE"


class DeadlineExceeded(ShotlineError):
    """Not done within the timeout. A change may have been made: send it again with this error's
    `request_id` to know."""

    code = "DEADLINE_EXCEEDED"


class Cancelled(ShotlineError):
    """The client was closed while the call ran."""

    code = "CANCELLED"


class Unimplemented(ShotlineError):
    """The server does not know the call."""

    code = "UNIMPLEMENTED"


class Internal(ShotlineError):
    """A bug of the server."""

    code = "INTERNAL"


_KINDS: dict[str, type[ShotlineError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        OutOfRange,
        PermissionDenied,
        Unauthenticated,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Cancelled,
        Unimplemented,
        Internal,
    )
}


def of_fault(fault: Fault) -> ShotlineError:
    """The error that callers see."""
    if fault.code is Code.ABORTED:
        text = fault.current.document_json if fault.current else None
        return Conflict(
            fault.message,
            reason=fault.reason,
            details=fault.metadata,
            fields=fault.fields,
            retry_after=fault.retry_after,
            current=None if text is None else _current(text),
            current_etag=fault.current.etag if fault.current else None,
        )
    return _KINDS[fault.code.name](
        fault.message,
        reason=fault.reason,
        details=fault.metadata,
        fields=fault.fields,
        retry_after=fault.retry_after,
    )


def _current(text: str) -> dict[str, Any]:
    """An asset as reads give it; a shot of a file as the file has it."""
    document: dict[str, Any] = json.loads(text)
    return dict(reading.asset_of_json(document)) if "workspace_id" in document else document


def _again(kind: type[ShotlineError], message: str, state: dict[str, Any]) -> ShotlineError:
    error = kind(message)
    error.__dict__.update(state)
    return error
