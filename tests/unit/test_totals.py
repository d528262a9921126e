"""What a file says of all its shots stays true if it was, and stays as it is if it never was."""

from datetime import UTC, datetime

import pytest

from services.kernel.strict_json import parse_object
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.draft import Draft
from services.sequence_file.domain.steps import Edit, Insert, Place, Remove, SetMembers, Step

NOW = datetime(2026, 11, 21, 9, 30, 0, 123_000, tzinfo=UTC)


def total(before: str, durations: list[str], *steps: Step, member: str = "duration") -> str:
    """What the member of this text says after the steps."""
    shots = ",".join(f'{{"id":"s{index}","duration":{each}}}' for index, each in enumerate(durations))
    raw = f'{{"{member}":{before},"shots":[{shots}],"modified_at":""}}'.encode()
    draft = Draft(parse_sequence(raw, "f"), "001")
    for step in steps:
        draft.apply(step)
    value = draft.finish(NOW).member(member)
    assert value is not None
    return value.decode()


def lasting(seconds: str, shot: str = "s0") -> Edit:
    return Edit(shot_id=shot, updates=parse_object(f'{{"duration": {seconds}}}'))


@pytest.mark.parametrize(
    ("before", "durations", "seconds", "then"),
    [
        ("15", ["10", "5"], "20", "25"),
        ("15", ["10", "5"], "0.5", "5.5"),
        ("15.0", ["10.0", "5.0"], "20", "25.0"),  # a file whose whole numbers have a point
        ("5.5", ["0.5", "5"], "5.000", "10.0"),
        ("15", ["10", "5"], "1e3", "1005"),  # never an exponent
        ("15", ["10", "5"], "1E-7", "5.0000001"),
        ("0.30000000000000004", ["0.1", "0.2"], "0.4", "0.6"),  # what adding doubles makes of 0.3
        ("15", ["15"], "1e3", "1000"),
        ("15", ["15"], "1E-7", "0.0000001"),
        ("15", ["10", "5"], "null", "5"),  # taken away
        ("15", ["10", "5"], '"long"', "5"),  # no number
        ("60", ["10", "5"], "20", "60"),  # never a total: somebody's target
        ('"15"', ["10", "5"], "20", '"15"'),
        ("null", ["10", "5"], "20", "null"),
        ("15", ["10", "5"], "10.0", "15"),
        ("15", ["10", "5", "1e999999"], "20", "15"),  # no sum, so nothing is known
        ("15", ["10", "5"], "1e300", "15"),
        ("9007199254740993", ["9007199254740992", "1"], "9007199254740990", "9007199254740991"),
    ],
)
def test_the_length_of_a_sequence_follows_its_shots(before: str, durations: list[str], seconds: str, then: str) -> None:
    assert total(before, durations, lasting(seconds)) == then


@pytest.mark.parametrize("member", ["duration", "total_duration", "totalDuration"])
def test_shots_that_come_and_go_count(member: str) -> None:
    new = Insert(document=parse_object('{"id":"n","timing":{"duration":0.25},"duration":9}'), place=Place())
    assert total("15", ["10", "5"], new, member=member) == "15.25"
    assert total("15", ["10", "5"], new, Remove(shot_id="s0"), member=member) == "5.25"
    assert total("15", ["10", "5"], Remove(shot_id="s0"), Remove(shot_id="s1"), member=member) == "0"


@pytest.mark.parametrize("member", ["shot_count", "shotCount", "shots_count", "total_shots", "totalShots"])
def test_counts_follow_the_shots(member: str) -> None:
    new = Insert(document={"id": "n"}, place=Place())
    assert total("2", ["1", "1"], new, member=member) == "3"
    assert total("7", ["1", "1"], new, member=member) == "7"
    assert total("2", ["1", "1"], Remove(shot_id="s0"), member=member) == "1"


def test_the_shots_own_length_counts_before_that_of_its_clip() -> None:
    raw = (
        b'{"duration":5,"shots":[{"id":"a","timing":{"duration":2},"duration":9},{"id":"b","timing":null,"duration":3},'
        b'{"id":"c"}],"metadata":{"total_duration":5,"shot_count":3,"target_duration":5,"duration":8}}'
    )
    draft = Draft(parse_sequence(raw, "f"), "001")
    draft.edit(Edit(shot_id="a", updates=parse_object('{"timing":{"duration":4}}')))
    draft.edit(Edit(shot_id="b", updates=parse_object('{"timing":{"duration":1}}')))
    draft.apply(Remove(shot_id="c"))
    after = draft.finish(NOW)
    assert after.member("metadata") == (
        b'{"total_duration":5,"shot_count":2,"target_duration":5,"duration":8,"modified_at":"2026-11-21T09:30:00.123Z"}'
    )
    draft.edit(Edit(shot_id="b", updates=parse_object('{"timing":{"duration":2}}')))
    assert draft.finish(NOW).member("duration") == b"6"


def test_a_total_that_somebody_sets_is_theirs_from_then_on() -> None:
    target = SetMembers(updates=parse_object('{"duration": 60}'))
    assert total("15", ["10", "5"], lasting("20"), target, lasting("30")) == "60"
    # The value of before the edit, which is not the sum any more, is a target as well.
    assert total("15", ["10", "5"], lasting("20"), SetMembers(updates=parse_object('{"duration": 15}'))) == "15"
    # The sum is a total, whoever wrote it.
    truth = SetMembers(updates=parse_object('{"duration": 15}'))
    assert total("60", ["10", "5"], truth, lasting("20")) == "25"


def test_lengths_that_were_taken_back_do_not_count() -> None:
    raw = b'{"duration":15,"shots":[{"id":"s0","duration":10},{"id":"s1","duration":5}],"modified_at":""}'
    draft = Draft(parse_sequence(raw, "f"), "001")
    draft.edit(lasting("20"))
    draft.take()
    draft.edit(lasting("30"))
    draft.apply(Remove(shot_id="s1"))
    draft.take_back()
    assert draft.finish(NOW).member("duration") == b"25"
    draft.edit(lasting("1"))
    assert draft.finish(NOW).member("duration") == b"6"
