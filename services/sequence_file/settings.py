"""What the sequence-file process reads from its environment."""

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
    cache_mib: int  # documents are kept up to this size of their files; parsed they take two to three times that

    @classmethod
    def read(cls, environment: Environment) -> "Settings":
        """From the environment. SettingsError names the variable and its rule."""
        environment.text("ROOTS")  # required: without a root nothing could be opened
        return cls(
            server=ServerSettings.read(environment, default_address=DEFAULT_ADDRESS),
            roots=environment.paths("ROOTS"),
            cache_mib=environment.integer("CACHE_MIB", DEFAULT_CACHE_MIB, least=1, most=1 << 20),
        )
