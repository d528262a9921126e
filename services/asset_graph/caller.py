"""Who calls, and what the caller may see: from the call that is being answered to the domain's values."""

import re
import time

from services.asset_graph.domain import faults
from services.asset_graph.domain.model import Caller, Scope
from services.kernel import ids
from services.kernel.faults import invalid_field
from services.runtime import call

_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_EVERYTHING = Scope(workspaces=None)


def scope() -> Scope:
    """The workspaces that the caller's token holds. Outside of a call, as in this process itself, all."""
    current = call.current()
    return Scope(workspaces=current.principal.workspaces) if current else _EVERYTHING


def caller(request_id: str) -> Caller:
    """Who makes a change, under which request id. Raises INVALID_FIELD for a request id that is no UUID."""
    request = ids.request_id(request_id)
    current = call.current()
    return Caller(
        scope=scope(),
        actor=current.principal.name if current else "",
        client=current.client if current else "",
        request_id=None if request is None else ids.uuid(request, "request_id"),
    )


def until() -> float:
    """Until when to wait for PostgreSQL (monotonic): early enough that the caller still hears that it was too busy."""
    deadline = call.deadline()
    return deadline - min(0.1, max(0.0, deadline - time.monotonic()) / 10)


def workspace(workspace_id: str) -> str:
    """A workspace that a request names. Raises INVALID_FIELD, WORKSPACE_NOT_ALLOWED."""
    if not _WORKSPACE.fullmatch(workspace_id):
        rule = "must be 1 to 128 characters of A-Z a-z 0-9 . _ - and begin with a letter or digit"
        raise invalid_field("workspace_id", rule)
    if not scope().holds(workspace_id):
        raise faults.workspace_not_allowed(workspace_id)
    return workspace_id
