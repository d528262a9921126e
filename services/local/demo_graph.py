"""The demo's second half: a generator script and its directors at work on the asset graph, with the Python library."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from shotline.client import AlreadyExists, BlockingAssetService
from shotline.client.shapes import Take

from services.local.story import Story

_WORKSPACE = "harbour"
_DIRECTORS = 8
_ROUNDS = 5  # selections of each director
_COST = "0.10"  # ten of these are 1.00 only as decimals


@dataclass(frozen=True, slots=True)
class Film:
    """What was made, for the look after the crash."""

    id: str
    shot_id: str
    selected: str
    cost: Decimal
    revision: int


def tell(story: Story, facts: Mapping[str, object]) -> Film:
    """The steps before the crash. Raises Broken at the first promise that is not kept."""
    with _connected(facts) as graph:
        film, shot = _film(story, graph)
        takes = _takes(story, graph, shot)
        selected = _directors(story, graph, shot, takes)
        cost = _cost(story, graph, film, takes)
        with graph.watch_changes(_WORKSPACE) as watch:
            revision = watch.begin()
        return Film(film, shot, selected, cost, revision)


def tell_after_crash(story: Story, facts: Mapping[str, object], film: Film) -> None:
    """What is still there, and that nobody who watches misses anything."""
    with _connected(facts) as graph:
        taken = graph.get_selected_take(film.shot_id)
        story.promise(
            taken is not None and taken["id"] == film.selected, "the selected take is still the selected take"
        )
        story.promise(graph.get_film_cost(film.id)["total"] == film.cost, "and not a cent is missing")
        with graph.watch_changes(_WORKSPACE, after_revision=0) as watch:
            seen = [change["revision"] for change in islice(watch, film.revision)]
        story.shows(f"revisions {seen[0]} to {seen[-1]} of the workspace, read again from the first")
        story.promise(seen == [*range(1, film.revision + 1)], "every change can still be followed, none is missing")


def _film(story: Story, graph: BlockingAssetService) -> tuple[str, str]:
    story.step(
        "A generator script makes a film", "The asset graph is on PostgreSQL, which came along. All of it, or nothing."
    )
    with graph.batch(_WORKSPACE) as batch:
        film = batch.create_asset("film", "Harbour Lights")
        ida = batch.create_asset("character_ref", "Ida")
        shot = batch.create_shot("The pier", parent_id=film, prompt="A pier in fog", characters=[ida])
    film, shot = batch.ids[film], batch.ids[shot]
    structure = graph.get_shot_structure(shot)
    names = [character["name"] for character in structure["links"]["uses_character"]]
    story.shows(f"Harbour Lights\n└── The pier  ({', '.join(names)})")
    story.promise(names == ["Ida"], "a film, a shot, a character and how they belong together, in one transaction")
    return film, shot


def _takes(story: Story, graph: BlockingAssetService, shot: str) -> list[Take]:
    story.step("Ten workers generate takes at once", "Nobody tells them which number is next.")

    def generate(seed: int) -> str:
        made = {"provider": "minimax", "model": "video-01", "seed": seed}
        take = graph.create_shot_take(shot, generation_params=made, generation_cost=_COST)
        graph.link_take_video(take, f"https://cdn.example.com/{seed}.mp4", duration=8.2)
        return take

    _together(generate, range(10))
    takes = graph.get_shot_takes(shot)
    numbers = [take["attempt_number"] for take in takes]
    story.shows(f"attempts {', '.join(map(str, numbers))}")
    story.promise(numbers == [*range(1, 11)], "ten takes, numbered 1 to 10, none twice")
    story.promise(all(take["video"] for take in takes), "each with its video")
    try:
        graph.create_shot_take(shot, attempt_number=7)
        refused = ""
    except AlreadyExists as fault:
        refused = fault.reason
        story.shows(f"{fault.reason}: {fault.message}", "yellow")
    story.promise(refused == "ATTEMPT_EXISTS", "a number that was used is refused")
    return takes


def _directors(story: Story, graph: BlockingAssetService, shot: str, takes: list[Take]) -> str:
    said = f"{_DIRECTORS} directors select a take each, {_ROUNDS} times, at the same time. One take is in the film."
    story.step("Who decides?", said)

    def choose(turn: int) -> int:
        graph.select_take(shot, takes[turn % len(takes)]["id"])
        return sum(take["selected"] for take in graph.get_shot_takes(shot))

    counts = _together(choose, range(_DIRECTORS * _ROUNDS))
    story.promise(
        set(counts) == {1}, f"whenever anybody looked, {_DIRECTORS * _ROUNDS} times, exactly one was selected"
    )
    chosen = takes[6]
    graph.select_take(shot, chosen["id"])
    history = graph.get_shot_metrics(shot)["selection_history"]
    story.shows(f"{len(history)} selections in the history, the last by {history[-1]['actor']}")
    story.promise(history[-1]["take_id"] == chosen["id"], "and who decided what is on record")
    return chosen["id"]


def _cost(story: Story, graph: BlockingAssetService, film: str, takes: list[Take]) -> Decimal:
    story.step("What did it cost?", f"Ten takes at {_COST}. One is deleted: its money is spent all the same.")
    graph.delete_asset(takes[0]["id"])
    cost = graph.get_film_cost(film)
    story.shows(
        f"total {cost['total']} {cost['currency']}, not in the film {cost['unselected']}, deleted {cost['deleted']}"
    )
    story.promise(cost["total"] == Decimal("1.00"), "exactly 1.00, which ten times 0.1 is not in floating point")
    return cost["total"]


def _connected(facts: Mapping[str, object]) -> BlockingAssetService:
    return BlockingAssetService(address=str(facts["grpc"]), token=str(facts["token"]))


def _together(work: Callable[[int], object], turns: Iterable[int]) -> list[object]:
    with ThreadPoolExecutor(_DIRECTORS) as pool:
        return list(pool.map(work, turns))
