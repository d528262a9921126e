"""What `shotline up` says when all is ready: one JSON line for programs, or what runs where and lines to paste."""

import asyncio
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.text import Text
from shotline.studio.v1 import studio_service_pb2 as pb
from shotline.studio.v1 import studio_service_pb2_grpc as pb_grpc

from services.local.database import place
from services.local.plan import Plan
from services.local.projects import find_projects
from services.runtime import local_address
from services.runtime.channels import open_channel, service_config

_NEW_PROMPT = "A quiet harbour at dawn"
_PATIENCE = 1.0  # seconds to find a shot for the examples; without one they show the form


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A shot that is really there."""

    project: str
    sequence_id: str
    shot_id: str


def json_line(plan: Plan, token: str, pids: Mapping[str, int]) -> str:
    """The line of `--json`. Parts that do not exist are absent."""
    return json.dumps(
        {
            "ready": True,
            "http": plan.http,
            "grpc": plan.grpc,
            "asset_graph": plan.asset_graph,
            "sequence_file": plan.sequence_file,
            "token": token,
            "token_file": str(plan.data.token_file),
            "asset_graph_database_url": plan.database.operator_url,
            "pids": dict(pids),
        }
    )


def text(plan: Plan, pids: Mapping[str, int], example: Example | None) -> str:
    """What runs where, and lines that work when they are pasted."""
    console = Console(highlight=False)
    with console.capture() as capture:
        _print(console, plan, pids, example)
    return capture.get().rstrip("\n")


def _print(console: Console, plan: Plan, pids: Mapping[str, int], example: Example | None) -> None:
    console.print(Text("Shotline is ready", style="bold green"))
    rows = [
        ("HTTP", plan.http),
        ("gRPC", plan.grpc),
        ("asset graph", plan.asset_graph),
        ("sequence files", plan.sequence_file),
        ("roots", ", ".join(map(str, plan.roots))),
        ("token", str(plan.data.token_file)),
        ("database", str(server.folder) if (server := plan.database.server) else place(plan.database.operator_url)),
        ("logs", str(plan.data.log("*"))),
        ("processes", ", ".join(f"{part} {pid}" for part, pid in pids.items())),
    ]
    for name, value in rows:
        console.print(Text.assemble((f"  {name:<15}", "dim"), value), soft_wrap=True)
    if example is None:
        say = "\nNo project with a shot was found below the roots. To make a small one:"
        console.print(Text(say), soft_wrap=True)
        _print_line(console, f"shotline project new {_quoted(plan.roots[0] / 'harbour-lights')}")
        console.print(Text("\nThen, for a project of yours:"))
        example = Example(project="/PATH/TO/PROJECT", sequence_id="001", shot_id="SHOT")
    console.print(Text("\nFollow its changes", style="dim"))
    _print_line(console, f"shotline project watch {shlex.quote(example.project)}{_data(plan)}")
    for title, line in examples(plan, example):
        console.print(Text(f"\n{title}", style="dim"))
        _print_line(console, line)
    console.print(Text("\nCtrl-C ends it.", style="dim"))


def examples(plan: Plan, example: Example) -> list[tuple[str, str]]:
    """Titles, and commands for a POSIX shell."""
    authorization = f'-H "authorization: Bearer $(cat {_quoted(plan.data.token_file)})"'
    named = {"projectPath": example.project, "sequenceId": example.sequence_id}
    change = {**named, "shotId": example.shot_id, "updates": {"generation": {"prompt": _NEW_PROMPT}}}
    shot = {**named, "shotId": example.shot_id}
    update = {
        "target": {"sequenceShot": shot},
        "updatesJson": json.dumps({"generation": {"prompt": _NEW_PROMPT}}),
    }

    def curl(channel: str, arguments: Mapping[str, object]) -> str:
        return (
            f"curl -sS {plan.http}/ipc/{channel} -H 'content-type: application/json' \\\n"
            f"  {authorization} \\\n  -d {_json(arguments)}"
        )

    def buf_curl(method: str, request: Mapping[str, object]) -> str:
        return (
            f"buf curl --protocol grpc --reflect-header '*' {authorization} \\\n"
            f"  -d {_json(request)} \\\n  http://{plan.grpc}/shotline.studio.v1.StudioService/{method}"
        )

    return [
        ("Read a sequence's shots", curl("sequence:get-shots", named)),
        ("Change a shot's prompt (this writes to the file)", curl("sequence:update-shot", change)),
        ("Read that shot by gRPC", buf_curl("GetShot", {"target": {"sequenceShot": shot}})),
        ("Change it by gRPC (this writes to the file)", buf_curl("UpdateShot", update)),
    ]


async def find_example(plan: Plan, token: str) -> Example | None:
    """The first shot of the first project below the roots that has one, asked of the running gateway."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _find_example(plan, token)
    except TimeoutError:
        return None


async def _find_example(plan: Plan, token: str) -> Example | None:
    configs = (service_config("shotline.studio.v1"),)
    async with open_channel(plan.grpc, service_configs=configs, token=token) as channel:
        stub = pb_grpc.StudioServiceStub(channel)
        for project in (found for root in plan.roots for found in find_projects(root)):
            try:
                if example := await _example_of(stub, str(project)):
                    return example
            except grpc.aio.AioRpcError:
                continue  # a project that cannot be opened makes no example
    return None


async def _example_of(stub: pb_grpc.StudioServiceStub, project: str) -> Example | None:
    found = await stub.GetAllSequences(pb.GetAllSequencesRequest(project_path=project, page_size=3))
    for sequence in found.sequences:
        request = pb.GetShotsRequest(project_path=project, sequence_id=sequence.id, page_size=20)
        for shot in (await stub.GetShots(request)).shots:
            if shot.id:
                return Example(project=project, sequence_id=sequence.id, shot_id=shot.id)
    return None


def _print_line(console: Console, line: str) -> None:
    # As it is: wrapped or coloured, it could not be pasted.
    console.print(line, markup=False, soft_wrap=True)


def _data(plan: Plan) -> str:
    """The option by which a command finds this start; none where it looks anyway."""
    usual = plan.data.path == Path(os.path.abspath(local_address.default_folder()))
    return "" if usual else f" --data {_quoted(plan.data.path)}"


def _json(value: object) -> str:
    return shlex.quote(json.dumps(value, ensure_ascii=False))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
