"""What a film is made of that is made of a story: no server needed."""

import json

import pytest

from gateway.cli import film_document, story
from gateway.cli.film_document import FilmDocument, WrongFile

MARKET = {
    "story_overview": "Two friends open a stall.",
    "consistency_type": "Type C",
    "metadata": {"theme_key": "friends_open_a_stall", "theme_description": "Two friends opening a stall"},
    "scenes": [
        {
            "scene_num": 1,
            "setting": "a market",
            "shots": [
                {
                    "shot_id": 1,
                    "first_frame": "Ines (34, short grey hair, red coat) and Baker Tomas Reed (adult man, 40s) stand.",
                    "video_prompt": "She waves.",
                    "seed": 1.50,
                },
                {"shot_id": 2, "first_frame": "Close on the hands of Tomas.", "video_prompt": "He kneads."},
            ],
        },
        {"scene_num": 2, "shots": [{"shot_id": 3, "first_frame": "Rain.", "video_prompt": "The baker and Ines run."}]},
    ],
}

RAIN = {"shot_id": 7, "video_prompt": "Rain."}


def film(**changes: object) -> FilmDocument:
    text = json.dumps({**MARKET, **changes})
    return story.to_film(film_document.parse(text), "some_file")


def names(document: FilmDocument, kind: str) -> list[str]:
    return [asset.name for asset in document.assets if asset.type == kind]


def cast(document: FilmDocument) -> dict[str, list[str]]:
    """Of each character the shots it is in."""
    known = {asset.id: asset.name for asset in document.assets}
    found: dict[str, list[str]] = {name: [] for name in names(document, "character_ref")}
    for edge in document.edges:
        if edge.type == "uses_character":
            found[known[edge.child]].append(known[edge.parent])
    return found


def one_shot(first_frame: str, **changes: object) -> FilmDocument:
    shot = {"shot_id": 1, "first_frame": first_frame, "video_prompt": "It rains."}
    return film(scenes=[{"scene_num": 1, "shots": [shot]}], **changes)


def test_everything_that_a_story_says_is_in_its_film() -> None:
    document = film()
    assert names(document, "film") == ["Friends open a stall"]
    assert (names(document, "scene"), names(document, "shot")) == (
        ["Scene 1", "Scene 2"],
        ["Shot 1", "Shot 2", "Shot 3"],
    )
    metadata = {asset.name: json.loads(asset.metadata) for asset in document.assets}
    about = metadata["Friends open a stall"]
    assert about["synopsis"] == "Two friends open a stall."
    assert about["consistency_type"] == "Type C"
    assert about["metadata"] == MARKET["metadata"]
    assert metadata["Scene 1"] == {"scene_number": 1, "setting": "a market"}
    assert metadata["Shot 1"]["prompt"] == "She waves."
    assert metadata["Shot 1"]["first_frame"].startswith("Ines (34")
    assert metadata["Shot 1"]["shot_number"] == "1"
    assert '"seed":1.5' in next(asset.metadata for asset in document.assets if asset.name == "Shot 1")
    assert [(edge.type, edge.sequence) for edge in document.edges if edge.sequence] == [
        ("contains_scene", 1),
        ("contains_shot", 1),
        ("contains_shot", 2),
        ("contains_scene", 2),
        ("contains_shot", 1),
    ]


def test_people_who_are_introduced_are_in_the_shots_that_name_them() -> None:
    assert cast(film()) == {"Ines": ["Shot 1", "Shot 3"], "Baker Tomas Reed": ["Shot 1", "Shot 2", "Shot 3"]}


@pytest.mark.parametrize(
    ("first_frame", "found"),
    [
        ("On the left sits Character A: a 32-year-old woman, tall. Right: Character B: a 38-year-old man.", 2),
        ("Scientist A is a 34-year-old woman, tall and slim.", 1),
        ("Character B (student), a 22-year-old man with light skin, sits.", 1),
        ("Chef A (adult woman, 30s, curly hair) and Judge (adult woman, 50s) stand near the island.", 2),
        ("Three adults (20+) stand. A desk (oak, 1900) is empty.", 0),
        ("Nobody is here (it is late).", 0),
    ],
)
def test_introductions_of_several_kinds_are_understood(first_frame: str, found: int) -> None:
    characters = cast(one_shot(first_frame))
    assert len(characters) == found
    assert all(shots == ["Shot 1"] for shots in characters.values())


