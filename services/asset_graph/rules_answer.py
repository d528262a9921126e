"""The answer of ListRules, which is the same as long as the program is."""

from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb

from services.asset_graph.domain.metadata import FIELDS
from services.asset_graph.domain.rules import ASSET_TYPES, RELATIONSHIP_TYPES


def _rules() -> pb.ListRulesResponse:
    response = pb.ListRulesResponse()
    for kind in ASSET_TYPES:
        message = response.asset_types.add(type=kind.name, aliases=kind.aliases, description=kind.description)
        for field in FIELDS.get(kind.name, ()):
            message.metadata_fields.add(name=field.name, rule=field.rule)
    for rule in RELATIONSHIP_TYPES:
        response.relationship_rules.add(
            relationship_type=rule.name,
            parent_types=rule.parents,
            child_types=rule.children,
            same_type=rule.same_type,
            ordered=rule.ordered,
            acyclic=rule.acyclic,
            max_parents=rule.max_parents or 0,
            max_children=rule.max_children or 0,
            description=rule.description,
        )
    return response


RULES = _rules()
