"""Who calls: from an `authorization` header to a Principal.

A token is one that a file holds, which may do everything, or one that was signed with our key: that one says itself
whose it is, which workspaces it holds and when it ends, so nobody has to keep a list. A new key ends all of these.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.kernel.faults import Code, Fault
from services.runtime.call import Principal
from services.runtime.settings import ServerSettings, SettingsError

SIGNED_PREFIX = "sl1."  # of every signed token; the number is that of its form
MAX_TOKEN = 8192  # characters
_LEAST_KEY = 32  # bytes; what SHA-256 gives no more can be got out of
_LOCAL = Principal(name="local")
_NAME = re.compile(r"[!-~]{1,64}")  # fit for a log line


class Authenticator(Protocol):
    """Tells callers apart."""

    def authenticate(self, authorization: str) -> Principal:
        """The caller who sent this header ("" for none). Raises UNAUTHENTICATED TOKEN_INVALID."""
        ...


class StaticTokens:
    """A fixed set of bearer tokens."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = [(_digest(token), principal) for token, principal in principals.items()]

    def authenticate(self, authorization: str) -> Principal:
        digest = _digest(_bearer(authorization))
        found = None
        # Every token is compared, in constant time: the time taken tells nothing about any of them.
        for known, principal in self._principals:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise _invalid()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a signed token says."""

    id: str
    name: str
    workspaces: frozenset[str] | None  # None: all, and whatever has no workspace
    expires: int | None  # seconds since 1970; None: with the key


class SignedTokens:
    """Tokens that were signed with one key."""

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    def sign(self, grant: Grant) -> str:
        """The token that says so. ValueError for a name that is unfit for a log line, and for too many workspaces."""
        if not _NAME.fullmatch(grant.name):
            raise ValueError("a name has 1 to 64 printable ASCII characters and no space")
        said = {
            "id": grant.id,
            "name": grant.name,
            "workspaces": None if grant.workspaces is None else sorted(grant.workspaces),
            "expires": grant.expires,
        }
        text = SIGNED_PREFIX + _encoded(json.dumps(said, separators=(",", ":")).encode())
        token = f"{text}.{_encoded(self._signature(text))}"
        if len(token) > MAX_TOKEN:
            raise ValueError(f"more workspaces than fit into a token of {MAX_TOKEN} characters")
        return token

    def authenticate(self, authorization: str) -> Principal:
        grant = self._read(_bearer(authorization))
        if grant.expires is not None and grant.expires <= self._now():
            raise Fault(Code.UNAUTHENTICATED, "TOKEN_INVALID", "this token has expired")
        return Principal(name=grant.name, workspaces=grant.workspaces)

    def _read(self, token: str) -> Grant:
        """What a token says, once its signature is found to be ours."""
        text, _, signature = token.rpartition(".")
        if len(token) > MAX_TOKEN or not token.isascii() or not text.startswith(SIGNED_PREFIX):
            raise _invalid()
        # The signature's text, not its bytes: of several texts that mean the same bytes one is ours.
        if not hmac.compare_digest(_encoded(self._signature(text)), signature):
            raise _invalid()
        said = json.loads(_decoded(text.removeprefix(SIGNED_PREFIX)))
        workspaces = said["workspaces"]
        return Grant(
            id=said["id"],
            name=said["name"],
            workspaces=None if workspaces is None else frozenset(workspaces),
            expires=said["expires"],
        )

    def _signature(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("ascii"), "sha256")


class Tokens:
    """Tokens of both kinds."""

    def __init__(self, static: StaticTokens, signed: SignedTokens) -> None:
        self._static = static
        self._signed = signed

    def authenticate(self, authorization: str) -> Principal:
        kind = self._signed if _bearer(authorization).startswith(SIGNED_PREFIX) else self._static
        return kind.authenticate(authorization)


def authenticator(settings: ServerSettings) -> Authenticator:
    """What a process knows its callers by: the token in its token file, and where it has a key, tokens signed with it.
    SettingsError for a file that cannot be used."""
    static = StaticTokens({read_token_file(settings.token_file): _LOCAL})
    if settings.token_key_file is None:
        return static
    return Tokens(static, SignedTokens(read_key_file(settings.token_key_file)))


def new_token() -> str:
    """A token that nobody guesses: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def read_token_file(path: str | Path) -> str:
    """The token that a file holds, without the space around it. SettingsError when there is none."""
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"token file {path}: {error}") from None
    if not token or any(character.isspace() for character in token):
        raise SettingsError(f"token file {path}: must hold one token and nothing else")
    return token


def read_key_file(path: str | Path) -> bytes:
    """The key that a file holds as URL-safe base64. SettingsError when there is none, or a short one."""
    text = read_token_file(path)
    try:
        key = _decoded(text)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < _LEAST_KEY:
        raise SettingsError(f"token file {path}: must hold {_LEAST_KEY} random bytes or more in URL-safe base64")
    return key


def make_key_file(path: Path) -> None:
    """Write a new key, readable by its owner alone, where there is none yet."""
    if path.exists():
        return
    trial = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_token() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(trial, path)  # unlike a rename it never replaces a key that somebody else made meanwhile
        except FileExistsError:
            pass
    finally:
        trial.unlink()


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Fault(Code.UNAUTHENTICATED, "TOKEN_INVALID", "no token: send `authorization: Bearer <token>`")
    return token.strip()


def _invalid() -> Fault:
    return Fault(Code.UNAUTHENTICATED, "TOKEN_INVALID", "this token is not valid here")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
