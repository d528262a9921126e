"""The one table of asset types and relationship types: what may stand under what.

A new type or relationship is a row here. `shotline migrate` brings the tables, checks and indexes of the database in
line with it, and an RPC shows it to callers. The types and their meaning are those of seed 004 (asset types,
relationship patterns) and seed 002 (`uses_script`); `contains_scene` is what its "Film Project → Scenes" needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetType:
    """A kind of asset, by the name under which it is stored."""

    name: str
    description: str
    aliases: tuple[str, ...] = ()  # other names that callers may use


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationshipType:
    """A kind of relationship: which parents and children it may join, and how many."""

    name: str
    parents: tuple[str, ...]
    children: tuple[str, ...]
    description: str
    same_type: bool = False  # parent and child have one type
    ordered: bool = False  # the service numbers the children of a parent, from 1
    family: str | None = None  # no cycle may exist among the relationships of one family
    max_parents: Literal[1] | None = None  # how many parents a child may have; None is any number
    max_children: Literal[1] | None = None  # how many children a parent may have; None is any number

    @property
    def acyclic(self) -> bool:
        """Whether following it must end."""
        return self.family is not None

    def allows(self, parent_type: str, child_type: str) -> bool:
        """Whether it may join assets of these stored types."""
        joined = parent_type in self.parents and child_type in self.children
        return joined and (parent_type == child_type or not self.same_type)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every parent and child type that it may join."""
        for parent in self.parents:
            for child in self.children:
                if self.allows(parent, child):
                    yield parent, child


ASSET_TYPES = (
    AssetType(name="film", description="A whole production."),
    AssetType(name="scene", description="Shots that belong together."),
    AssetType(name="shot", description="A creative intent: text, camera, target duration."),
    AssetType(name="shot_take", description="One attempt to generate a shot."),
    AssetType(name="video", description="A video file."),
    AssetType(name="audio", description="Dialogue, music or effects."),
    AssetType(name="image", description="A still image."),
    AssetType(name="character_ref", description="A character's definition."),
    AssetType(name="text", description="A script, directions or notes.", aliases=("script",)),
)

_ANY = tuple(kind.name for kind in ASSET_TYPES)

RELATIONSHIP_TYPES = (
    RelationshipType(
        name="contains_scene",
        parents=("film", "scene"),
        children=("scene",),
        description="The scene belongs to the film, or is part of a scene.",
        ordered=True,
        family="containment",
    ),
    RelationshipType(
        name="contains_shot",
        parents=("film", "scene"),
        children=("shot",),
        description="The shot belongs to the film or scene.",
        ordered=True,
        family="containment",
    ),
    RelationshipType(
        name="uses_character",
        parents=("shot",),
        children=("character_ref",),
        description="The character is in the shot.",
    ),
    RelationshipType(
        name="uses_audio",
        parents=("shot",),
        children=("audio",),
        description="The shot is heard with the audio; the lowest number is the bottom layer.",
        ordered=True,
    ),
    RelationshipType(
        name="uses_script", parents=("shot",), children=("text",), description="The shot follows the text."
    ),
    RelationshipType(name="uses_asset", parents=("shot",), children=_ANY, description="The shot uses the asset."),
    RelationshipType(
        name="generation_attempt",
        parents=("shot",),
        children=("shot_take",),
        description="The take is an attempt at the shot; its number is the attempt's number.",
        ordered=True,
        max_parents=1,
    ),
    RelationshipType(
        name="generated_video",
        parents=("shot_take",),
        children=("video",),
        description="The take produced the video.",
        max_parents=1,
        max_children=1,
    ),
    RelationshipType(
        name="final_edit", parents=("film",), children=("video",), description="The video is an assembly of the film."
    ),
    RelationshipType(
        name="derived_from",
        parents=("video",),
        children=("video",),
        description="The parent was made from the child.",
        family="derivation",
    ),
    RelationshipType(
        name="variant_of",
        parents=_ANY,
        children=_ANY,
        description="The parent is another version of the child.",
        same_type=True,
        family="variants",
    ),
)

_STORED = {name: kind.name for kind in ASSET_TYPES for name in (kind.name, *kind.aliases)}
_RELATIONSHIPS = {kind.name: kind for kind in RELATIONSHIP_TYPES}


def stored_type(alias: str) -> str | None:
    """The name under which a type is stored, by that name or an alias (`script` is `text`); None when unknown."""
    return _STORED.get(alias)


def relationship_type(name: str) -> RelationshipType | None:
    """The relationship type of a name; None when there is none."""
    return _RELATIONSHIPS.get(name)
