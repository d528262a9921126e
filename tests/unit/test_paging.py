"""Pages: sizes and tokens."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Code, Fault
from services.kernel.paging import Key, keyset_start, keyset_token, page_size, page_start, page_token


@given(st.text(), st.integers(0, 10**9), st.text())
def test_a_token_leads_back_to_its_page(query: str, position: int, version: str) -> None:
    assert page_start(page_token(query, position, version), query) == (position, version)


@given(st.text(), st.lists(st.none() | st.integers(-(2**70), 2**70) | st.text(), min_size=1))
def test_a_token_leads_back_to_its_keys(query: str, keys: list[Key]) -> None:
    assert keyset_start(keyset_token(query, keys), query) == tuple(keys)


@given(st.text())
def test_any_other_token_is_refused_and_never_breaks(token: str) -> None:
    if not token:
        assert page_start(token, "q") == (0, "")
        assert keyset_start(token, "q") == ()
        return
    for start in (page_start, keyset_start):
        with pytest.raises(Fault) as caught:
            start(token, "q")
        assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "content",
    [[], [[]], [3], ["", 3], [3, 3], [-1, ""], [True, ""], [1.5, ""], [[1.5]], [[True]], [{}], [[[]]], [[1], 2], None],
)
def test_a_token_that_somebody_wrote_is_refused(content: object) -> None:
    digest = json.loads(base64.urlsafe_b64decode(page_token("q", 3, "") + "=="))[0]
    text = json.dumps([digest, *content] if isinstance(content, list) else content)
    token = base64.urlsafe_b64encode(text.encode()).decode()
    for start in (page_start, keyset_start):
        with pytest.raises(Fault):
            start(token, "q")


def test_another_querys_token_is_refused() -> None:
    with pytest.raises(Fault):
        page_start(page_token("sequences of /a", 3, ""), "sequences of /b")
    with pytest.raises(Fault):
        keyset_start(keyset_token("films of a", ["x"]), "films of b")


def test_sizes_default_cap_and_refuse() -> None:
    assert [page_size(n, default=50, largest=100) for n in (0, 7, 10**9)] == [50, 7, 100]
    with pytest.raises(Fault):
        page_size(-1, default=50, largest=100)
