"""What the asset-graph process reads from its environment."""

import re
from dataclasses import dataclass, field

from services.runtime.settings import Environment, ServerSettings, SettingsError

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_CONNECTIONS = 8

_URL = re.compile(r"postgres(ql)?://\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one asset-graph process."""

    server: ServerSettings
    database_url: str = field(repr=False)  # of the role shotline_app; it holds a password
    connections: int  # to PostgreSQL at most, besides the one that listens

    @classmethod
    def read(cls, environment: Environment) -> "Settings":
        """From the environment. SettingsError names the variable and its rule."""
        url = environment.text("DATABASE_URL")
        if not _URL.fullmatch(url):
            raise SettingsError(
                "SHOTLINE_DATABASE_URL: must be postgresql://… without spaces"
            )  # not repeated: a secret
        return cls(
            server=ServerSettings.read(environment, default_address=DEFAULT_ADDRESS),
            database_url=url,
            connections=environment.integer("DATABASE_CONNECTIONS", DEFAULT_CONNECTIONS, least=1, most=1_000),
        )
