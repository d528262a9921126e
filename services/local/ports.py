"""The ports of a local start: the usual ones, or free ones."""

import random
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import islice

HOST = "127.0.0.1"
# Below those from which systems give ports to outgoing connections (from 32768 on Linux), so that nobody is given
# one of ours while its process is started again.
_FIRST, _LAST = 20_000, 32_000


class PortBusy(Exception):
    """Something else listens there; the message names the port and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the parts of a local start listen, all on the loopback address; 0 until a free one is picked."""

    grpc: int = 50050  # the gateway
    http: int = 8080  # the gateway
    asset_graph: int = 50051
    sequence_file: int = 50052

    def named(self) -> list[tuple[str, int]]:
        """What people call each port."""
        return [
            ("gateway (gRPC)", self.grpc),
            ("gateway (HTTP)", self.http),
            ("asset graph (gRPC)", self.asset_graph),
            ("sequence files (gRPC)", self.sequence_file),
        ]


_NAMES = tuple(field.name for field in fields(Ports))


def wanted(text: str) -> Ports:
    """What `--ports` asks for: `default`, `auto`, or some by name such as `http=8180,grpc=0`, 0 being a free one.
    ValueError says what is wrong with it."""
    ports = Ports(**{} if text == "default" else dict.fromkeys(_NAMES, 0) if text == "auto" else _named(text))
    takers: dict[int, str] = {}
    for name, port in ports.named():
        if port and takers.setdefault(port, name) != name:
            raise ValueError(f"{port} cannot be both of the {takers[port]} and of the {name}")
    return ports


def chosen(text: str) -> Ports:
    """What `--ports` asks for, with free ports picked. ValueError as `wanted`; PortBusy where no port is free."""
    named = asdict(wanted(text))
    free = _free_ports(list(named.values()).count(0))
    return Ports(**{name: port or next(free) for name, port in named.items()})


def _named(text: str) -> dict[str, int]:
    named: dict[str, int] = {}
    for each in text.split(","):
        name, _, number = each.partition("=")
        if name not in _NAMES or name in named:
            raise ValueError(f"{each!r}: write default, auto, or NAME=NUMBER once for some of {', '.join(_NAMES)}")
        if not re.fullmatch("[0-9]{1,5}", number) or int(number) > 65_535:
            raise ValueError(f"{each!r}: a port is a number from 0 to 65535")
        named[name] = int(number)
    return named


def _free_ports(count: int) -> Iterator[int]:
    """So many ports on which nobody listens now."""
    candidates = random.SystemRandom().sample(range(_FIRST, _LAST), 200)
    found = list(islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise PortBusy(f"no {count} free ports between {_FIRST} and {_LAST}")
    return iter(found)


def refuse_busy(ports: Ports) -> None:
    """Raise PortBusy where somebody listens already."""
    busy = [f"{port} of the {name}" for name, port in ports.named() if not is_free(port)]
    if busy:
        noun = "port" if len(busy) == 1 else "ports"
        raise PortBusy(
            f"{noun} {', '.join(busy)} in use by another program; end it, or start with `--ports auto`, "
            "which takes free ones, or with others such as `--ports http=8180`"
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
