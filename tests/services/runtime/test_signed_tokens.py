"""Tokens that say themselves what they are for."""

import base64
import json
import os
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Code, Fault
from services.runtime.call import Principal
from services.runtime.settings import Environment, ServerSettings, SettingsError
from services.runtime.tokens import (
    Grant,
    SignedTokens,
    authenticator,
    make_key_file,
    read_key_file,
)

NOW = 1_800_000_000
KEY, OTHER_KEY = bytes(range(32)), bytes(32)
TOKENS = SignedTokens(KEY, now=lambda: NOW)
WORKSPACES = frozenset({"harbour", "forest"})


def grant(expires: int | None = NOW + 60, workspaces: frozenset[str] | None = WORKSPACES, name: str = "anna") -> Grant:
    return Grant(id="1f", name=name, workspaces=workspaces, expires=expires)


def refusal(tokens: SignedTokens, token: str) -> str:
    with pytest.raises(Fault) as caught:
        tokens.authenticate(f"Bearer {token}")
    assert (caught.value.code, caught.value.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")
    return caught.value.message


def forged(token: str, **changes: object) -> str:
    """The token with other contents and the old signature."""
    prefix, payload, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=="))
    text = base64.urlsafe_b64encode(json.dumps({**said, **changes}).encode()).decode().rstrip("=")
    return f"{prefix}.{text}.{signature}"


@pytest.mark.parametrize("workspaces", [WORKSPACES, frozenset({"a"}), None], ids=["two", "one", "all"])
def test_a_token_gives_its_holder_a_name_and_workspaces(workspaces: frozenset[str] | None) -> None:
    token = TOKENS.sign(grant(workspaces=workspaces))
    assert TOKENS.authenticate(f"Bearer {token}") == Principal(name="anna", workspaces=workspaces)


def test_a_token_ends_when_it_says() -> None:
    token = TOKENS.sign(grant(expires=NOW))
    assert "expired" in refusal(TOKENS, token)
    SignedTokens(KEY, now=lambda: NOW - 1).authenticate(f"Bearer {token}")
    lasting = TOKENS.sign(grant(expires=None))
    SignedTokens(KEY, now=lambda: NOW * 2).authenticate(f"Bearer {lasting}")


def test_another_key_is_another_world() -> None:
    refusal(SignedTokens(OTHER_KEY, now=lambda: NOW), TOKENS.sign(grant()))


@pytest.mark.parametrize(
    "changes", [{"name": "ben"}, {"workspaces": None}, {"workspaces": ["every"]}, {"expires": None}, {"id": "2"}]
)
def test_nothing_of_what_a_token_says_can_be_changed(changes: dict[str, object]) -> None:
    refusal(TOKENS, forged(TOKENS.sign(grant()), **changes))


def test_no_character_of_a_token_can_be_changed() -> None:
    """Not even the last ones of a part, whose spare bits mean nothing in base64."""
    token = TOKENS.sign(grant())
    for place, character in enumerate(token):
        for other in {"A", "B", "_", "."} - {character}:
            refusal(TOKENS, token[:place] + other + token[place + 1 :])
    for text in (token[:-1], token + "A", token + "=", token + "\u00e9", token.rpartition(".")[0], "sl1.", "sl1..", ""):
        refusal(TOKENS, text)


@given(st.text(alphabet=string.printable, max_size=200))
def test_anything_else_is_refused(text: str) -> None:
    refusal(TOKENS, f"sl1.{text}")


def test_a_token_is_as_long_as_a_header_may_be_and_no_longer() -> None:
    many = frozenset(f"workspace-{number}" for number in range(300))
    assert TOKENS.authenticate(f"Bearer {TOKENS.sign(grant(workspaces=many))}").workspaces == many
    with pytest.raises(ValueError, match="more workspaces than fit"):
        TOKENS.sign(grant(workspaces=frozenset(f"workspace-{number}" for number in range(1000))))


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\u00e9", "x" * 65])
def test_a_name_is_fit_for_a_log_line(name: str) -> None:
    with pytest.raises(ValueError, match="a name has"):
        TOKENS.sign(grant(name=name))


def test_a_process_with_a_key_takes_both_kinds_and_without_one_only_its_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("told\n")
    make_key_file(tmp_path / "key")
    signed = SignedTokens(read_key_file(tmp_path / "key")).sign(grant(expires=None))
    variables = {"SHOTLINE_TOKEN_FILE": str(tmp_path / "token")}
    alone = authenticator(settings(variables))
    both = authenticator(settings(variables | {"SHOTLINE_TOKEN_KEY_FILE": str(tmp_path / "key")}))
    for each in (alone, both):
        assert each.authenticate("Bearer told") == Principal(name="local")
        with pytest.raises(Fault):
            each.authenticate("Bearer wrong")
    assert both.authenticate(f"Bearer {signed}").workspaces == WORKSPACES
    with pytest.raises(Fault):
        alone.authenticate(f"Bearer {signed}")


def settings(variables: dict[str, str]) -> ServerSettings:
    return ServerSettings.read(Environment(variables), default_address="127.0.0.1:1")


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        make_key_file(path)
    finally:
        os.umask(old)
    key = read_key_file(path)
    make_key_file(path)
    assert read_key_file(path) == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    make_key_file(tmp_path / "other")
    assert read_key_file(tmp_path / "other") != key


@pytest.mark.parametrize("content", [b"", b"AAAA", b"not base64!" * 5, b"a b", b"\xff" * 50])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=str(path)):
        read_key_file(path)
