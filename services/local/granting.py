"""`shotline token create`: a signed token for somebody who is to reach some workspaces for some time."""

import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from services.asset_graph import caller
from services.kernel.faults import Fault
from services.local import data_folder
from services.runtime import local_address
from services.runtime.tokens import Grant, SignedTokens, make_key_file, read_key_file

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_LONGEST = 36_500  # days


class CannotGrant(Exception):
    """Why there is no token, and what to do about it."""


def grant(*, workspaces: Sequence[str], name: str, expires: str, data: Path | None) -> str:
    """A token for the servers of a data folder, which need not run. No workspace means all. Raises CannotGrant, and
    SettingsError for a key that cannot be used."""
    folder = Path(os.path.abspath(data or local_address.default_folder()))
    seconds = _seconds(expires)
    try:
        named = frozenset(map(caller.workspace, workspaces)) or None
    except Fault as fault:
        raise CannotGrant(fault.message) from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_folder.refuse_shared(folder)
        key_file = data_folder.token_key_file(folder)
        make_key_file(key_file)
    except OSError as error:
        raise CannotGrant(f"the data folder {folder} cannot be used: {error}") from None
    said = Grant(
        id=secrets.token_hex(8),
        name=name,
        workspaces=named,
        expires=None if seconds is None else int(time.time()) + seconds,
    )
    try:
        return SignedTokens(read_key_file(key_file)).sign(said)
    except ValueError as error:
        raise CannotGrant(str(error)) from None


def _seconds(text: str) -> int | None:
    if text == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,7})([mhd])", text)
    if found is None or (seconds := int(found[1]) * _UNITS[found[2]]) > _LONGEST * _UNITS["d"]:
        raise CannotGrant(f"--expires {text}: write a number with m, h or d, such as 30d, or never")
    return seconds
