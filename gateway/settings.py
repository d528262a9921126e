"""Settings of the gateway's process, read from its environment once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.runtime.settings import Environment, ServerSettings, SettingsError

_HOST = re.compile(r"[a-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://[^\s/,*]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What the gateway needs to know."""

    server: ServerSettings
    http_address: str  # host:port of the HTTP door
    allowed_hosts: tuple[str, ...] = ()  # values of Host besides the loopback names, exactly, in lower case
    allowed_origins: tuple[str, ...] = ()  # pages of other sites that may call, exactly as in Origin
    addresses: Mapping[str, str]  # package to the gRPC address of its service

    @classmethod
    def read(cls, environment: Environment) -> "GatewaySettings":
        """From the environment. SettingsError names the variable and its rule."""
        hosts = tuple(map(str.lower, environment.listed("ALLOWED_HOSTS")))
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise SettingsError(f"SHOTLINE_ALLOWED_HOSTS: {host!r} is no host or host:port")
        return cls(
            server=ServerSettings.read(environment, default_address="127.0.0.1:50050"),
            http_address=environment.address("HTTP_ADDRESS", "127.0.0.1:8080"),
            allowed_hosts=hosts,
            allowed_origins=tuple(map(origin, environment.listed("ALLOWED_ORIGINS"))),
            addresses=_addresses(environment),
        )


def origin(text: str) -> str:
    """The origin of pages that may call. SettingsError for what browsers do not send: `*`, `null`, a path."""
    if not _ORIGIN.fullmatch(folded := text.lower()):
        raise SettingsError(f"SHOTLINE_ALLOWED_ORIGINS: {text!r} is no origin such as http://localhost:5173")
    return folded


def _addresses(environment: Environment) -> dict[str, str]:
    addresses = {"shotline.sequence_file.v1": environment.text("SEQUENCE_FILE_ADDRESS", "127.0.0.1:50052")}
    # Services that need not be there; where they are not, their methods are UNIMPLEMENTED.
    for context in ("asset_graph", "session"):
        if address := environment.text(f"{context.upper()}_ADDRESS", ""):
            addresses[f"shotline.{context}.v1"] = address
    return addresses
