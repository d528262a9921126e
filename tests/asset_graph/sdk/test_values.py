"""What is sent and what is refused before it is sent; what answers become."""

import inspect
import json
import math
import pickle
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from shotline import client
from shotline.asset_graph.v1 import asset_graph_service_pb2 as pb
from shotline.client import UNCHANGED, AssetService, BlockingAssetService, Changes, Studio, asking, errors, reading
from shotline.studio.v1 import studio_service_pb2 as studio_pb

from services.kernel.faults import Code, Current, Fault
from services.runtime.admission import MAX_CLIENT

ID = "0195a1c2-7e00-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (Decimal("0.50"), "0.50"),
        ("0.50", "0.50"),
        (0.50, "0.5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (3, "3"),
        (1e-7, "0.0000001"),
        (Decimal("1E+3"), "1000"),
        (None, None),
        (-1, "-1"),  # the server refuses it, and says why
    ],
)
def test_money_is_exact_decimal_text(given: Any, sent: str | None) -> None:
    assert asking.money(given) == sent


@pytest.mark.parametrize("given", [math.nan, math.inf, Decimal("NaN"), Decimal("sNaN"), "a lot", "", "NaN", "1e9999"])
def test_what_is_no_amount_is_refused_before_it_is_sent(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^generation_cost: .* is not an amount"):
        asking.money(given)


@pytest.mark.parametrize("given", [True, b"1", [1]])
def test_an_amount_of_another_type_is_refused(given: Any) -> None:
    with pytest.raises(TypeError):
        asking.money(given)


@pytest.mark.parametrize("given", [math.nan, -math.inf])
def test_a_duration_that_is_no_number_is_refused(given: float) -> None:
    with pytest.raises(ValueError, match=r"^duration: .* is not a number"):
        asking.link_take_video(ID, "https://example.com", duration=given)


async def call(method: Any, *args: Any, **kwargs: Any) -> None:
    """A method of any kind, to its first answer."""
    started = method(*args, **kwargs)
    if inspect.isawaitable(started):
        await started


@pytest.mark.parametrize("kind", [AssetService, Studio, Changes])
async def test_every_method_names_the_argument_of_another_type(kind: type) -> None:
    client = Changes("ws") if kind is Changes else kind(address="127.0.0.1:1", token="x")
    methods = [value for name, value in inspect.getmembers(client, inspect.ismethod) if not name.startswith("_")]
    assert len(methods) > 6
    for method in methods:
        for name in inspect.signature(method).parameters:
            with pytest.raises(TypeError, match=f"^{name}: .* is wanted, not object$"):
                await call(method, **{name: object()})


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("create_shot", {"shot_number": 3}, "shot_number: str is wanted, not int"),
        ("create_shot", {"prompt": 5}, "prompt: str is wanted, not int"),
        ("create_shot", {"metadata": "{}"}, "metadata: Mapping is wanted, not str"),
        ("create_shot", {"characters": ID}, "characters: Iterable is wanted, not str"),
        ("create_shot", {"characters": [ID, 7]}, r"characters\[1\]: str or UUID is wanted, not int"),
        ("create_shot_take", {"attempt_number": "4"}, "attempt_number: int is wanted, not str"),
        ("create_shot_take", {"attempt_number": True}, "attempt_number: int is wanted, not bool"),
        ("create_shot_take", {"selected": "no"}, "selected: bool is wanted, not str"),
        ("link_take_video", {"duration": "8.2"}, "duration: float is wanted, not str"),
        ("update_asset", {"url": 1}, "url: str is wanted, not int"),
        ("list_assets", {"types": 1}, "types: str or Iterable is wanted, not int"),
        ("get_child_assets", {"relationship_type": 1}, "relationship_type: str is wanted, not int"),
    ],
)
async def test_an_argument_of_another_type_is_told_by_name(method: str, arguments: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"^{said}$"):
        await call(getattr(AssetService("127.0.0.1:1", token="x"), method), **arguments)


async def test_a_sequence_is_named_by_text() -> None:
    with pytest.raises(TypeError, match=r"^sequence_id: str is wanted, not int$"):
        await call(Studio("127.0.0.1:1", token="x").update_shot, "s1", {}, project_path="/films", sequence_id=1)


async def test_a_cost_that_is_no_amount_is_told_by_name() -> None:
    with pytest.raises(ValueError, match=r"^generation_cost: 'abc' is not an amount$"):
        await AssetService("127.0.0.1:1", token="x").create_asset("ws", "film", "Film", generation_cost="abc")


def test_kinds_of_numbers_that_mean_the_same_are_taken() -> None:
    changes = Changes("ws")
    changes.create_shot("Shot", duration_target=3)
    changes.link_take_video(ID, "https://example.com", Decimal("8.25"))
    first, second = changes._request(None).changes
    assert first.create_shot.duration_target_seconds == 3
    assert second.link_take_video.duration_seconds == 8.25


