"""The ports of a local start: the usual ones, or free ones."""

import random
import socket
from dataclasses import dataclass

HOST = "127.0.0.1"
# Below those from which systems give ports to outgoing connections (from 32768 on Linux), so that nobody is given
# one of ours while its process is started again.
_FIRST, _LAST = 20_000, 32_000


class PortBusy(Exception):
    """Something else listens there; the message names the port and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the parts of a local start listen, all on the loopback address."""

    grpc: int = 50050  # the gateway
    http: int = 8080  # the gateway
    sequence_file: int = 50052

    def named(self) -> list[tuple[str, int]]:
        """What people call each port."""
        return [
            ("gateway (gRPC)", self.grpc),
            ("gateway (HTTP)", self.http),
            ("sequence files (gRPC)", self.sequence_file),
        ]


def free_ports() -> Ports:
    """Three ports on which nobody listens now."""
    candidates = random.SystemRandom().sample(range(_FIRST, _LAST), 200)
    found = [port for port in candidates if is_free(port)][:3]
    if len(found) < 3:
        raise PortBusy(f"no three free ports between {_FIRST} and {_LAST}")
    return Ports(grpc=found[0], http=found[1], sequence_file=found[2])


def refuse_busy(ports: Ports) -> None:
    """Raise PortBusy where somebody listens already."""
    busy = [f"{port} of the {name}" for name, port in ports.named() if not is_free(port)]
    if busy:
        noun = "port" if len(busy) == 1 else "ports"
        raise PortBusy(
            f"{noun} {', '.join(busy)} in use by another program; end it, or start with `--ports auto`, "
            "which takes free ones"
        )


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def address(port: int) -> str:
    """host:port."""
    return f"{HOST}:{port}"
