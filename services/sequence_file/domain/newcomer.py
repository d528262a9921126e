"""What a shot that comes into a sequence says of it: whose it is, and which number it has there."""

from collections.abc import Mapping, Sequence

from services.kernel.strict_json import Json, Number
from services.sequence_file.domain import scan, totals
from services.sequence_file.domain.document import Figures

_NAMES = ("sequencePlanId", "sequence_id")


def belonging(shot: Mapping[str, scan.Value], sequence_id: str, source: str = "") -> dict[str, Json]:
    """A merge patch: the sequence that the shot names becomes the one that it comes into.

    `source` is the id of the one that it comes from: only that is replaced in `metadata`, where another id may be
    there for another reason. A shot that names no sequence does not begin to.
    """
    updates: dict[str, Json] = {
        name: _as(value, sequence_id) for name in _NAMES if isinstance(value := shot.get(name), str)
    }
    metadata = shot.get("metadata")
    named = metadata.get("sequence_id") if isinstance(metadata, dict) else None
    if source and isinstance(named, str) and str(named) == source:
        updates["metadata"] = {"sequence_id": _as(named, sequence_id)}
    return updates


def like_the_others(
    shot: Mapping[str, scan.Value], others: Sequence[Figures], index: int, sequence_id: str
) -> dict[str, Json]:
    """A merge patch: the members that all other shots have and this one, which is to stand at `index`, has not."""
    updates: dict[str, Json] = {}
    if not others:
        return updates
    plan = others[0].plan
    if "sequencePlanId" not in shot and plan is not None and sequence_id and all(each.plan for each in others):
        updates["sequencePlanId"] = _as(plan, sequence_id)
    if "number" not in shot and all(each.number is not None for each in others):
        updates["number"] = Number(str(index + 1))
    if "position" not in shot and totals.counted(others):
        updates["position"] = Number(str(index + 1))
    return updates


def _as(value: str, sequence_id: str) -> Json:
    """The id as the value was written: a number stays one, where the id can be one."""
    plain = sequence_id.isdigit() and (sequence_id == "0" or not sequence_id.startswith("0"))
    return Number(sequence_id) if isinstance(value, Number) and plain else sequence_id