def test_a_batch_takes_no_second_text_for_a_description() -> None:
    with pytest.raises(TypeError, match="positional"):
        Changes("ws").create_shot("ws", "Shot 1")  # type: ignore[misc]


@pytest.mark.parametrize("kind", [AssetService, BlockingAssetService, Studio])
@pytest.mark.parametrize("given", ["Jörg", "a\nb", "x" * 65])
def test_a_client_that_no_server_would_show_is_refused(kind: Any, given: str) -> None:
    assert kind(client="x" * MAX_CLIENT)
    with pytest.raises(ValueError, match=r"^client: "):
        kind(client=given)


@pytest.mark.parametrize("kind", [AssetService, BlockingAssetService, Studio])
@pytest.mark.parametrize("given", ["", "secrät", "secret\n"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated(kind: Any, given: str) -> None:
    with pytest.raises(ValueError, match=r"^token: ") as refused:
        kind(token=given)
    assert "secr" not in str(refused.value)


def test_metadata_keeps_what_json_can_hold() -> None:
    text = asking.json_text(
        {
            "seed": 2**53,
            "ratio": 1.5,
            "exact": Decimal("1.10"),
            "ref": UUID(ID),
            "name": 'café "x"',
            "flags": [True, None, (1, 2)],
            "nested": {"price": Decimal("0.500"), 7: "seven"},
        }
    )
    assert '"exact":1.10' in text
    assert '"price":0.500' in text
    assert json.loads(text) == {
        "seed": 2**53,
        "ratio": 1.5,
        "exact": 1.1,
        "ref": ID,
        "name": 'café "x"',
        "flags": [True, None, [1, 2]],
        "nested": {"price": 0.5, "7": "seven"},
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"score": math.nan}, ValueError),
        ({"deep": [{"score": math.inf}]}, ValueError),
        ({"price": Decimal("NaN")}, ValueError),
        ({"price": Decimal(1), "score": math.nan}, ValueError),
        ({"when": datetime.now(UTC)}, TypeError),
        ({"raw": b"x"}, TypeError),
        ([1], TypeError),
        ("{}", TypeError),
    ],
)
def test_metadata_that_is_no_json_object_is_refused_before_it_is_sent(given: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        asking.create_asset("shot", "Shot", metadata=given)


def test_ids_are_text_or_uuid() -> None:
    identity = uuid4()
    assert asking.id_text(identity) == str(identity)
    assert asking.link_shot_assets(identity, characters=[identity, ID]).links.characters == [str(identity), ID]
    with pytest.raises(TypeError):
        asking.id_text(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a list of ids"):
        asking.link_shot_assets(ID, characters=ID)


def test_none_takes_away_and_nothing_leaves_as_it_is() -> None:
    untouched = asking.update_asset(ID)
    assert not untouched.HasField("url")
    assert not untouched.HasField("generation_cost")
    assert not untouched.HasField("duration_seconds")
    assert not untouched.clear_duration
    assert untouched.metadata_json == ""
    cleared = asking.update_asset(ID, url=None, duration=None, generation_cost=None, metadata={})
    assert cleared.HasField("url")
    assert cleared.url == ""
    assert cleared.generation_cost == ""
    assert cleared.clear_duration
    assert cleared.metadata_json == "{}"
    assert repr(UNCHANGED) == "UNCHANGED"


def test_modes_and_orders_go_by_their_names() -> None:
    assert asking.update_asset(ID, mode="replace_top_level").mode == pb.UPDATE_MODE_REPLACE_TOP_LEVEL
    assert asking.update_asset(ID).mode == pb.UPDATE_MODE_MERGE_PATCH
    assert asking.list_assets(order="name").order == pb.ASSET_ORDER_NAME
    with pytest.raises(ValueError, match="none of merge_patch, replace_top_level"):
        asking.update_asset(ID, mode="shallow")  # type: ignore[arg-type]


def test_a_move_has_one_place() -> None:
    assert asking.move_relationship(ID, ID, "contains_shot", position=2).position == 2
    for places in ({}, {"after": ID, "position": 1}):
        with pytest.raises(ValueError, match="one of after, before and position"):
            asking.move_relationship(ID, ID, "contains_shot", **places)  # type: ignore[arg-type]


def test_times_need_their_zone() -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert asking.list_assets(created_from=noon).created_from.ToDatetime(UTC) == noon
    with pytest.raises(ValueError, match="time zone"):
        asking.list_assets(created_before=datetime(2026, 5, 1))


def test_an_asset_has_both_metadata_keys_and_exact_money() -> None:
    noon = Timestamp()
    noon.FromDatetime(datetime(2026, 5, 1, 12, tzinfo=UTC))
    asset = reading.asset(
        pb.Asset(
            id=ID,
            type="video",
            metadata_json='{"fps": 24, "gamma": 2.2}',
            duration_seconds=8.2,
            generation_cost="0.50",
            create_time=noon,
            update_time=noon,
        )
    )
    assert asset["metadata"] is asset["asset_metadata"]
    assert asset["metadata"] == {"fps": 24, "gamma": 2.2}
    assert isinstance(asset["metadata"]["fps"], int)
    assert asset["generation_cost"] == Decimal("0.50")
    assert str(asset["generation_cost"]) == "0.50"
    assert asset["duration"] == 8.2
    assert asset["url"] is None
    assert asset["create_time"] == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_temporary_ids_stand_for_what_comes_to_be() -> None:
    changes = Changes("ws")
    film = changes.create_asset("film", "Harbour")
    shot = changes.create_shot("Shot 1", parent_id=film)
    update = changes.update_asset(film, name="Harbour at Night")
    assert [film, shot, update] == ["$1", "$2", "$3"]
    sent = changes._request(None).changes
    assert [each.temp_id for each in sent] == ["$1", "$2", ""]
    assert sent[1].create_shot.parent_asset_id == "$1"
    assert len(changes) == 3


def test_every_code_has_its_exception() -> None:
    for code in Code:
        error = errors.of_fault(Fault(code, "REASON", "words", metadata={"a": "b"}, fields={"f": "rule"}))
        assert error.code == code.name
        assert type(error) is not errors.ShotlineError
        assert (error.reason, error.message, error.details, error.fields) == (
            "REASON",
            "words",
            {"a": "b"},
            {"f": "rule"},
        )
        assert str(error) == "REASON: words"
        assert error.metadata is error.details


def test_a_conflict_carries_what_is_there_now() -> None:
    document = {
        "id": ID,
        "workspace_id": "ws",
        "type": "shot",
        "name": "Shot",
        "url": None,
        "duration": 3,
        "generation_cost": "0.50",
        "metadata": {"prompt": "dusk"},
        "etag": "e" * 32,
        "create_time": "2026-05-01T12:00:00.5Z",
        "update_time": "2026-05-01T12:00:00Z",
    }
    current = Current(etag="e" * 32, document_json=json.dumps(document))
    error = errors.of_fault(Fault(Code.ABORTED, "ETAG_MISMATCH", "stale", current=current))
    assert isinstance(error, errors.Conflict)
    assert error.current_etag == "e" * 32
    assert error.current is not None
    assert error.current["metadata"] == error.current["asset_metadata"] == {"prompt": "dusk"}
    assert error.current["generation_cost"] == Decimal("0.50")
    assert error.current["create_time"] == datetime(2026, 5, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert isinstance(error.current["duration"], float)


def test_errors_travel_between_processes() -> None:
    error = errors.of_fault(
        Fault(Code.ABORTED, "ETAG_MISMATCH", "stale", current=Current(etag="e", document_json='{"id": "s1"}'))
    )
    error.request_id = ID
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, errors.Conflict)
    assert (again.current, again.current_etag, again.request_id, str(again)) == ({"id": "s1"}, "e", ID, str(error))


def test_the_blocking_twin_has_every_method() -> None:
    def surface(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    assert len(surface(AssetService)) > 25
    assert surface(AssetService) == surface(BlockingAssetService)


@pytest.mark.parametrize("kind", [AssetService, BlockingAssetService])
def test_a_database_session_is_refused_with_the_remedy(kind: type[AssetService] | type[BlockingAssetService]) -> None:
    with pytest.raises(TypeError, match="not to a database: a dict cannot be used"):
        kind({})  # type: ignore[arg-type]


def test_every_call_of_the_contracts_has_its_method() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(client.__file__).parent.glob("*.py"))
    called = set(re.findall(r"stub\.(\w+)", source))
    graph = {method.name for method in pb.DESCRIPTOR.services_by_name["AssetGraphService"].methods}
    studio = {method.name for method in studio_pb.DESCRIPTOR.services_by_name["StudioService"].methods}
    assert len(graph) > 25
    # Python has methods where a page has channels.
    assert graph | studio - {"Invoke"} <= called


def test_the_class_says_what_wants_async_for_and_how_a_scene_gets_into_a_film() -> None:
    told = inspect.cleandoc(AssetService.__doc__ or "")
    (lists,) = (part for part in told.split("\n\n") if "`async for`" in part)
    methods = inspect.getmembers(AssetService, inspect.isfunction)
    pages = {name for name, method in methods if inspect.isasyncgenfunction(inspect.unwrap(method))}
    assert set(re.findall(r"`(list_\w+)`", lists)) == pages - {"_pages", "batch"}
    assert "`rules()`" in told
    assert 'create_relationship(film_id, scene_id, "contains_scene")' in told


def test_every_exception_can_be_imported_from_the_package() -> None:
    kinds = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert len(kinds) > 12
    assert kinds <= set(client.__all__)
    assert all(getattr(client, name) is getattr(errors, name) for name in kinds)
