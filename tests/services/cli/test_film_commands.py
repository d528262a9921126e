"""`shotline film`: import, show, cost, select, export, and import again as an equal film."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2 as graph
from shotline.asset_graph.v1 import asset_graph_service_pb2_grpc as graph_grpc

from gateway.cli import film_reading, film_writing, render_film
from gateway.cli import graph as cli_graph
from gateway.cli.graph import Graph
from services.asset_graph.domain.rules import RELATIONSHIP_TYPES
from tests.e2e.conftest import Shotline
from tests.services.cli.conftest import Cli
from tests.services.cli.test_stories import MARKET
from tests.services.cli.test_watch_command import Watch

Ask = Callable[..., Any]


def asset(name: str, kind: str, **more: object) -> dict[str, object]:
    empty = {"url": None, "duration": None, "generation_cost": None, "metadata": {}}
    return {"id": name, "type": kind, "name": name, **empty, **more}


def edge(parent: str, child: str, kind: str, sequence: int | None = None, **metadata: object) -> dict[str, object]:
    return {"parent": parent, "child": child, "type": kind, "sequence": sequence, "metadata": metadata}


def take(shot: str, number: int, cost: str, **more: object) -> list[dict[str, object]]:
    """A take, its video and their edges."""
    params = {"provider": "minimax", "model": "video-01"}
    facts = {"attempt_number": number, "generation_params": params, **more}
    name = f"{shot} take {number}"
    return [
        asset(name, "shot_take", generation_cost=cost, metadata=facts),
        asset(f"{name} video", "video", url=f"https://cdn.example/{number}.mp4", duration=5.25, metadata={"fps": 24}),
        edge(shot, name, "generation_attempt", number),
        edge(name, f"{name} video", "generated_video"),
    ]


def pier() -> dict[str, Any]:
    """The export of a film in which there is one of everything."""
    parts = [
        asset("Pier", "film", metadata={"title": "Pier", "n": 1}),
        asset("Scene", "scene"),
        asset("Inner scene", "scene"),
        asset("First", "shot", metadata={"prompt": "caf\u00e9 at dawn \U0001f3ac"}),
        asset("Second", "shot", duration=5, generation_cost="0.10"),
        asset("Loose", "shot"),
        asset("Zoe", "character_ref"),
        asset("Abel", "character_ref"),
        asset("Old Abel", "character_ref"),
        asset("Waves", "audio", url="https://cdn.example/waves.wav"),
        asset("Words", "text"),
        asset("Cut", "video", url="https://cdn.example/cut.mp4"),
        edge("Pier", "Loose", "contains_shot", 1),
        edge("Pier", "Scene", "contains_scene", 1, act=1),
        edge("Scene", "First", "contains_shot", 1),
        edge("Scene", "Inner scene", "contains_scene", 1),
        edge("Inner scene", "Second", "contains_shot", 3),
        edge("Inner scene", "First", "contains_shot", 7),
        edge("First", "Zoe", "uses_character"),
        edge("First", "Abel", "uses_character", None, mood="calm"),
        edge("Second", "Abel", "uses_character"),
        edge("Old Abel", "Abel", "variant_of"),
        edge("Loose", "Old Abel", "uses_asset", 4),
        edge("First", "Waves", "uses_audio", 2),
        edge("First", "Words", "uses_script"),
        edge("Pier", "Cut", "final_edit"),
        *take("First", 1, "0.50", selected=False, quality_score=7),
        *take("First", 3, "0.125", selected=True, quality_score=8.5, director_notes="this one"),
        *take("Second", 1, "12.00"),
        edge("Cut", "First take 3 video", "derived_from"),
    ]
    return {
        "format": "shotline-film",
        "version": 1,
        "film": "Pier",
        "assets": [part for part in parts if "id" in part],
        "relationships": [part for part in parts if "parent" in part],
        "selections": [{"shot": "First", "take": "First take 3"}],
        "costs": None,
    }


def without_ids(export: str) -> Any:
    """An export in which every id is a name that says at which place its asset stands."""
    document = json.loads(export)
    for place, one in enumerate(document["assets"]):
        export = export.replace(f'"{one["id"]}"', f'"{place}"')
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", export)
    return json.loads(export)


def written(cli: Cli, name: str, document: object) -> Path:
    path = cli.folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def imported(cli: Cli, workspace: str, *files: Path) -> list[dict[str, Any]]:
    told = cli("film", "import", *files, "--workspace", workspace, "--json")
    assert told.code == 0, told.errors
    films: list[dict[str, Any]] = told.document["films"]
    return films


def exported(cli: Cli, film_id: str) -> str:
    told = cli("film", "export", film_id)
    assert told.code == 0, told.errors
    return told.out


@pytest.fixture
def ask(shotline: Shotline) -> Ask:
    """Calls the asset graph itself: ask("GetAsset", GetAssetRequest(…))."""

    def call(method: str, request: object) -> Any:
        with grpc.insecure_channel(shotline.facts["grpc"]) as channel:
            headers = (("authorization", f"Bearer {shotline.facts['token']}"),)
            return getattr(graph_grpc.AssetGraphServiceStub(channel), method)(request, metadata=headers, timeout=20)

    return call


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^A-Za-z0-9]", "-", request.node.name)[:60]


def test_a_story_is_imported_shown_exported_and_imported_elsewhere_as_an_equal_film(cli: Cli, workspace: str) -> None:
    story = written(cli, "market.json", MARKET)
    told = cli("film", "import", "market.json", "--workspace", workspace)
    assert told.out.startswith("✓ market.json: Friends open a stall (2 scenes, 3 shots, 2 characters)\n  ")
    film_id = told.out.split()[-1]
    shown = re.sub(r" +[0-9a-f-]{36}", "", cli("film", "show", film_id).out)
    assert shown == (
        "Friends open a stall\n"
        "├── Scene 1\n"
        "│   ├── Shot 1  with Ines, Baker Tomas Reed\n"
        "│   └── Shot 2  with Baker Tomas Reed\n"
        "└── Scene 2\n"
        "    └── Shot 3  with Ines, Baker Tomas Reed\n"
        "2 scenes, 3 shots, 0 takes, 0 selected\n"
    )
    assert cli("film", "export", film_id, "-o", "out.json").out.startswith("✓ out.json: Friends open a stall (2 sce")
    (copy,) = imported(cli, f"{workspace}-2", cli.folder / "out.json")
    assert (copy["created"], copy["shots"], copy["characters"]) == (True, 3, 2)
    assert copy["film"] != film_id
    assert without_ids(exported(cli, copy["film"])) == without_ids((cli.folder / "out.json").read_text())
    again = cli("film", "import", story, "--workspace", workspace)
    assert f"is there already, as {film_id}" in again.out
    (film,) = cli("film", "list", "--workspace", workspace, "--json").document["films"]
    assert film["id"] == film_id


def test_the_stories_of_a_generator_are_imported_shown_costed_and_exported_as_equal_films(
    cli: Cli, workspace: str, vimax: Path
) -> None:
    stories = sorted(vimax.glob("*.json"))
    assert len(stories) == 21
    films = imported(cli, workspace, *stories)
    assert all(film["created"] and film["characters"] for film in films)
    for path, film in zip(stories, films, strict=True):
        story = json.loads(path.read_text())
        told = [shot for scene in story["scenes"] for shot in scene["shots"]]
        shown = cli("film", "show", film["film"], "--json").document
        shots = [one["shot"]["metadata"] for one in shown["shots"]]
        assert [shot["prompt"] for shot in shots] == [shot["video_prompt"] for shot in told]
        assert [shot["first_frame"] for shot in shots] == [shot["first_frame"] for shot in told]
        assert (len(shown["scenes"]), film["shots"]) == (len(story["scenes"]), len(told))
        assert shown["film"]["metadata"]["synopsis"] == story["story_overview"]
        assert shown["film"]["metadata"]["consistency_type"] == story["consistency_type"]
        assert cli("film", "cost", film["film"], "--json").document["total"] == "0"
        assert cli("film", "export", film["film"], "-o", path.name).code == 0
    copies = imported(cli, f"{workspace}-2", *(cli.folder / path.name for path in stories))
    for path, copy in zip(stories, copies, strict=True):
        assert copy["created"]
        assert without_ids(exported(cli, copy["film"])) == without_ids((cli.folder / path.name).read_text())
    assert [film["created"] for film in imported(cli, workspace, *stories)] == [False] * 21
    assert len(cli("film", "list", "--workspace", workspace, "--json").document["films"]) == 21


def test_a_film_with_everything_comes_back_equal_with_its_costs(cli: Cli, workspace: str) -> None:
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    export = exported(cli, film["film"])
    assert exported(cli, film["film"]) == export  # the same film, the same bytes
    document = json.loads(export)
    names = {one["id"]: one["name"] for one in document["assets"]}
    assert sorted(names.values()) == sorted(one["name"] for one in pier()["assets"])
    edges = [{**one, "parent": names[one["parent"]], "child": names[one["child"]]} for one in document["relationships"]]
    assert sorted(edges, key=str) == sorted(pier()["relationships"], key=str)
    for before, after in zip(
        sorted(pier()["assets"], key=lambda one: one["name"]),
        sorted(document["assets"], key=lambda one: one["name"]),
        strict=True,
    ):
        assert {**after, "id": after["name"]} == before
    assert [(names[one["shot"]], names[one["take"]]) for one in document["selections"]] == [("First", "First take 3")]
    costs = document["costs"]
    assert (costs["total"], costs["unselected"], costs["deleted"]) == ("12.725", "12.50", "0")
    (copy,) = imported(cli, f"{workspace}-2", written(cli, "export.json", export))
    assert without_ids(exported(cli, copy["film"])) == without_ids(export)
    assert [one["created"] for one in imported(cli, f"{workspace}-2", cli.folder / "export.json")] == [False]


def test_the_tree_marks_the_selected_take_and_the_table_adds_up_to_the_cent(cli: Cli, workspace: str) -> None:
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    lines = [re.sub(r"  [0-9a-f-]{36}$", "", line) for line in cli("film", "show", film["film"]).out.splitlines()]
    assert lines == [
        "Pier",
        "├── Loose",
        "├── Scene",
        "│   ├── First  with Zoe, Abel",
        "│   │   ├──   take 1  score 7  cost 0.50  https://cdn.example/1.mp4",
        "│   │   └── ✓ take 3  score 8.5  cost 0.125  https://cdn.example/3.mp4",
        "│   └── Inner scene",
        "│       └── Second  with Abel",
        "│           └──   take 1  cost 12.00  https://cdn.example/1.mp4",
        "└── final edit  Cut  https://cdn.example/cut.mp4",
        "2 scenes, 3 shots, 3 takes, 1 selected",
    ]
    table = [line.split() for line in cli("film", "cost", film["film"]).out.splitlines() if line]
    assert table == [
        ["shot", "attempts", "USD"],
        ["Loose", "0", "0.000"],
        ["First", "2", "0.625"],
        ["Second", "1", "12.100"],
        ["provider", "model", "assets", "USD"],
        ["minimax", "video-01", "3", "12.625"],
        ["–", "–", "1", "0.100"],
        ["USD"],
        ["total", "12.725"],
        ["of", "it", "unselected", "12.500"],
        ["of", "it", "deleted", "0.000"],
    ]
    ends = {len(line.rstrip()) for line in cli("film", "cost", film["film"]).out.split("\n\n")[0].splitlines()}
    assert len(ends) == 1  # right-aligned


def test_takes_are_selected_by_id_by_number_or_not_at_all(cli: Cli, workspace: str) -> None:
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    names = {one["name"]: one["id"] for one in json.loads(exported(cli, film["film"]))["assets"]}
    told = cli("film", "select", names["First"], "1")
    assert re.fullmatch(r"✓ First: First take 1 is selected  \(revision \d+\)\n", told.out)
    told = cli("film", "select", names["First"], names["First take 3"], "--json")
    assert told.document["selectedTakeId"] == names["First take 3"]
    assert "(it was so already)" in cli("film", "select", names["First"], "3").out
    assert cli("film", "select", names["First"], "-").out.startswith("✓ First: no take is selected")
    told = cli("film", "select", names["First"], "2")
    assert told.code == 1
    assert told.errors.splitlines() == [
        "error: FAILED_PRECONDITION NOT_A_TAKE_OF_THE_SHOT",
        "  the shot has no take 2; its takes are 1, 3",
        "  remedy: `shotline film show FILM` shows the takes of each shot",
    ]
    for text in ("x", "", "1.5"):
        told = cli("film", "select", names["First"], text)
        assert told.code == 1
        assert told.errors.splitlines() == [
            "error: INVALID_ARGUMENT INVALID_FIELD",
            "  TAKE: must be the number of a take, such as 2, or its id, or - for none",
            "  remedy: `shotline film show FILM` shows the takes of each shot",
        ]
    told = cli("film", "select", names["Second"], names["First take 1"])
    assert (told.code, told.errors.splitlines()[0]) == (1, "error: FAILED_PRECONDITION NOT_A_TAKE_OF_THE_SHOT")


def test_a_score_is_shown_as_exactly_as_people_need_it(cli: Cli, workspace: str) -> None:
    document = pier()
    scores = {"First take 1": 0.029791223034073888, "First take 3": 8.5, "Second take 1": 7}
    for one in document["assets"]:
        if one["name"] in scores:
            one["metadata"]["quality_score"] = scores[one["name"]]
    (film,) = imported(cli, workspace, written(cli, "pier.json", document))
    shown = re.findall(r"  score (\S+)  ", cli("film", "show", film["film"]).out)
    assert shown == ["0.0298", "8.5", "7"]
    exact = [
        take["metadata"]["quality_score"]
        for one in cli("film", "show", film["film"], "--json").document["shots"]
        for take in one["structure"]["takes"]
    ]
    assert exact == list(scores.values())


def test_a_workspace_without_films_is_named(cli: Cli, workspace: str) -> None:
    told = cli("film", "list", "--workspace", workspace)
    assert (told.code, told.out) == (0, f"no film in the workspace {workspace}; --workspace names another one\n")
    assert cli("film", "list", "--workspace", workspace, "--json").document == {"films": []}


def test_a_selection_that_only_the_list_names_is_made(cli: Cli, workspace: str) -> None:
    document = pier()
    del next(one for one in document["assets"] if one["name"] == "First take 3")["metadata"]["selected"]
    (film,) = imported(cli, workspace, written(cli, "pier.json", document))
    export = json.loads(exported(cli, film["film"]))
    names = {one["id"]: one["name"] for one in export["assets"]}
    assert [names[one["take"]] for one in export["selections"]] == ["First take 3"]


def test_an_import_again_is_the_same_film_until_that_is_gone(cli: Cli, workspace: str, ask: Ask) -> None:
    story = written(cli, "market.json", MARKET)
    for path in (story, written(cli, "pier.json", pier())):
        (first,) = imported(cli, workspace, path)
        ask("UpdateAsset", graph.UpdateAssetRequest(id=first["film"], metadata_json='{"status": "done"}'))
        (again,) = imported(cli, workspace, path)
        assert (again["film"], again["created"]) == (first["film"], False)  # although it has been worked on
        ask("DeleteAsset", graph.DeleteAssetRequest(id=first["film"]))
        (anew,) = imported(cli, workspace, path)
        assert (anew["film"] != first["film"], anew["created"]) == (True, True)
    (elsewhere,) = imported(cli, f"{workspace}-2", story)
    assert elsewhere["created"]


def test_films_that_shared_a_character_share_it_again(cli: Cli, workspace: str, ask: Ask) -> None:
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    (abel,) = (one["id"] for one in json.loads(exported(cli, film["film"]))["assets"] if one["name"] == "Abel")
    (other,) = imported(cli, workspace, written(cli, "market.json", MARKET))
    shot = next(one["id"] for one in json.loads(exported(cli, other["film"]))["assets"] if one["type"] == "shot")
    links = graph.ShotLinks(characters=[abel])
    ask("LinkShotAssets", graph.LinkShotAssetsRequest(shot_id=shot, links=links))
    files = [written(cli, f"{n}.json", exported(cli, one["film"])) for n, one in enumerate((film, other))]
    for _ in range(2):  # found there, they share, too
        copies = imported(cli, f"{workspace}-2", *files)
        told = [
            {one["name"]: one["id"] for one in json.loads(exported(cli, each["film"]))["assets"]} for each in copies
        ]
        assert told[0]["Abel"] == told[1]["Abel"]
    for file, copy in zip(files, copies, strict=True):
        assert without_ids(exported(cli, copy["film"])) == without_ids(file.read_text())
    in_all = graph.ListAssetsRequest(workspace_id=f"{workspace}-2", types=["character_ref"], name_prefix="Abel")
    assert len(ask("ListAssets", in_all).assets) == 1


def test_lists_are_read_to_their_end(cli: Cli, workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_graph, "_LARGEST_PAGE", 2)
    test_a_film_with_everything_comes_back_equal_with_its_costs(cli, workspace)
    (film,) = cli("film", "list", "--workspace", workspace, "--json").document["films"]
    assert len(cli("film", "show", film["id"], "--json").document["shots"]) == 3
    for number in range(3):
        imported(cli, workspace, written(cli, "x.json", {**MARKET, "title": f"Film {number}"}))
    assert len(cli("film", "list", "--workspace", workspace, "--json").document["films"]) == 4


def test_a_film_that_changes_while_it_is_read_is_read_again(
    cli: Cli, workspace: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    names = {one["name"]: one["id"] for one in json.loads(exported(cli, film["film"]))["assets"]}
    once, changes = film_reading._once, iter(("first", "second"))

    async def disturbed(graph_client: Graph, asset: graph.Asset) -> Any:
        document = await once(graph_client, asset)
        if change := next(changes, None):
            ask("UpdateAsset", graph.UpdateAssetRequest(id=names["Waves"], name=change))
        return document

    monkeypatch.setattr(film_reading, "_once", disturbed)
    assert '"second"' in exported(cli, film["film"])
    changes = iter("abcdefg")
    told = cli("film", "export", film["film"])
    assert (told.code, told.out) == (1, "")
    assert "ABORTED FILM_CHANGING" in told.errors
    changes = iter(())
    assert cli("film", "export", film["film"]).code == 0


def test_a_film_that_is_exported_into_a_file_takes_its_place_or_leaves_it(cli: Cli, workspace: str) -> None:
    (film,) = imported(cli, workspace, written(cli, "market.json", MARKET))
    target = written(cli, "out.json", "mine")
    told = cli("film", "export", film["film"], "-o", "out.json", "--json")
    assert told.document == {"film": film["film"], "file": "out.json", "assets": 8, "relationships": 10}
    assert json.loads(target.read_text())["format"] == "shotline-film"
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert sorted(os.listdir(cli.folder)) == ["market.json", "out.json"]
    told = cli("film", "export", film["film"], "-o", "nowhere/out.json")
    assert told.code == 1
    assert told.errors.splitlines()[:2] == [
        "error: FAILED_PRECONDITION CANNOT_WRITE",
        "  nowhere/out.json: No such file or directory",
    ]


def test_what_cannot_be_imported_is_refused_by_file_and_place_and_leaves_nothing(cli: Cli, workspace: str) -> None:
    good = written(cli, "good.json", MARKET)
    bad = pier()
    bad["assets"][3]["metadata"]["prompt"] = 5
    cycle = pier()
    cycle["relationships"].append(edge("Inner scene", "Scene", "contains_scene"))
    for document, reason, said in (
        ("{", "WRONG_FILE", "bad.json: not JSON: "),
        ({"a": 1}, "WRONG_FILE", "neither a story"),
        ({**pier(), "version": 2}, "WRONG_FILE", "/version: this Shotline reads version 1"),
        ({**pier(), "film": "x"}, "WRONG_FILE", "/assets: none has the id 'x'"),
        ({**pier(), "assets": [{}]}, "WRONG_FILE", "/assets/0/id: must be a string"),
        ({**pier(), "relationships": [{"sequence": 1.5}]}, "WRONG_FILE", "/relationships/0/sequence: must be"),
        (bad, "INVALID_METADATA", "bad.json: shot 'First': metadata_json/prompt must be text"),
        (cycle, "CYCLE", "bad.json: contains_scene of 'Inner scene' and 'Scene': "),
    ):
        written(cli, "bad.json", document)
        told = cli("film", "import", "bad.json", "--workspace", workspace)
        assert (told.code, told.out) == (1, "")
        assert reason in told.errors.splitlines()[0]
        assert said in told.errors, told.errors
        assert cli("film", "list", "--workspace", workspace, "--json").document == {"films": []}
    assert cli("film", "import", "nobody.json").errors.startswith("error: NOT_FOUND CANNOT_READ")
    written(cli, "bad.json", bad)
    told = cli("film", "import", good, "bad.json", "--workspace", workspace)
    assert (told.code, "(1 film imported before)" in told.errors) == (1, True)
    told = cli("film", "import", good, "--workspace", "not a name", "--json")
    assert json.loads(told.errors)["message"].startswith("--workspace: must be")


def test_a_film_that_takes_more_than_one_transaction_is_refused(
    cli: Cli, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_writing, "MOST_CHANGES", 10)
    told = cli("film", "import", written(cli, "market.json", MARKET), "--workspace", workspace)
    assert (told.code, "the film takes 18 changes, and 10 can be made as one" in told.errors) == (1, True)


def test_what_is_not_there_is_said_with_a_remedy(cli: Cli, workspace: str) -> None:
    nobody = "0195a1c2-7e00-7000-8000-000000000000"
    for words in (("show", nobody), ("cost", nobody), ("export", nobody), ("select", nobody, "1")):
        told = cli("film", *words)
        assert told.code == 1
        assert told.errors.startswith("error: NOT_FOUND ASSET_NOT_FOUND")
        assert "remedy: `shotline film list --workspace NAME`" in told.errors
    told = cli("film", "show", "Pier", "--json")
    assert json.loads(told.errors)["message"].startswith("FILM: must be a UUID")
    (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
    shot = next(one["id"] for one in json.loads(exported(cli, film["film"]))["assets"] if one["name"] == "First")
    assert "FILM: must be a film, and this is a shot" in cli("film", "export", shot).errors
    assert cli("film", "cost", shot, "--json").document["total"] == "0.625"


def test_text_of_the_graph_is_shown_and_never_obeyed(cli: Cli, workspace: str) -> None:
    title = "\x1b[31mred [bold]x[/bold]\nnext"
    (film,) = imported(cli, workspace, written(cli, "x.json", {**MARKET, "title": title}))
    for words in (
        ("list", "--workspace", workspace),
        ("show", film["film"]),
        ("import", "x.json", "--workspace", workspace),
    ):
        told = cli("film", *words).out
        assert "\x1b" not in told
        assert "\\u001b[31mred [bold]x[/bold]" in told
    assert cli("film", "show", film["film"], "--json").document["film"]["name"] == title


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_line_of_a_watch_counts_in_words_and_tells_a_selection_once() -> None:
    created, updated = graph.CHANGE_KIND_CREATED, graph.CHANGE_KIND_UPDATED
    links = [("contains_shot", created)] * 2 + [("generation_attempt", graph.CHANGE_KIND_DELETED)]
    change = graph.GraphChange(
        revision=5,
        actor="local",
        assets=[
            graph.AssetChange(id="1", kind=updated, type="shot_take", name="Take 1"),
            graph.AssetChange(id="2", kind=updated, type="shot_take", name="Take 2"),
            graph.AssetChange(id="3", kind=created, type="shot_take", name="Take 3"),
        ],
        relationships=[graph.RelationshipChange(relationship_type=name, kind=kind) for name, kind in links],
        selections=[graph.SelectionNotice(shot_id="0", take_id="2", previous_take_id="1")],
    )
    line = render_film.change_line(change).plain
    assert line.endswith("  Take 2 selected, take Take 3 created, 2 shots linked, 1 take unlinked")


def test_every_type_of_relationships_has_its_word() -> None:
    assert render_film._JOINED.keys() == {each.name for each in RELATIONSHIP_TYPES}


def test_a_watch_tells_of_imports_and_selections(cli: Cli, workspace: str) -> None:
    watch = Watch(cli, of=("film", "watch", "--workspace", workspace))
    told: Watch | None = None
    try:
        assert watch.remark() == f"watching {workspace} behind revision 0; Ctrl-C ends it"
        (film,) = imported(cli, workspace, written(cli, "pier.json", pier()))
        line = watch.line()
        assert line.split()[0::2][:2] == ["1", "local"]
        assert "(shotline-cli)  First take 3 selected, film Pier created, " in line
        names = {one["name"]: one["id"] for one in json.loads(exported(cli, film["film"]))["assets"]}
        cli("film", "select", names["First"], "-")
        assert watch.line().endswith(f"  no take of {names['First']} selected")
        told = Watch(cli, "--json", "--from", "1", of=("film", "watch", "--workspace", workspace))
        changes = [told.change(), told.change()]
        assert [change["revision"] for change in changes] == [1, 2]
        taken = {"shot": names["First"], "take": None, "previous": names["First take 3"]}
        assert (changes[1]["selections"], changes[1]["actor"]) == ([taken], "local")
        assert len(changes[0]["assets"]) == len(names)
        assert watch.end() == (0, "")
    finally:
        watch.end(signal.SIGKILL)
        if told:
            told.end(signal.SIGKILL)
