"""What a local start consists of: its parts, and the environment that tells each of them what to do.

The same variables make the parts in one process and in processes of their own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.local.data_folder import DataFolder, token_key_file
from services.local.database import Database
from services.local.ports import Ports, address

GATEWAY, SEQUENCE_FILE, ASSET_GRAPH = "gateway", "sequence_file", "asset_graph"
POSTGRES = "postgres"  # always a process of its own, where the start brings the database
# Part to the module whose `main` it is; in the order in which they drain, callers before callees.
MAINS: Mapping[str, str] = {
    GATEWAY: "gateway.main",
    SEQUENCE_FILE: "services.sequence_file.main",
    ASSET_GRAPH: "services.asset_graph.main",
    POSTGRES: "services.local.postgres",
}
GRACE = 5.0  # seconds that calls in flight may take when the start ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One local start."""

    roots: tuple[Path, ...]  # absolute
    data: DataFolder
    ports: Ports
    origins: tuple[str, ...]  # pages that may call the HTTP door
    database: Database

    @property
    def grpc(self) -> str:
        """host:port of the gateway."""
        return address(self.ports.grpc)

    @property
    def http(self) -> str:
        """Base URL of the gateway."""
        return f"http://{address(self.ports.http)}"

    @property
    def sequence_file(self) -> str:
        """host:port of the sequence-file service."""
        return address(self.ports.sequence_file)

    @property
    def asset_graph(self) -> str:
        """host:port of the asset-graph service."""
        return address(self.ports.asset_graph)

    def environment(self, part: str) -> dict[str, str]:
        """The SHOTLINE_* variables of a part."""
        if part == POSTGRES:
            assert self.database.server
            return self.database.server.variables()
        variables = {
            "SHOTLINE_TOKEN_FILE": str(self.data.token_file),
            "SHOTLINE_TOKEN_KEY_FILE": str(token_key_file(self.data.path)),
            # Nobody balances load over a local start, so nobody has to notice that it drains.
            "SHOTLINE_SETTLE": "0",
            "SHOTLINE_GRACE": str(GRACE),
        }
        if part == GATEWAY:
            return variables | {
                "SHOTLINE_GRPC_ADDRESS": self.grpc,
                "SHOTLINE_HTTP_ADDRESS": address(self.ports.http),
                "SHOTLINE_ALLOWED_ORIGINS": ",".join(self.origins),
                "SHOTLINE_SEQUENCE_FILE_ADDRESS": self.sequence_file,
                "SHOTLINE_ASSET_GRAPH_ADDRESS": self.asset_graph,
            }
        if part == ASSET_GRAPH:
            return variables | {
                "SHOTLINE_GRPC_ADDRESS": self.asset_graph,
                "SHOTLINE_DATABASE_URL": self.database.app_url,
            }
        return variables | {
            "SHOTLINE_GRPC_ADDRESS": self.sequence_file,
            "SHOTLINE_ROOTS": os.pathsep.join(map(str, self.roots)),
        }
