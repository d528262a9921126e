"""`--ports`: the usual ones, free ones, or some by name."""

import pytest

from services.local.ports import Ports, chosen, is_free


def test_ports_are_the_usual_ones_unless_named() -> None:
    assert chosen("default") == Ports()
    assert chosen("http=8180") == Ports(http=8180)
    assert chosen("http=8180,grpc=1") == Ports(http=8180, grpc=1)


def test_zero_and_auto_pick_free_ones_that_differ() -> None:
    picked = chosen("auto")
    assert len({picked.grpc, picked.http, picked.sequence_file}) == 3
    assert all(map(is_free, (picked.grpc, picked.http, picked.sequence_file)))
    assert chosen("http=0").grpc == Ports().grpc
    assert is_free(chosen("http=0").http)


@pytest.mark.parametrize(
    "text",
    ["", "8080", "http", "http=", "http=-1", "http=65536", "http=1,http=2", "smtp=25", "http=٣", "http=0000001000000"],
)
def test_what_is_no_choice_of_ports_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=NUMBER|0 to 65535"):
        chosen(text)


@pytest.mark.parametrize("text", ["grpc=8080", "http=9000,grpc=9000", "http=0,grpc=50052"])
def test_one_number_for_two_parts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be both"):
        chosen(text)
