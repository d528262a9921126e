"""Which versions stay: all of the last hour, then the last one of each hour, within the caps."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from services.sequence_file.domain.thinning import MOST, MOST_BYTES, RECENT, Candidate, kept

MIB = 1 << 20
NOW = 1_000 * RECENT


def made_every(seconds: float, count: int, *, size: int = 1, until: float = NOW) -> list[Candidate]:
    """Versions up to a moment, oldest first."""
    return [Candidate(i + 1, until - (count - 1 - i) * seconds, size) for i in range(count)]


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    """Versions with any distances in time, in bursts and after pauses, now and then with a clock that went back."""
    gaps = st.one_of(st.floats(0, 60), st.floats(0, 4 * RECENT), st.floats(-RECENT, 0))
    sizes = st.one_of(st.integers(0, MIB), st.integers(0, MOST_BYTES), st.integers(MOST_BYTES, 2 * MOST_BYTES))
    at = 500 * RECENT
    versions = []
    for revision in range(1, draw(st.integers(0, 120)) + 1):
        at += draw(gaps)
        versions.append(Candidate(revision, at, draw(sizes)))
    return versions


def last_of_each_hour(versions: list[Candidate]) -> list[int]:
    """Newest first."""
    hours: dict[float, int] = {}
    for each in versions:
        hours[each.at // RECENT] = max(each.revision, hours.get(each.at // RECENT, 0))
    return sorted(hours.values(), reverse=True)


def test_nothing_is_kept_of_nothing() -> None:
    assert kept([], NOW) == set()


def test_everything_of_the_last_hour_is_kept() -> None:
    assert kept(made_every(60, 40), NOW) == set(range(1, 41))


def test_before_the_last_hour_the_last_version_of_each_hour_is_kept() -> None:
    versions = made_every(20 * 60, 12, until=NOW - 1)  # at :19, :39 and :59 of four hours
    assert kept(versions, NOW + RECENT) == {3, 6, 9, 12}
    assert kept(versions, NOW) == {3, 6, 9, 10, 11, 12}


def test_the_newest_version_is_kept_however_large_and_old() -> None:
    assert kept([Candidate(1, 0, 1), Candidate(2, 0, 2 * MOST_BYTES)], NOW) == {2}


def test_a_burst_leaves_half_of_the_places_to_the_hours_before() -> None:
    days = made_every(RECENT, 60, until=NOW - 2 * RECENT)
    burst = [Candidate(100 + i, NOW + i, 1) for i in range(500)]
    stay = kept(days + burst, NOW + 500)
    assert len(stay) == MOST
    assert stay >= {*range(37, 61), 100, *range(599 - 12, 600)}


def test_a_burst_does_not_erase_what_it_began_with() -> None:
    found, burst = Candidate(0, NOW, 1), [Candidate(1 + i, NOW + 60 + i, 1) for i in range(300)]
    assert kept([found, *burst], NOW + 360) >= {0, *range(300 - 24, 301)}


def test_behind_the_newest_ones_those_of_a_burst_go_first() -> None:
    calm = made_every(100, 20, until=NOW)
    burst = [Candidate(21 + i, NOW + 100 + i / 10, 1) for i in range(60)]
    assert kept(calm + burst, NOW + 110) >= {*range(1, 22), *range(80 - 24, 81)}


def test_a_burst_of_large_versions_leaves_half_of_the_bytes_to_the_hours_before() -> None:
    days = made_every(RECENT, 20, size=10 * MIB, until=NOW - 2 * RECENT)
    burst = [Candidate(100 + i, NOW + i, 10 * MIB) for i in range(40)]
    # 128 MiB are sure for 12 last ones of an hour; the 13 places that are left go to the steps of the burst.
    assert kept(days + burst, NOW + 40) == {*range(10, 21), 100, *range(139 - 12, 140)}


def test_places_that_one_kind_does_not_need_go_to_the_other() -> None:
    assert len(kept(made_every(RECENT, 70), NOW)) == MOST
    assert len(kept(made_every(1, 70), NOW)) == MOST


@given(histories(), st.floats(0, 5 * RECENT))
def test_the_rule_holds_for_any_history(versions: list[Candidate], later: float) -> None:
    now = max((each.at for each in versions), default=0.0) + later
    stay = kept(versions, now)
    left = [each for each in versions if each.revision in stay]
    total = sum(each.size for each in left)
    assert len(left) <= MOST
    assert total <= MOST_BYTES or len(left) == 1
    if versions:
        assert versions[-1].revision in stay
    hourly = last_of_each_hour(versions)
    recent = {each.revision for each in versions if now - each.at < RECENT}
    assert stay <= recent | set(hourly)
    if (
        len(recent | set(hourly)) <= MOST
        and sum(v.size for v in versions if v.revision in recent | {*hourly}) <= MOST_BYTES
    ):
        assert stay == recent | set(hourly)
    assert kept(left, now) == stay


@given(histories(), st.data())
def test_versions_that_come_one_by_one_leave_no_hour_empty(versions: list[Candidate], data: st.DataObject) -> None:
    clock = list(accumulate((each.at for each in versions), max))  # which only goes on
    steady = [each._replace(at=at, size=1) for each, at in zip(versions, clock, strict=True)]
    held: list[Candidate] = []
    for each in steady:
        held.append(each)
        if data.draw(st.booleans()):
            stay = kept(held, each.at)
            held = [known for known in held if known.revision in stay]
    if steady:
        stay = kept(held, steady[-1].at)
        # The hours that a burst may not take away, whatever came when; each with its last version.
        assert stay >= set(last_of_each_hour(steady)[: MOST // 2])


@given(st.lists(st.floats(0, 60) | st.floats(0, 0.1), min_size=40, max_size=150), st.integers(1, 9))
def test_versions_that_come_one_by_one_do_not_push_the_oldest_out_of_its_hour(gaps: list[float], every: int) -> None:
    came: list[Candidate] = []
    held: list[Candidate] = []
    for revision, at in enumerate(accumulate(gaps, initial=500 * RECENT)):
        came.append(Candidate(revision, at, 1))
        held.append(came[-1])
        if revision % every == 0:
            stay = kept(held, at)
            held = [each for each in held if each.revision in stay]
            recent = [each.revision for each in came if at - each.at < RECENT]
            assert {recent[0], *recent[-MOST // 4 :]} <= stay


@given(st.integers(1, 400), st.floats(0.01, 8), st.sampled_from([1, MIB, 20 * MIB]))
def test_a_steady_burst_is_kept_from_its_first_version_to_its_last(count: int, seconds: float, size: int) -> None:
    burst = made_every(seconds, count, size=size)
    held: list[Candidate] = []
    for each in burst:
        held.append(each)
        stay = kept(held, each.at)
        held = [known for known in held if known.revision in stay]
    recent = [each.revision for each in burst if NOW - each.at < RECENT]
    assert {recent[0], recent[-1]} <= stay
    assert sum(each.size for each in held) <= MOST_BYTES
