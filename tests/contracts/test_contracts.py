"""The contracts: every reason that the code gives is in one, and every service has its retry policy."""

import ast
import json
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest
from shotline.asset_graph.v1 import asset_graph_service_pb2
from shotline.asset_graph.v1 import errors_pb2 as asset_graph_errors
from shotline.sequence_file.v1 import errors_pb2 as sequence_file_errors
from shotline.sequence_file.v1 import sequence_file_service_pb2
from shotline.session.v1 import session_service_pb2
from shotline.studio.v1 import errors_pb2 as studio_errors
from shotline.studio.v1 import studio_service_pb2

from gateway.backends import AssetGraph, RemoteAssetGraph, RemoteSequenceFiles
from services.asset_graph.servicer import AssetGraphServicer
from services.sequence_file.servicer import SequenceFileServicer

ROOT = Path(__file__).parents[2]
CONTRACTS = [asset_graph_service_pb2, sequence_file_service_pb2, session_service_pb2, studio_service_pb2]
PREFIX = "ERROR_REASON_"


def reasons_in(*folders: str) -> set[str]:
    """The reasons of all faults that are made below the folders: the second argument of each Fault(…)."""
    found = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fault" and len(node.args) > 1:
                    reason = node.args[1]
                    if isinstance(reason, ast.Constant):
                        found.add(str(reason.value))
    return found


def words_in(*folders: str) -> set[object]:
    """All constants of the code below the folders."""
    trees = (ast.parse(path.read_text()) for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def stated(module: object) -> set[str]:
    names = module.ErrorReason.DESCRIPTOR.values_by_name  # type: ignore[attr-defined]
    return {name.removeprefix(PREFIX) for name in names} - {"UNSPECIFIED"}


def test_every_reason_of_the_sequence_files_is_in_their_contract() -> None:
    used = reasons_in("services/sequence_file", "services/kernel")
    assert len(used) > 15
    assert used <= stated(sequence_file_errors)


def test_every_reason_of_the_asset_graph_is_in_its_contract() -> None:
    used = reasons_in("services/asset_graph", "services/kernel")
    assert len(used) > 15
    assert used <= stated(asset_graph_errors) | stated(studio_errors)  # a call that is late is late in any process


def test_every_reason_that_a_contract_states_is_given() -> None:
    assert stated(asset_graph_errors) <= words_in("services/asset_graph", "services/kernel")
    assert stated(sequence_file_errors) <= words_in("services/sequence_file", "services/kernel")
    assert stated(studio_errors) <= words_in("services/runtime", "services/kernel", "gateway")


def test_every_reason_of_the_gateway_and_the_runtime_is_in_the_studio_contract() -> None:
    used = reasons_in("services/runtime", "gateway", "services/kernel")
    assert len(used) > 5
    assert used <= stated(studio_errors) | stated(sequence_file_errors) | stated(asset_graph_errors)


@pytest.mark.parametrize("module", CONTRACTS, ids=lambda module: module.DESCRIPTOR.package)
def test_reads_and_mutations_with_a_request_id_are_retried_and_nothing_else(module: object) -> None:
    package = module.DESCRIPTOR.package  # type: ignore[attr-defined]
    config = json.loads((files(import_module(package)) / "service_config.json").read_text())
    ((_, service),) = module.DESCRIPTOR.services_by_name.items()  # type: ignore[attr-defined]
    retried = {name["method"] for each in config["methodConfig"] for name in each["name"]}
    assert all(name["service"] == service.full_name for each in config["methodConfig"] for name in each["name"])
    reads_only = {m.name for m in service.methods if m.GetOptions().idempotency_level == 1}
    with_id = {m.name for m in service.methods if "request_id" in m.input_type.fields_by_name}
    assert retried == reads_only | with_id
    # CANCELLED is what a client sees of a call that a stopping server had taken in but not begun.
    codes = [each["retryPolicy"]["retryableStatusCodes"] for each in config["methodConfig"]]
    assert codes == [["UNAVAILABLE", "CANCELLED"]]
    assert all("timeout" not in each for each in config["methodConfig"])  # it fires early, and only at the client


@pytest.mark.parametrize("module", CONTRACTS, ids=lambda module: module.DESCRIPTOR.package)
def test_what_carries_a_request_id_can_be_sent_twice_and_everything_else_only_reads(module: object) -> None:
    ((_, service),) = module.DESCRIPTOR.services_by_name.items()  # type: ignore[attr-defined]
    for method in service.methods:
        if method.server_streaming or method.name == "Invoke":  # which is whatever its channel is
            continue
        idempotent = method.GetOptions().idempotency_level == 2
        assert idempotent == ("request_id" in method.input_type.fields_by_name), method.full_name
        assert idempotent or method.GetOptions().idempotency_level == 1, method.full_name


def test_the_gateway_has_every_method_of_the_sequence_files() -> None:
    for method in sequence_file_service_pb2.DESCRIPTOR.services_by_name["SequenceFileService"].methods:
        assert callable(vars(RemoteSequenceFiles)[method.name])
        assert callable(vars(SequenceFileServicer)[method.name])


def test_what_the_gateway_composes_of_the_asset_graph_is_there_in_both_shapes() -> None:
    composed = {name for name in vars(AssetGraph) if name[0].isupper()}
    assert "WatchChanges" in composed
    contract = {m.name for m in asset_graph_service_pb2.DESCRIPTOR.services_by_name["AssetGraphService"].methods}
    assert composed <= contract
    for name in composed:
        assert callable(vars(RemoteAssetGraph)[name])
        assert callable(getattr(AssetGraphServicer, name))


@pytest.mark.parametrize("module", CONTRACTS, ids=lambda module: module.DESCRIPTOR.package)
def test_free_form_json_is_text_never_bytes_or_struct(module: object) -> None:
    for message in module.DESCRIPTOR.message_types_by_name.values():  # type: ignore[attr-defined]
        for field in message.fields:
            assert field.name.endswith("_json") <= (field.type == field.TYPE_STRING), field.full_name
            assert not field.message_type or field.message_type.full_name != "google.protobuf.Struct"
