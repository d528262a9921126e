"""What an error of PostgreSQL means to a caller: the one table from SQLSTATEs and names of constraints to faults."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import cast

import asyncpg

from services.asset_graph.domain import faults
from services.kernel.faults import Fault, invalid_field

_log = logging.getLogger(__name__)

Facts = Mapping[str, object]


class AnsweredBefore(Exception):
    """The request was carried out already; its answer is kept in the workspace."""

    def __init__(self, workspace_id: str) -> None:
        super().__init__(workspace_id)
        self.workspace_id = workspace_id


class Busy(Exception):
    """Somebody else changes the workspace, and we did not want to wait."""

    def __init__(self, workspace_id: str) -> None:
        super().__init__(workspace_id)
        self.workspace_id = workspace_id


# PostgreSQL gave the transaction up because of others: the same again may pass.
_AGAIN = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "26000",  # invalid_sql_statement_name: a prepared statement that is gone
}
# Classes and codes of a server that is away, starts, stops, or has no place for us.
_AWAY = {"57P01", "57P02", "57P03", "57P05", "53300", "25P03", "3D000"}
_AWAY_CLASSES = {"08", "28"}

_REFUSALS: Mapping[str, Callable[[Facts], Fault]] = {
    "SH001": lambda facts: faults.type_mismatch(
        str(facts["relationship_type"]), str(facts["parent_type"]), str(facts["child_type"])
    ),
    "SH002": lambda facts: faults.cycle(cast("list[object]", facts["path"])),
    "SH003": lambda facts: faults.attempt_number_mismatch(facts["sequence"], facts["attempt_number"]),
    "SH004": lambda facts: faults.several_selected(facts["shot"]),
    "SH005": lambda facts: faults.immutable_field("id", "id, type, workspace and attempt number never change"),
    "SH006": lambda facts: faults.asset_not_found(facts["id"]),
    "SH009": lambda facts: faults.workspace_not_allowed(str(facts["workspace_id"])),
    "53100": lambda facts: faults.disk_full(),
    "25006": lambda facts: faults.read_only(),
    "57014": lambda facts: faults.too_slow(),
    "22021": lambda facts: invalid_field("name", "must not hold U+0000"),
    "22P05": lambda facts: invalid_field("metadata_json", "must not hold U+0000"),
}

# The service looks before it writes; these are for what it could not see.
_CONSTRAINTS: Mapping[str, Callable[[], Fault]] = {
    "assets_name_size": lambda: invalid_field("name", "must have at most 1 MiB"),
    "assets_url_size": lambda: invalid_field("url", "must have at most 64 KiB"),
    "assets_duration_range": lambda: invalid_field("duration_seconds", "must be 0 to 10^9"),
    "assets_cost_range": lambda: invalid_field("generation_cost", "must be 0 to 10^15"),
    "asset_relationships_self": lambda: invalid_field("child_asset_id", "must not be the parent"),
    "asset_relationships_sequence_range": lambda: invalid_field("sequence", "must be 1 or more"),
    "asset_relationships_place": lambda: faults.sequence_taken("relationship", None),
    "asset_relationships_once": lambda: faults.relationship_exists("relationship", None),
    "asset_relationships_one_parent_generation_attempt": lambda: faults.relationship_exists("generation_attempt", None),
    "asset_relationships_one_parent_generated_video": lambda: faults.relationship_exists("generated_video", None),
    "asset_relationships_one_child_generated_video": lambda: faults.relationship_exists("generated_video", None),
}


def may_pass_again(error: BaseException) -> bool:
    """Whether the same transaction, made again, may pass."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):  # the schema was migrated meanwhile
        return True
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _AGAIN


def is_away(error: BaseException) -> bool:
    """Whether PostgreSQL could not be reached, or the connection ended."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _AWAY or state[:2] in _AWAY_CLASSES
    if isinstance(error, ValueError):  # asyncpg could not encode a parameter: a bug of ours
        return False
    # asyncpg says InterfaceError when a connection turns out to be closed; a timeout is that of connecting.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError | TimeoutError)


def fault_of(error: BaseException) -> BaseException:
    """What to raise in its place: a Fault, AnsweredBefore, Busy, or the error itself where it is a bug."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state == "SH007":
            return AnsweredBefore(str(_facts(error)["workspace_id"]))
        if state == "SH008":
            return Busy(str(_facts(error)["workspace_id"]))
        if refusal := _REFUSALS.get(state):
            return refusal(_facts(error))
        if constraint := _CONSTRAINTS.get(getattr(error, "constraint_name", None) or ""):
            return constraint()
    if may_pass_again(error):
        return faults.transaction_aborted()
    if is_away(error):
        _log.warning("PostgreSQL is away: %s: %s", type(error).__name__, error)
        return faults.database_unavailable()
    return error


def _facts(error: asyncpg.PostgresError) -> Facts:
    """What a refusal of ours says besides its message."""
    if not (error.sqlstate or "").startswith("SH"):
        return {}
    return cast(Facts, json.loads(getattr(error, "detail", None) or "{}"))
