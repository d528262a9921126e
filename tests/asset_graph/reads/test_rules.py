"""R1: which types may be related is one table, which callers can read, and by which every change is checked."""

import asyncio
from itertools import product

from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES
from services.kernel.faults import Code, Fault
from tests.asset_graph.reads.films import Draft
from tests.asset_graph.reads.serving import Client


async def test_the_rules_that_are_told_are_those_of_the_domain(client: Client) -> None:
    rules = await client.ListRules()
    assert [kind.type for kind in rules.asset_types] == [kind.name for kind in ASSET_TYPES]
    assert [list(kind.aliases) for kind in rules.asset_types if kind.type == "text"] == [["script"]]
    assert {kind.type: [field.name for field in kind.metadata_fields] for kind in rules.asset_types}["shot_take"][0:1]
    for told, rule in zip(rules.relationship_rules, RELATIONSHIP_TYPES, strict=True):
        assert (told.relationship_type, told.ordered, told.acyclic) == (rule.name, rule.ordered, rule.acyclic)
        assert (told.max_parents, told.max_children) == (rule.max_parents or 0, rule.max_children or 0)
        assert told.description


async def test_every_pair_of_types_is_related_or_refused_as_the_rules_say(client: Client) -> None:
    rules = await client.ListRules()
    types = [kind.type for kind in rules.asset_types]
    draft = Draft()
    for kind in types:
        for side in ("parent", "child"):
            draft.asset(f"{side}-{kind}", kind)
    ids = await draft.make(client)
    allowed = {
        (rule.relationship_type, parent, child)
        for rule in rules.relationship_rules
        for parent, child in product(rule.parent_types, rule.child_types)
        if parent == child or not rule.same_type
    }
    tried = list(product([rule.relationship_type for rule in rules.relationship_rules], types, types))
    assert len(tried) == 11 * 9 * 9
    made = set()

    async def relate(relationship: str, parent: str, child: str) -> None:
        try:
            await client.CreateRelationship(
                parent_asset_id=ids[f"parent-{parent}"],
                child_asset_id=ids[f"child-{child}"],
                relationship_type=relationship,
            )
        except Fault as fault:
            if (fault.code, fault.reason) != (Code.INVALID_ARGUMENT, "RELATIONSHIP_TYPE_MISMATCH"):
                raise
        else:
            made.add((relationship, parent, child))

    for start in range(0, len(tried), 8):
        await asyncio.gather(*(relate(*each) for each in tried[start : start + 8]))
    assert made == allowed
