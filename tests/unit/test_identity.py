"""How sequences are named and found."""

from datetime import UTC, datetime

import pytest

from services.kernel.faults import Code, Fault
from services.sequence_file.domain import identity
from services.sequence_file.domain.document import parse_sequence
from services.sequence_file.domain.finding import arranged, find_sequence, unreachable
from services.sequence_file.domain.ports import Project, SequenceFile


def project(**files: str) -> Project:
    """A project of sequence files by name without ending, each the text of a document."""
    good, bad = [], []
    for name, text in files.items():
        file = f"sequences/{name}.json"
        try:
            document = parse_sequence(text.encode(), file)
            found = identity.id_of(document.head.id, file)
            good.append(SequenceFile(document=document, id=found, modified=datetime.now(UTC)))
        except Fault as fault:
            bad.append(unreachable(file, fault))
    return arranged("/p", good, bad, True)


@pytest.mark.parametrize(
    "text",
    [
        "../project",
        "..%2f..",
        "/etc/passwd",
        "C:\\x",
        "\\\\host\\share",
        "001\n",
        "٠٠١",
        "²",
        "",
        "0" * 300,
        "a..b",
        " 1",
    ],
)
def test_ids_that_no_file_can_have_are_refused(text: str) -> None:
    with pytest.raises(Fault) as caught:
        identity.sequence_id(text)
    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "INVALID_SEQUENCE_ID")


@pytest.mark.parametrize(
    "text", ["001", "6", "1795232178421-9kjotioul", "0195a1c2-7e00-7000-8000-000000000000", "Act 1.b"]
)
def test_ids_of_real_files_are_accepted(text: str) -> None:
    assert identity.sequence_id(text) == text


@pytest.mark.parametrize("asked", ["1", "001", "01", "sequence-1", "sequence_001", "Sequence 1"])
def test_a_number_finds_its_sequence_however_it_is_written(asked: str) -> None:
    found = find_sequence(
        project(sequence_001='{"id":"001","shots":[]}', sequence_002='{"id":"002","shots":[]}'), asked
    )
    assert found.id == "001"


def test_an_exact_match_comes_before_a_number() -> None:
    both = project(sequence_001='{"id":"1","shots":[]}', sequence_002='{"id":"001","shots":[]}')
    assert find_sequence(both, "001").document.file == "sequences/sequence_002.json"
    with pytest.raises(Fault, match=r"sequence_001\.json, sequences/sequence_002\.json|could mean any"):
        find_sequence(both, "01")


def test_an_id_that_is_a_number_is_its_text() -> None:
    assert find_sequence(project(sequence_9='{"id":6,"shots":[]}'), "6").id == "6"


def test_the_documents_id_counts_and_not_the_file_name() -> None:
    swapped = project(sequence_001='{"id":"002","shots":[]}', sequence_002='{"id":"001","shots":[]}')
    assert find_sequence(swapped, "001").document.file == "sequences/sequence_002.json"


@pytest.mark.parametrize(("name", "known_as"), [("sequence_001", "001"), ("sequence_opening", "sequence_opening")])
def test_a_document_without_id_is_known_by_its_file_name(name: str, known_as: str) -> None:
    assert find_sequence(project(**{name: '{"shots":[]}'}), known_as).id == known_as


def test_two_files_with_one_id_are_refused_naming_both() -> None:
    twice = project(sequence_001='{"id":"001","shots":[]}', sequence_002='{"id":"001","shots":[]}')
    assert not twice.sequences
    assert [each.fault.reason for each in twice.unreachable] == ["DUPLICATE_ID", "DUPLICATE_ID"]
    with pytest.raises(Fault) as caught:
        find_sequence(twice, "001")
    assert "sequence_001.json" in caught.value.message
    assert "sequence_002.json" in caught.value.message


def test_a_broken_file_is_found_by_the_id_that_it_states() -> None:
    with pytest.raises(Fault) as caught:
        find_sequence(project(sequence_1='{"id":"1795-x","shots":[}'), "1795-x")
    assert (caught.value.reason, caught.value.metadata["line"]) == ("SEQUENCE_FILE_INVALID", "1")


def test_an_unknown_id_is_not_found_and_the_unreadable_files_are_mentioned() -> None:
    with pytest.raises(Fault) as caught:
        find_sequence(project(sequence_001="", sequence_002='{"id":"002","shots":[]}'), "9")
    assert caught.value.reason == "SEQUENCE_NOT_FOUND"
    assert "sequence_001.json" in caught.value.message


def test_playing_order_is_by_order_then_file_and_missing_last() -> None:
    made = project(
        sequence_004='{"id":"d","shots":[]}',
        sequence_003='{"id":"c","shots":[],"order":2}',
        sequence_002='{"id":"b","shots":[],"order":10}',
        sequence_001='{"id":"a","shots":[]}',
        sequence_000='{"id":"e","shots":[],"order":2}',
    )
    assert [each.id for each in made.sequences] == ["e", "c", "b", "a", "d"]
