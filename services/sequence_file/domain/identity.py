"""How a sequence is found: by its document's own id, never by its file name."""

import re

from services.sequence_file.domain import faults

# Real ids are `001`, `6`, `1795232178421-9kjotioul` and UUIDs.
_SEQUENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")
_FILE_NAME = re.compile(r"sequence_(.+)\.json", re.DOTALL)
_PREFIX = re.compile(r"sequence[ _-]?(?=[0-9]+$)", re.IGNORECASE)


def is_sequence_id(text: str) -> bool:
    """Whether a sequence can have this id."""
    return bool(_SEQUENCE_ID.fullmatch(text)) and ".." not in text


def sequence_id(text: str) -> str:
    """The id that a caller sent. Raises INVALID_SEQUENCE_ID."""
    if not is_sequence_id(text):
        raise faults.invalid_sequence_id()
    return text


def shot_id(text: str) -> str:
    """The id that a caller sent. Raises INVALID_SHOT_ID. Nothing is ever opened by it, so any text will do."""
    if not 1 <= len(text) <= 256:
        raise faults.invalid_shot_id()
    return text


def is_sequence_file(name: str) -> bool:
    """Whether a file of the folder `sequences` is a sequence by its name."""
    return _FILE_NAME.fullmatch(name) is not None


def id_from_name(file: str) -> str | None:
    """The id of a document without one: the number, else the stem, of its file name; None if that is no id."""
    name = file.rpartition("/")[2]
    if not (match := _FILE_NAME.fullmatch(name)):
        return None
    number = match[1]
    text = number if number.isascii() and number.isdigit() else name.removesuffix(".json")
    return text if is_sequence_id(text) else None


def id_of(own: str | None, file: str) -> str:
    """The id of a sequence: its document's own, else the one of its file name. Raises SEQUENCE_FILE_INVALID."""
    if found := own if own is not None else id_from_name(file):
        return found
    what = "it has no `id`, and its file name" if own is None else "its `id`"
    raise faults.file_invalid(file, f"{what} is not one that a sequence can have")


def normal(text: str) -> str:
    """One text for `1`, `001`, `sequence-1` and `sequence_001`; other ids are as they are."""
    bare = _PREFIX.sub("", text)
    return (bare.lstrip("0") or "0") if bare.isdigit() else text
