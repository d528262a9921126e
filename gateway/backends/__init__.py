"""The services behind the gateway, as the gateway sees them: one interface each, two ways to fill it.

In the one-machine start the servicer itself fills it, without a hop. In a cluster a channel does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.backends.asset_graph import AssetGraph, RemoteAssetGraph
from gateway.backends.sequence_files import RemoteSequenceFiles, SequenceFiles

__all__ = ["AssetGraph", "Backends", "RemoteAssetGraph", "RemoteSequenceFiles", "SequenceFiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """What the gateway composes and forwards to."""

    sequence_files: SequenceFiles
    asset_graph: AssetGraph | None = None  # None where none runs: its calls are UNIMPLEMENTED
    # Package, e.g. "shotline.sequence_file.v1", to the gRPC address that its methods are forwarded to.
    addresses: Mapping[str, str] = field(default_factory=dict)
