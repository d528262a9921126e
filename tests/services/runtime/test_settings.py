"""Errors of the environment name the variable and its rule."""

from pathlib import Path

import pytest

from services.runtime.settings import Environment, Limits, ServerSettings, SettingsError

GOOD = {"SHOTLINE_TOKEN_FILE": "/run/token"}


def read(**variables: str) -> ServerSettings:
    environment = Environment(GOOD | {f"SHOTLINE_{name}": value for name, value in variables.items()})
    settings = ServerSettings.read(environment, default_address="127.0.0.1:50052")
    environment.refuse_unknown()
    return settings


def test_defaults_need_nothing_but_a_token_file() -> None:
    assert read() == ServerSettings(address="127.0.0.1:50052", token_file=Path("/run/token"))


def test_each_variable_is_read() -> None:
    settings = read(
        GRPC_ADDRESS="[::]:0",
        MAX_CALLS="7",
        MAX_WATCHES="8",
        DEFAULT_TIMEOUT="9",
        LONGEST_TIMEOUT="10.5",
        SLOW_WATCH="11",
        SETTLE="0",
        GRACE="12",
        LOG_LEVEL="DEBUG",
        LOG_FILE="/var/log/shotline.jsonl",
    )
    assert settings == ServerSettings(
        address="[::]:0",
        token_file=Path("/run/token"),
        limits=Limits(calls=7, watches=8, default_timeout=9, longest_timeout=10.5, slow_watch=11),
        settle=0,
        grace=12,
        log_level="DEBUG",
        log_file=Path("/var/log/shotline.jsonl"),
    )


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("GRPC_ADDRESS", "localhost", "host:port"),
        ("GRPC_ADDRESS", ":50052", "host:port"),
        ("GRPC_ADDRESS", "::1:50052", "host:port"),
        ("GRPC_ADDRESS", "localhost:65536", "host:port"),
        ("GRPC_ADDRESS", "localhost:²", "host:port"),
        ("MAX_CALLS", "0", "a whole number from 1 to"),
        ("MAX_CALLS", "-1", "a whole number"),
        ("MAX_CALLS", "٣", "a whole number"),
        ("MAX_CALLS", "1" * 5_000, "a whole number"),
        ("MAX_WATCHES", "many", "a whole number"),
        ("DEFAULT_TIMEOUT", "0", "seconds from 0.1 to"),
        ("LONGEST_TIMEOUT", "nan", "seconds from"),
        ("SETTLE", "61", "seconds from 0 to 60"),
        ("GRACE", "soon", "seconds from"),
        ("LOG_LEVEL", "debug", "one of DEBUG, INFO, WARNING, ERROR"),
        ("LOG_FILE", "shotline.jsonl", "an absolute path"),
        ("TOKEN_FILE", "token", "an absolute path"),
        ("TOKEN_FILE", "", "must be set"),
    ],
)
def test_a_broken_value_is_refused_with_its_name_and_rule(name: str, value: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rf"^SHOTLINE_{name}: .*{rule}"):
        read(**{name: value})


def test_an_unknown_variable_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"SHOTLINE_GRCE: not known here; known: .*SHOTLINE_GRACE"):
        read(GRCE="5")


def test_variables_of_clients_tests_and_kubernetes_are_left_alone() -> None:
    read(
        ADDRESS="studio:50050",
        TOKEN="secret",
        TEST_DATA="/data",
        GATEWAY_SERVICE_HOST="10.0.0.1",
        GATEWAY_SERVICE_PORT="50050",
        GATEWAY_SERVICE_PORT_GRPC="50050",
        GATEWAY_PORT="tcp://10.0.0.1:50050",
        GATEWAY_PORT_50050_TCP="tcp://10.0.0.1:50050",
        GATEWAY_PORT_50050_TCP_ADDR="10.0.0.1",
    )


def test_lists_and_paths_are_split() -> None:
    environment = Environment({"SHOTLINE_ROOTS": "/a:/b: ", "SHOTLINE_HOSTS": "a, b,,c"})
    assert environment.paths("ROOTS") == (Path("/a"), Path("/b"))
    assert environment.listed("HOSTS") == ("a", "b", "c")
    assert environment.listed("NONE", ("x",)) == ("x",)
    with pytest.raises(SettingsError, match=r"SHOTLINE_ROOTS: must hold absolute paths, not 'b'"):
        Environment({"SHOTLINE_ROOTS": "/a:b"}).paths("ROOTS")
