"""From a story to a film: scenes with shots, each with the picture that it begins with and the prompt for its video.

    {"story_overview": …,
     "scenes": [{"scene_num": 1, "shots": [{"shot_id": 1, "first_frame": …, "video_prompt": …}, …]}, …]}

Each shot has a `first_frame`, a `video_prompt` or both; no two of a scene have one `shot_id`. `title` names the film,
else its theme does. `video_prompt` becomes the shot's prompt, `story_overview` the film's synopsis; all other members
stand in the metadata under their own names.

Characters are those of a list `characters` (names, or objects with `name`; a shot's own `characters` names its ones).
Of a story without one they are found in its words, where these are clear about it:

- a person introduced by a name with an age or the word adult: `Mira (28, …)`, `Chef A (adult woman, 30s, …)`,
  `Character A: a 32-year-old woman, …`, `Scientist B is a 41-year-old man, …`. Such a one is in the shots that name it.
- a story of consistency `Type A` follows one person through all of its shots: by the name that the story gives, else by
  the occupation that its theme begins with ("A chef exploring …").
- where nobody is introduced so, whom the story calls adults: `an adult instructor and two adult students` are a
  character Instructor and a character Students, in the shots that speak of them.

Anybody else stays words of the prompt.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.cli.film_document import (
    FilmAsset,
    FilmDocument,
    FilmEdge,
    Members,
    WrongFile,
    metadata_of,
    object_of,
    text_of,
)
from gateway.cli.film_writing import STORY_DIGEST
from services.kernel.strict_json import Json, Number, dumps

_PERSON = r"(?P<name>[A-Z][a-z]+(?: [A-Z][a-z]+)*(?: [A-Z]\b)?)"
_OF_AGE = r"(?:\d\d\b|\d0s\b|\badult\b)"
# Name (adult woman, 30s, …)
_IN_BRACKETS = re.compile(rf"{_PERSON} \((?P<words>[^()]*{_OF_AGE}[^()]*)\)")
# Character A: a 32-year-old woman, … · Character B (student), a 22-year-old man …
_BY_LABEL = re.compile(
    r"(?P<name>[A-Z][a-z]+ [A-Z])\b(?: \((?P<role>[a-z ]+)\))?(?:: | is |, )(?P<words>an? \d\d-year-old [^.]*)"
)
_NAMED = re.compile(r"\bnamed (?P<name>[A-Z][a-z]+)\b")
_SUBJECT = re.compile(r"([A-Z][a-z]{2,}) \(")
_OCCUPATION = re.compile(r"An? ((?:[a-z]+ ){1,3}?)[a-z]+ing\b")
_ADULTS = re.compile(r"\badult ([a-z]{3,})")
_WITH_AGE = re.compile(r"\d\d[- ]years?[- ]old")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_ONE_PERSON = "Type A"
_PROMPTS = ("first_frame", "video_prompt")


@dataclass(slots=True)
class _Character:
    name: str
    description: str = ""
    spellings: tuple[str, ...] = ()  # by which a shot names it; none: it is in every shot
    more: Members = field(default_factory=dict)


def digest(story: Members) -> str:
    """What tells stories apart: a hash of their content, however it is laid out."""
    return hashlib.sha256(dumps(story).encode("utf-8", "surrogatepass")).hexdigest()


def to_film(story: Members, file_name: str) -> FilmDocument:
    """The film. Raises WrongFile."""
    scenes = [_Scene(item, f"/scenes/{index}") for index, item in enumerate(_list(story, "scenes", ""))]
    shots = [shot for scene in scenes for shot in scene.shots]
    if not shots:
        raise WrongFile("/scenes: has no shot")
    characters = _given(story) if "characters" in story else _found(story, shots)
    assets = [
        FilmAsset(id="film", type="film", name=_title(story, file_name), metadata=_film_metadata(story, file_name))
    ]
    edges: list[FilmEdge] = []
    for scene_number, scene in enumerate(scenes, 1):
        scene_id = f"scene {scene_number}"
        assets.append(FilmAsset(id=scene_id, type="scene", name=scene.name, metadata=metadata_of(scene.metadata)))
        edges.append(FilmEdge(parent="film", child=scene_id, type="contains_scene", sequence=scene_number))
        for place, shot in enumerate(scene.shots, 1):
            shot_id = f"{scene_id} shot {place}"
            assets.append(FilmAsset(id=shot_id, type="shot", name=shot.name, metadata=metadata_of(shot.metadata)))
            edges.append(FilmEdge(parent=scene_id, child=shot_id, type="contains_shot", sequence=place))
            edges += [
                FilmEdge(parent=shot_id, child=f"character {index}", type="uses_character")
                for index, character in enumerate(characters)
                if shot.names(character)
            ]
    for index, character in enumerate(characters):
        about: Members = {"description": character.description} if character.description else {}
        metadata = metadata_of({**about, **character.more})
        assets.append(FilmAsset(id=f"character {index}", type="character_ref", name=character.name, metadata=metadata))
    return FilmDocument(film="film", assets=assets, edges=edges)


class _Shot:
    def __init__(self, value: Json, place: str, number: int) -> None:
        members = object_of(value, place)
        given = members.get("shot_id")
        self.number = given if isinstance(given, str) and given else Number(number)
        self.name = f"Shot {self.number}"
        self.cast = _names(members.get("characters"), f"{place}/characters") if "characters" in members else None
        self.words = "\n".join(_texts(members, place))
        if not self.words.strip():
            raise WrongFile(f"{place}: has no prompt, neither {' nor '.join(_PROMPTS)}")
        prompt: Members = {"prompt": members["video_prompt"]} if "video_prompt" in members else {}
        rest = {name: each for name, each in members.items() if name not in ("shot_id", "video_prompt", "characters")}
        self.metadata: Members = {"shot_number": str(self.number), **prompt, **rest}

    def names(self, character: _Character) -> bool:
        """Whether the character is in this shot."""
        if self.cast is not None:
            return character.name in self.cast
        return not character.spellings or any(
            re.search(rf"\b{re.escape(spelling)}\b", self.words) for spelling in character.spellings
        )


class _Scene:
    def __init__(self, value: Json, place: str) -> None:
        members = object_of(value, place)
        number = place.rpartition("/")[2]
        given = members.get("scene_num")
        self.number = given if isinstance(given, str) and given else Number(int(number) + 1)
        self.name = f"Scene {self.number}"
        shots = _list(members, "shots", place)
        self.shots = [_Shot(shot, f"{place}/shots/{index}", index + 1) for index, shot in enumerate(shots)]
        numbers: set[str] = set()
        for index, shot in enumerate(self.shots):
            if shot.number in numbers:
                raise WrongFile(f"{place}/shots/{index}/shot_id: another shot of the scene is {shot.number}, too")
            numbers.add(shot.number)
        rest = {name: each for name, each in members.items() if name not in ("scene_num", "shots")}
        self.metadata: Members = {"scene_number": self.number, **rest}


def _film_metadata(story: Members, file_name: str) -> str:
    overview: Members = {"synopsis": story["story_overview"]} if "story_overview" in story else {}
    apart = ("story_overview", "scenes", "characters", STORY_DIGEST)
    rest = {name: value for name, value in story.items() if name not in apart}
    return metadata_of({"title": _title(story, file_name), **overview, **rest, STORY_DIGEST: digest(story)})


def _title(story: Members, file_name: str) -> str:
    title, theme = story.get("title"), story.get("metadata")
    if type(title) is str and title:
        return title
    key = theme.get("theme_key") if isinstance(theme, dict) else None
    words = (key if type(key) is str and key else file_name).replace("_", " ").strip()
    return words[:1].upper() + words[1:] or "Film"


def _given(story: Members) -> list[_Character]:
    found: list[_Character] = []
    for index, item in enumerate(_list(story, "characters", "")):
        if isinstance(item, str):
            found.append(_Character(item, spellings=_spellings(item)))
            continue
        members = object_of(item, f"/characters/{index}")
        name = members.get("name")
        if type(name) is not str or not name:
            raise WrongFile(f"/characters/{index}/name: must be a string")
        more = {key: value for key, value in members.items() if key != "name"}
        found.append(_Character(name, spellings=_spellings(name), more=more))
    return found


def _found(story: Members, shots: Sequence[_Shot]) -> list[_Character]:
    """The characters that the words of a story introduce."""
    people: dict[str, _Character] = {}
    for shot in shots[:1]:  # which introduces them; later ones only remind of what they look like
        for match in (*_IN_BRACKETS.finditer(shot.words), *_BY_LABEL.finditer(shot.words)):
            name, words = match["name"], match["words"].strip()
            role = match.groupdict().get("role")
            spellings = (*_spellings(name), *((role, role.capitalize()) if role else ()))
            people.setdefault(name, _Character(name, words, spellings))
    if people:
        return list(people.values())
    return list((_protagonist if story.get("consistency_type") == _ONE_PERSON else _adults)(story, shots))


def _protagonist(story: Members, shots: Sequence[_Shot]) -> Iterator[_Character]:
    words = "\n".join(shot.words for shot in shots)
    theme = story.get("metadata")
    described = theme.get("theme_description") if isinstance(theme, dict) else None
    occupation = _OCCUPATION.match(described) if isinstance(described, str) else None
    named = _NAMED.search(words)
    # The one who stands before every bracket of the story: `Mara (star freckle …)`.
    subjects = {match[1] for match in _SUBJECT.finditer(words)}
    if named:
        name = named["name"]
    elif len(subjects) == 1 and words.count(subject := subjects.pop()) > len(shots) / 2:
        name = subject
    elif occupation:
        name = occupation[1].strip().capitalize()
    else:
        return
    sentences = (sentence for shot in shots[:1] for sentence in _SENTENCE.split(shot.words))
    yield _Character(name, next((each for each in sentences if _WITH_AGE.search(each)), ""))


def _adults(story: Members, shots: Sequence[_Shot]) -> Iterator[_Character]:
    overview = story.get("story_overview")
    texts = [overview if isinstance(overview, str) else "", *(shot.words for shot in shots[:1])]
    told: set[str] = set()
    for sentence in (each for text in texts for each in _SENTENCE.split(text)):
        for word in _ADULTS.findall(sentence):
            one = word.removesuffix("s")
            if one not in told and one not in ("man", "woman", "male", "female"):
                told.add(one)
                spellings = (one, f"{one}s", one.capitalize(), f"{one.capitalize()}s")
                yield _Character(word.capitalize(), sentence, spellings)


def _spellings(name: str) -> tuple[str, ...]:
    """How else a shot may call somebody: by given or family name, by the title before them."""
    words = name.split()
    if len(words) == 1:
        return (name, name.lower())
    if len(words[-1]) == 1:
        return (name,)  # Chef A
    title = (words[0], words[0].lower()) if len(words) > 2 else ()
    return (name, words[-2], words[-1], *title)


def _names(value: Json, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise WrongFile(f"{place}: must be a list of names")
    return [str(item) for item in value]


def _texts(members: Members, place: str) -> Iterator[str]:
    for name in _PROMPTS:
        if name in members:
            yield text_of(members, name, place)


def _list(members: Members, name: str, place: str) -> list[Json]:
    value = members.get(name)
    if not isinstance(value, list):
        raise WrongFile(f"{place}/{name}: must be a list")
    return value
