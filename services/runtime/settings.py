"""Reading the environment: typed values, and errors that name the variable and its rule.

Each process reads its environment once, in its main, into a frozen dataclass:

    environment = Environment(os.environ)
    server = ServerSettings.read(environment, default_address="127.0.0.1:50052")
    environment.refuse_unknown()
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "SHOTLINE_"

# An operator's shell may hold what commands and tests read.
_OF_OTHERS = re.compile(r"SHOTLINE_(ADDRESS|TOKEN|DATA|(APP_)?DATABASE_URL|POSTGRES_(HOME|BINARIES)|TEST_\w+)")
# Kubernetes adds these for a Service whose name begins with `shotline-`.
_OF_KUBERNETES = re.compile(r"SHOTLINE_\w+?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
_PORT = re.compile(r"[0-9]{1,5}")


class SettingsError(Exception):
    """A process that is set up wrongly; the message is for the operator."""


class Environment:
    """The SHOTLINE_* variables of one process. Names are given without the prefix."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
        self._known: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str:
        """The value, or `default`; without one the variable must be set. Empty counts as not set."""
        self._known.add(PREFIX + name)
        if value := self._variables.get(PREFIX + name, ""):
            return value
        if default is None:
            raise _broken(name, "must be set")
        return default

    def integer(self, name: str, default: int, *, least: int = 0, most: int = 1_000_000) -> int:
        """A whole number between `least` and `most`."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit() and least <= int(text[:10]) <= most):
            raise _broken(name, f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    def seconds(self, name: str, default: float, *, least: float = 0.0, most: float = 86_400.0) -> float:
        """A duration in seconds between `least` and `most`."""
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise _broken(name, f"must be seconds from {least:g} to {most:g}, not {text!r}")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`."""
        if (text := self.text(name, default)) not in choices:
            raise _broken(name, f"must be one of {', '.join(choices)}, not {text!r}")
        return text

    def listed(self, name: str, default: tuple[str, ...] = (), *, separator: str = ",") -> tuple[str, ...]:
        """The parts of a list, stripped, empty ones left out."""
        text = self.text(name, separator.join(default))
        return tuple(part for piece in text.split(separator) if (part := piece.strip()))

    def path(self, name: str, default: Path | None = None) -> Path:
        """An absolute path. Whether it exists is for its reader to find out."""
        path = Path(self.text(name, None if default is None else str(default)))
        if not path.is_absolute():
            raise _broken(name, f"must be an absolute path, not {str(path)!r}")
        return path

    def paths(self, name: str, default: tuple[Path, ...] = ()) -> tuple[Path, ...]:
        """Absolute paths, separated as in PATH."""
        paths = tuple(map(Path, self.listed(name, tuple(map(str, default)), separator=os.pathsep)))
        for path in paths:
            if not path.is_absolute():
                raise _broken(name, f"must hold absolute paths, not {str(path)!r}")
        return paths

    def address(self, name: str, default: str) -> str:
        """`host:port`; an IPv6 host stands in brackets, port 0 picks a free one."""
        text = self.text(name, default)
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not host or (":" in host and not bracketed) or not _PORT.fullmatch(port) or int(port) > 65_535:
            raise _broken(name, f"must be host:port, not {text!r}")
        return text

    def refuse_unknown(self) -> None:
        """Raise for variables that nobody asked for: a misspelt name must not be ignored in silence."""
        unknown = sorted(
            name
            for name in self._variables.keys() - self._known
            if not _OF_OTHERS.fullmatch(name) and not _OF_KUBERNETES.fullmatch(name)
        )
        if unknown:
            raise SettingsError(f"{', '.join(unknown)}: not known here; known: {', '.join(sorted(self._known))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process takes on at a time."""

    calls: int = 256  # at once, watches and health checks not counted
    watches: int = 1024  # at once
    default_timeout: float = 30.0  # seconds a call may take when its caller states no deadline
    longest_timeout: float = 300.0  # seconds; a later deadline of a caller is brought forward to this
    slow_watch: float = 30.0  # seconds in which one message of a watch must have gone out, else it is cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What every process that serves has in common."""

    address: str  # host:port of the gRPC server
    token_file: Path  # file that holds a token, which may do everything
    token_key_file: Path | None = None  # file that holds the key of signed tokens; None: none is accepted
    limits: Limits = Limits()
    settle: float = 1.0  # seconds between NOT_SERVING and the end of watches, for clients to notice
    grace: float = 10.0  # seconds that calls in flight may take to finish when the process stops
    log_level: str = "INFO"
    log_file: Path | None = None  # JSON lines go there; None: standard error

    @classmethod
    def read(cls, environment: Environment, *, default_address: str) -> "ServerSettings":
        """From the environment. SettingsError names the variable and its rule."""
        limits = Limits()
        return cls(
            address=environment.address("GRPC_ADDRESS", default_address),
            token_file=environment.path("TOKEN_FILE"),
            token_key_file=_optional_path(environment, "TOKEN_KEY_FILE"),
            limits=Limits(
                calls=environment.integer("MAX_CALLS", limits.calls, least=1),
                watches=environment.integer("MAX_WATCHES", limits.watches),
                default_timeout=environment.seconds("DEFAULT_TIMEOUT", limits.default_timeout, least=0.1),
                longest_timeout=environment.seconds("LONGEST_TIMEOUT", limits.longest_timeout, least=0.1),
                slow_watch=environment.seconds("SLOW_WATCH", limits.slow_watch, least=0.1),
            ),
            settle=environment.seconds("SETTLE", 1.0, most=60.0),
            grace=environment.seconds("GRACE", 10.0, most=600.0),
            log_level=environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
            log_file=_optional_path(environment, "LOG_FILE"),
        )


def _optional_path(environment: Environment, name: str) -> Path | None:
    return environment.path(name) if environment.text(name, "") else None


def _broken(name: str, rule: str) -> SettingsError:
    return SettingsError(f"{PREFIX}{name}: {rule}")
