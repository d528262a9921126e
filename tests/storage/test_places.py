"""Where the lock and the journal of a file lie: the same for every server, whatever its roots and links."""

import asyncio
import json
from pathlib import Path
from traceback import walk_tb

import pytest

from services.kernel.faults import Fault
from services.sequence_file.domain.library import Library
from services.sequence_file.domain.steps import Edit
from services.sequence_file.storage.files import FileSequences
from services.sequence_file.storage.places import Roots
from tests.storage import projects

EDITS = 100


def project(folder: Path) -> Path:
    (folder / "sequences").mkdir(parents=True)
    shots = [{"id": f"s{i}"} for i in range(2)]
    (folder / "project.json").write_text(json.dumps({"shots": shots}))
    (folder / "sequences" / "sequence_001.json").write_text(json.dumps({"id": "001", "shots": shots[:0]}))
    return folder


@pytest.mark.parametrize("name", ["film", "sequences"])
async def test_servers_with_other_roots_lose_no_edit_of_each_other(tmp_path: Path, name: str) -> None:
    """A project may be called `sequences`: the name of a folder must not decide where its lock lies."""
    folder = project(tmp_path / name)
    servers = [FileSequences([str(root)]) for root in (tmp_path, folder)]

    async def edit(server: int) -> None:
        for number in range(EDITS):
            change = Edit(shot_id=f"s{server}", updates={f"k{number}": "v"})
            library = Library(servers[server])
            await library.update_project_shot(str(folder), change, projects.caller())

    await asyncio.gather(edit(0), edit(1))
    for server in servers:
        server.close()
    shots = json.loads((folder / "project.json").read_text())["shots"]
    assert [len(shot) for shot in shots] == [EDITS + 1, EDITS + 1]
    assert not (tmp_path / ".shotline").exists()


def test_a_file_has_one_owner_by_whatever_link_it_is_reached(tmp_path: Path) -> None:
    film, sequel = project(tmp_path / "film"), tmp_path / "sequel"
    sequel.mkdir()
    (sequel / "sequences").symlink_to(film / "sequences")
    roots = Roots([str(tmp_path)])
    file = "sequences/sequence_001.json"
    direct, linked = (roots.entry(roots.project(str(folder)), file) for folder in (film, sequel))
    assert (direct.root, direct.owner, direct.key) == (linked.root, linked.owner, linked.key)


def test_a_link_into_a_project_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    """Its lock would lie in a folder that this server may not touch."""
    film, sequel = project(tmp_path / "film"), tmp_path / "sequel"
    sequel.mkdir()
    (sequel / "sequences").symlink_to(film / "sequences")
    roots = Roots([str(sequel), str(film / "sequences")])
    with pytest.raises(Fault, match="outside of the allowed folders"):
        roots.entry(roots.project(str(sequel)), "sequences/sequence_001.json")


async def test_a_broken_file_that_is_read_again_and_again_costs_no_memory(tmp_path: Path) -> None:
    """A fault that is kept and raised again would keep all who ever asked in its traceback."""
    folder = project(tmp_path / "film")
    (folder / "sequences" / "sequence_001.json").write_text('{"shots": [')
    files = FileSequences([str(tmp_path)])
    depths = []
    for _ in range(30):
        (broken,) = (await files.project(str(folder))).unreachable
        with pytest.raises(Fault) as caught:
            await Library(files).sequence(str(folder), "001")
        depths.append((len(list(walk_tb(broken.fault.__traceback__))), len(caught.traceback)))
    files.close()
    assert depths[-1] == depths[1]
