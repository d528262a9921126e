"""What a local start consists of: its parts, and the environment that tells each of them what to do.

The same variables make the parts in one process and in processes of their own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.local.data_folder import DataFolder
from services.local.ports import Ports, address

GATEWAY, SEQUENCE_FILE = "gateway", "sequence_file"
# Part to the module whose `main` it is; in the order in which they drain, callers before callees.
MAINS: Mapping[str, str] = {GATEWAY: "gateway.main", SEQUENCE_FILE: "services.sequence_file.main"}
GRACE = 5.0  # seconds that calls in flight may take when the start ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One local start."""

    roots: tuple[Path, ...]  # absolute
    data: DataFolder
    ports: Ports
    origins: tuple[str, ...]  # pages that may call the HTTP door

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

    def environment(self, part: str) -> dict[str, str]:
        """The SHOTLINE_* variables of a part."""
        variables = {
            "SHOTLINE_TOKEN_FILE": str(self.data.token_file),
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
            }
        return variables | {
            "SHOTLINE_GRPC_ADDRESS": self.sequence_file,
            "SHOTLINE_ROOTS": os.pathsep.join(map(str, self.roots)),
        }
