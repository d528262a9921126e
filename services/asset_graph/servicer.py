"""The contract's methods: those that read and those that change, as one servicer.

Methods raise faults and take their deadline from `runtime.call`, so the servicer serves a gRPC server and, in one
process, the gateway itself, which calls it without a context.
"""

from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as pb_grpc

from services.asset_graph.domain.ports import Changes
from services.asset_graph.domain.reading import Reads, Watches
from services.asset_graph.methods_change import ChangeMethods
from services.asset_graph.methods_read import ReadMethods


class AssetGraphServicer(ReadMethods, ChangeMethods, pb_grpc.AssetGraphServiceServicer):
    """Serves `shotline.asset_graph.v1.AssetGraphService`."""

    def __init__(self, reads: Reads, watches: Watches, changes: Changes) -> None:
        ReadMethods.__init__(self, reads, watches)
        ChangeMethods.__init__(self, changes)
