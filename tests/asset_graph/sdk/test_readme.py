"""The Python examples of the README, run as they stand, one after another."""

from pathlib import Path
from typing import Any

import pytest
from shotline.client import AssetService

from tests.asset_graph.sdk.documents import blocks, run
from tests.asset_graph.sdk.graphs import TOKEN

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
SAID = """\
1 True 0.50 https://cdn.example.com/1.mp4
0.50
The pier ['Ida']
3
"""


async def test_the_examples_of_the_readme(
    gateway: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOTLINE_ADDRESS", gateway)
    monkeypatch.setenv("SHOTLINE_TOKEN", TOKEN)
    found = [code for heading, code in blocks(README) if heading == "Python"]
    assert len(found) == 4
    names: dict[str, Any] = {}
    for code in found:
        await run(code.replace("/home/me/films/harbour-lights", str(project)), names)
    *lines, change = capsys.readouterr().out.splitlines(keepends=True)
    assert "".join(lines) == SAID
    assert "('created', 'Morning'), ('created', 'Shot 1')" in change
    async with AssetService() as graph:
        film = await graph.get_film_structure(names["film"])
        assert [each["name"] for each in film["scenes"]] == ["Morning"]
        assert (await graph.get_asset(names["shot"]))["metadata"]["prompt"] == "a pier at noon"
    assert "A quiet harbour" in (project / "sequences" / "sequence_001.json").read_text()
