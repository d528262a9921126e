"""Pages: sizes and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.faults import Code, Fault
from services.kernel.paging import page_size, page_start, page_token


@given(st.text(), st.integers(0, 10**9), st.text())
def test_a_token_leads_back_to_its_page(query: str, position: int, version: str) -> None:
    assert page_start(page_token(query, position, version), query) == (position, version)


@given(st.text())
def test_any_other_token_is_refused_and_never_breaks(token: str) -> None:
    if not token:
        assert page_start(token, "q") == (0, "")
        return
    with pytest.raises(Fault) as caught:
        page_start(token, "q")
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_another_querys_token_is_refused() -> None:
    with pytest.raises(Fault):
        page_start(page_token("sequences of /a", 3, ""), "sequences of /b")


def test_sizes_default_cap_and_refuse() -> None:
    assert [page_size(n, default=50, largest=100) for n in (0, 7, 10**9)] == [50, 7, 100]
    with pytest.raises(Fault):
        page_size(-1, default=50, largest=100)
