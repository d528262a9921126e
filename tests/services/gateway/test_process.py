"""The gateway as a process of its own: settings from the environment, both doors, a clean end."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.backends import Backends
from gateway.listener import Listener
from gateway.main import Gateway
from gateway.settings import GatewaySettings
from services.runtime.settings import Environment, SettingsError
from tests.services.gateway import raw_http
from tests.services.gateway.conftest import PROJECT, TOKEN, Backend, new_door, new_settings


async def test_a_process_serves_until_it_is_told_to_stop(backend: Backend, tmp_path: Path) -> None:
    port, token_file = free_port(), tmp_path / "token"
    token_file.write_text(TOKEN)
    gateway = await start(
        SHOTLINE_TOKEN_FILE=str(token_file),
        SHOTLINE_GRPC_ADDRESS="127.0.0.1:0",
        SHOTLINE_HTTP_ADDRESS=f"127.0.0.1:{port}",
        SHOTLINE_SEQUENCE_FILE_ADDRESS=backend.address,
        SHOTLINE_SETTLE="0",
    )
    headers = {"host": f"localhost:{port}", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    body = json.dumps([PROJECT]).encode()
    head = raw_http.head("POST", "/ipc/sequence:get-all", {**headers, "content-length": str(len(body))})
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await raw_http.send(port, head + body)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
    assert (answer.status, len(answer.json["sequences"])) == (200, 2)
    gateway.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(gateway.communicate(), 20)
    assert gateway.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith(b"{")]
    assert [line["method"] for line in lines if "transport" in line] == ["/ipc/sequence:get-all"]
    assert not [line for line in lines if line.get("level") in ("WARNING", "ERROR")]


async def test_a_gateway_that_cannot_listen_keeps_no_port(backend: Backend, tmp_path: Path) -> None:
    settings = new_settings(tmp_path, {})
    taken = replace(settings, server=replace(settings.server, address=backend.address), http_address=_address())
    gateway = Gateway(taken, Backends(sequence_files=backend.memory), new_door(backend.log))
    with pytest.raises(SettingsError, match=backend.address):
        await gateway.start()
    await Listener(taken.http_address).drain()


async def test_a_process_that_is_set_up_wrongly_says_which_variable(tmp_path: Path) -> None:
    gateway = await start(SHOTLINE_TOKEN_FILE=str(tmp_path / "token"), SHOTLINE_ALLOWED_ORIGINS="*")
    _, errors = await gateway.communicate()
    assert gateway.returncode == 2
    assert b"SHOTLINE_ALLOWED_ORIGINS" in errors


def test_settings_have_their_defaults() -> None:
    settings = _read()
    assert (settings.server.address, settings.http_address) == ("127.0.0.1:50050", "127.0.0.1:8080")
    assert settings.addresses == {"shotline.sequence_file.v1": "127.0.0.1:50052"}
    assert (settings.allowed_hosts, settings.allowed_origins) == ((), ())


def test_settings_are_read() -> None:
    settings = _read(
        ALLOWED_HOSTS="Studio.example:8443, [::1]:9",
        ALLOWED_ORIGINS="http://localhost:5173,https://Studio.example",
        SESSION_ADDRESS="dns:///session:50053",
    )
    assert settings.allowed_hosts == ("studio.example:8443", "[::1]:9")
    assert settings.allowed_origins == ("http://localhost:5173", "https://studio.example")
    assert settings.addresses["shotline.session.v1"] == "dns:///session:50053"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "http://studio.example"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "http://studio.example/"),
        ("HTTP_ADDRESS", "8080"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"SHOTLINE_{name}")):
        _read(**{name: value})


def _read(**variables: str) -> GatewaySettings:
    named = {f"SHOTLINE_{name}": value for name, value in {"TOKEN_FILE": "/run/token", **variables}.items()}
    environment = Environment(named)
    settings = GatewaySettings.read(environment)
    environment.refuse_unknown()
    return settings


async def start(**variables: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SHOTLINE_")}
    inherited["PYTHONPATH"] = os.pathsep.join(sys.path)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.main", env={**inherited, **variables}, stderr=asyncio.subprocess.PIPE
    )


def _address() -> str:
    return f"127.0.0.1:{free_port()}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
