"""Who calls: from an `authorization` header to a Principal."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from services.kernel.faults import Code, Fault
from services.runtime.call import Principal
from services.runtime.settings import SettingsError


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
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Fault(Code.UNAUTHENTICATED, "TOKEN_INVALID", "no token: send `authorization: Bearer <token>`")
        digest = _digest(token.strip())
        found = None
        # Every token is compared, in constant time: the time taken tells nothing about any of them.
        for known, principal in self._principals:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise Fault(Code.UNAUTHENTICATED, "TOKEN_INVALID", "this token is not valid here")
        return found


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


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
