"""What the sequence-file process reads from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.runtime.settings import Environment, ServerSettings

DEFAULT_ADDRESS = "127.0.0.1:50052"
DEFAULT_CACHE_MIB = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one sequence-file process."""

    server: ServerSettings
    roots: tuple[Path, ...]  # project folders may lie below these
    cache_mib: int  # parsed documents are kept up to this size

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> "Settings":
        """From the environment. SettingsError names the variable and its rule."""
        environment = Environment(variables)
        settings = cls(
            server=ServerSettings.read(environment, default_address=DEFAULT_ADDRESS),
            roots=environment.paths("ROOTS"),
            cache_mib=environment.integer("CACHE_MIB", DEFAULT_CACHE_MIB, least=1, most=1 << 20),
        )
        environment.text("ROOTS")  # without a root nothing could be opened: say so now
        environment.refuse_unknown()
        return settings
