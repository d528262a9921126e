"""What another workspace holds does not exist, whoever asks in whatever way."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.kernel.faults import Fault
from tests.asset_graph.changes.graph import NOWHERE, everything, made, refused, revision
from tests.asset_graph.changes.test_requests import every_mutation
from tests.asset_graph.reads.serving import METHODS, Client, Serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def anne(server: Serving) -> Client:
    client = server.anne  # holds the workspace a
    client.workspace = "a"
    return client


@pytest.fixture
def bert(server: Serving) -> Client:
    client = server.bert  # holds the workspace b
    client.workspace = "b"
    return client


def ids_of(message: Message) -> list[tuple[Message, FieldDescriptor, int]]:
    """Where ids stand in a request: the message, its field, and the place in a list."""
    found = []
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in value if field.is_repeated else [value]:
                found += ids_of(each)
        elif field.type == FieldDescriptor.TYPE_STRING:
            for place, text in enumerate(value if field.is_repeated else [value]):
                try:
                    UUID(text)
                except ValueError:
                    continue
                found.append((message, field, place))
    return found


def put(message: Message, field: FieldDescriptor, place: int, text: str) -> str:
    """Another id in place of one; returns that."""
    if field.is_repeated:
        old: str = getattr(message, field.name)[place]
        getattr(message, field.name)[place] = text
    else:
        old = getattr(message, field.name)
        setattr(message, field.name, text)
    return old


async def test_the_assets_of_another_workspace_do_not_exist_for_any_change(
    anne: Client, bert: Client, operator: asyncpg.Connection
) -> None:
    requests = await every_mutation(anne)
    requests["ApplyChanges"]["changes"] = [
        {"update_asset": requests["UpdateAsset"]},
        {"create_shot_take": requests["CreateShotTake"]},
    ]
    before = await everything(operator)
    for method, fields in requests.items():
        if "workspace_id" in fields:
            await refused(getattr(bert, method)(**fields), "PERMISSION_DENIED", "WORKSPACE_NOT_ALLOWED")
            fields = {**fields, "workspace_id": "b"}
        request = GetMessageClass(METHODS[method].input_type)(**fields)
        places = ids_of(request)
        if not places:
            continue
        foreign = await _fault(bert, method, request)
        for place in places:
            put(*place, NOWHERE)
        made_up = await _fault(bert, method, request)
        assert (foreign.code, foreign.reason) == (made_up.code, made_up.reason), method
        assert foreign.reason in ("ASSET_NOT_FOUND", "RELATIONSHIP_NOT_FOUND"), method
        assert _without_ids(foreign.message) == _without_ids(made_up.message), method
    assert await everything(operator) == before


async def test_a_busy_workspace_does_not_tell_others_of_its_assets(
    anne: Client, bert: Client, operator: asyncpg.Connection
) -> None:
    film = await made(anne, "film")
    async with operator.transaction():
        await operator.execute("SELECT FROM workspaces WHERE id = 'a' FOR UPDATE")
        waiting = asyncio.create_task(anne.UpdateAsset(id=film, name="changed"))
        await asyncio.sleep(0.2)  # by then the server has met the asset and its workspace
        assert not waiting.done()
        for _ in range(2):
            while_busy = await refused(bert.UpdateAsset(id=film, name="x", timeout=2), "NOT_FOUND", "ASSET_NOT_FOUND")
    assert (await waiting).name == "changed"
    afterwards = await refused(bert.UpdateAsset(id=film, name="x"), "NOT_FOUND", "ASSET_NOT_FOUND")
    made_up = await refused(bert.UpdateAsset(id=NOWHERE, name="x"), "NOT_FOUND", "ASSET_NOT_FOUND")
    assert _without_ids(while_busy.message) == _without_ids(afterwards.message) == _without_ids(made_up.message)


async def test_no_relationship_joins_two_workspaces(
    client: Client, anne: Client, bert: Client, operator: asyncpg.Connection
) -> None:
    own, foreign = await every_mutation(anne), await every_mutation(bert)
    before = await everything(operator)
    for method in ("CreateRelationship", "LinkShotAssets", "SelectTake", "MoveRelationship"):
        request = GetMessageClass(METHODS[method].input_type)(**own[method])
        other = GetMessageClass(METHODS[method].input_type)(**foreign[method])
        for (message, field, place), theirs in zip(ids_of(request), ids_of(other), strict=True):
            text = getattr(theirs[0], theirs[1].name)
            was = put(message, field, place, text[theirs[2]] if field.is_repeated else text)
            for caller in (anne, client):  # the second one may see both
                with pytest.raises(Fault) as caught:
                    await getattr(caller, method)(request)
                assert caught.value.code.name == "NOT_FOUND", (method, field.name)
            put(message, field, place, was)
    assert await everything(operator) == before


async def test_a_workspace_comes_to_be_when_something_is_made_in_it(
    client: Client, operator: asyncpg.Connection
) -> None:
    name = f"{client.workspace}.new"
    await refused(client.CreateAsset(workspace_id=name, type="planet", name="x"), "INVALID_ARGUMENT", "INVALID_FIELD")
    await refused(
        client.ApplyChanges(workspace_id=name, changes=[{"delete_asset": {"id": NOWHERE}}]),
        "NOT_FOUND",
        "ASSET_NOT_FOUND",
    )
    assert await operator.fetchval("SELECT count(*) FROM workspaces WHERE id = $1", name) == 0
    await client.CreateAsset(workspace_id=name, type="film", name="x")
    assert await revision(operator, name) == 1


async def _fault(client: Client, method: str, request: Message) -> Fault:
    with pytest.raises(Fault) as caught:
        await getattr(client, method)(request)
    return caught.value


def _without_ids(text: str) -> str:
    return " ".join(word for word in text.split() if word.count("-") != 4)
