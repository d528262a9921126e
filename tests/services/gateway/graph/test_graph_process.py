"""The gateway as a process of its own, with the asset graph at an address."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.services.gateway import raw_http
from tests.services.gateway.conftest import TOKEN, Rig
from tests.services.gateway.graph.conftest import Film
from tests.services.gateway.raw_http import Answer
from tests.services.gateway.test_process import free_port, start


@pytest.mark.parametrize("wiring", ["in process"])
async def test_a_process_reaches_the_asset_graph_at_its_address(
    rig: Rig, film: Film, more_addresses: dict[str, str], tmp_path: Path
) -> None:
    token_file, port = tmp_path / "gateway-token", free_port()
    token_file.write_text(TOKEN)
    (address,) = more_addresses.values()
    gateway = await start(
        SHOTLINE_TOKEN_FILE=str(token_file),
        SHOTLINE_GRPC_ADDRESS="127.0.0.1:0",
        SHOTLINE_HTTP_ADDRESS=f"127.0.0.1:{port}",
        SHOTLINE_SEQUENCE_FILE_ADDRESS=rig.backend.address,
        SHOTLINE_ASSET_GRAPH_ADDRESS=address,
        SHOTLINE_SETTLE="0",
    )

    async def ask(channel: str, arguments: object) -> Answer:
        body = json.dumps(arguments).encode()
        headers = {"host": f"localhost:{port}", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        length = {"content-length": str(len(body))}
        return await raw_http.send(port, raw_http.head("POST", f"/ipc/{channel}", headers | length) + body)

    async with asyncio.timeout(20):
        while True:
            try:
                whole = await ask("film:get", [film["Harbour"]])
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
    assert (whole.status, whole.json["shotCount"]) == (200, 3)
    chosen = await ask("take:select", [film["Shot 1"], film["Take 2"]])
    assert chosen.json["structure"]["selected_take_id"] == film["Take 2"]
    gateway.terminate()
    await asyncio.wait_for(gateway.communicate(), 20)
    assert gateway.returncode == 0