def test_of_one_person_the_whole_story_tells_whatever_its_shots_say() -> None:
    for first_frame, name in (
        ("A 32-year-old gardener named Rowan kneels.", "Rowan"),
        ("A 32-year-old woman stands by a fence.", "Street photographer"),
    ):
        theme = {"theme_description": "A street photographer documenting a city"}
        document = one_shot(first_frame, consistency_type="Type A", metadata=theme)
        assert cast(document) == {name: ["Shot 1"]}
        described = next(asset.metadata for asset in document.assets if asset.type == "character_ref")
        assert json.loads(described) == {"description": first_frame}


def test_people_without_names_are_called_what_the_story_calls_them() -> None:
    overview = "An adult instructor and two adult students set up a test."
    document = one_shot("A bright lab. The students smile.", story_overview=overview, consistency_type="Type B")
    assert cast(document) == {"Instructor": [], "Students": ["Shot 1"]}


def test_characters_that_are_listed_are_taken_as_they_are() -> None:
    scenes = [{"shots": [{"video_prompt": "Ines and Tomas", "characters": ["Tomas"]}, {"video_prompt": "Only Ines."}]}]
    document = film(scenes=scenes, characters=["Ines", {"name": "Tomas", "voice": "low"}])
    assert cast(document) == {"Ines": ["Shot 2"], "Tomas": ["Shot 1"]}
    tomas = next(asset for asset in document.assets if asset.name == "Tomas")
    assert json.loads(tomas.metadata) == {"voice": "low"}


def test_each_scene_may_count_its_shots_anew_and_have_none() -> None:
    document = film(scenes=[{"shots": [RAIN]}, {"shots": [RAIN]}, {"shots": []}])
    assert (names(document, "shot"), len(names(document, "scene"))) == (["Shot 7", "Shot 7"], 3)


def test_a_digest_is_of_the_content_and_not_of_its_layout() -> None:
    digests = {story.digest(film_document.parse(json.dumps(MARKET, indent=indent))) for indent in (None, 4)}
    digests.add(story.digest(film_document.parse(json.dumps({**MARKET, "more": 1}))))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenes": None}, "/scenes: must be a list"),
        ({"scenes": [5]}, "/scenes/0: must be a JSON object"),
        ({"scenes": []}, "/scenes: has no shot"),
        ({"scenes": [{"shots": []}, {"shots": []}]}, "/scenes: has no shot"),
        ({"scenes": [{"shots": [{"first_frame": 5}]}]}, "/scenes/0/shots/0/first_frame: must be a string"),
        ({"scenes": [{"shots": [RAIN, {"video_prompt": None}]}]}, "/scenes/0/shots/1/video_prompt: must be a string"),
        ({"scenes": [{"shots": [{"shot_id": 1, "video_promt": "Rain."}]}]}, "/scenes/0/shots/0: has no prompt"),
        ({"scenes": [{"shots": [{"first_frame": " "}]}]}, "/scenes/0/shots/0: has no prompt"),
        ({"scenes": [{"shots": [RAIN, RAIN]}]}, "/scenes/0/shots/1/shot_id: another shot of the scene is 7, too"),
        ({"scenes": [{"shots": {}}]}, "/scenes/0/shots: must be a list"),
        ({"scenes": [{"shots": ["x"]}]}, "/scenes/0/shots/0: must be a JSON object"),
        ({"scenes": [{"shots": [{"characters": 5}]}]}, "/scenes/0/shots/0/characters: must be a list of names"),
        ({"characters": [{}]}, "/characters/0/name: must be a string"),
        ({"characters": "Ines"}, "/characters: must be a list"),
    ],
)
def test_what_is_no_story_is_refused_by_its_place(changes: dict[str, object], said: str) -> None:
    with pytest.raises(WrongFile, match=f"^{said}"):
        film(**changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "must be a JSON object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(WrongFile, match=said):
        film_document.parse(text)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(WrongFile, match="surrogate"):
        film(note="\ud800")
