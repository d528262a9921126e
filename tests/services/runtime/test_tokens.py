"""Who calls."""

from pathlib import Path

import pytest

from services.kernel.faults import Code, Fault
from services.runtime.call import Principal
from services.runtime.settings import SettingsError
from services.runtime.tokens import StaticTokens, new_token, read_token_file

ANNA, BEN = Principal(name="anna"), Principal(name="ben", workspaces=frozenset({"b"}))
TOKENS = StaticTokens({"token-a": ANNA, "token-b": BEN})


def test_each_token_has_its_principal() -> None:
    assert TOKENS.authenticate("Bearer token-a") is ANNA
    assert TOKENS.authenticate("bearer token-b") is BEN


@pytest.mark.parametrize(
    "sent", ["", "token-a", "Bearer", "Bearer ", "Basic token-a", "Bearer token", "Bearer token-a2", "Bearer \udcff"]
)
def test_anything_else_is_refused(sent: str) -> None:
    with pytest.raises(Fault) as caught:
        TOKENS.authenticate(sent)
    assert (caught.value.code, caught.value.reason) == (Code.UNAUTHENTICATED, "TOKEN_INVALID")
    assert "token-a" not in caught.value.message


def test_without_tokens_nobody_gets_in() -> None:
    with pytest.raises(Fault):
        StaticTokens({}).authenticate("Bearer ")


def test_new_tokens_are_long_and_differ() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 43 for token in tokens)


def test_a_token_file_holds_one_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("token-a\n")
    assert read_token_file(path) == "token-a"


@pytest.mark.parametrize("content", [b"", b" \n", b"one two", b"a\nb", b"\xff"])
def test_a_token_file_without_one_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=str(path)):
        read_token_file(path)


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path / "none")):
        read_token_file(tmp_path / "none")
