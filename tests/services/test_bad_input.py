"""Whatever is sent, through whichever door: the promised answer, in a second, and nothing is touched."""

from collections.abc import Iterator

import pytest

from tests.services.bad_input_table import Row, rows
from tests.services.doors import DOORS, Ask, Door
from tests.services.system import Scene

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _cases() -> Iterator[object]:
    for row in rows():
        for number, ask in enumerate(row.asks, 1):
            for door in DOORS:
                if door.kind in row.kinds and door.expresses(ask):
                    yield pytest.param(row, ask, door, id=f"{row.name}-{ask.method} {number}-{door.name}")


@pytest.mark.parametrize(("row", "ask", "door"), [*_cases()])
async def test_bad_input_gets_the_answer_that_is_promised(scene: Scene, row: Row, ask: Ask, door: Door) -> None:
    if row.given:
        await row.given(scene)
    before = scene.state()
    answer = await scene.ask(door, ask)
    assert scene.state() == before
    assert (answer.code, answer.reason) == (row.code, row.reason_at(door)), answer.message
    assert answer.metadata.items() >= row.metadata.items()
    if row.pointer is not None:
        assert answer.metadata["pointer"] == ("/updates" if door.kind == "ipc" else "") + row.pointer
    if row.field:
        assert row.field.removesuffix("_json" if door.kind == "ipc" else "?") in {
            name.removesuffix("_json" if door.kind == "ipc" else "?") for name in answer.fields
        }
    for words in row.says:
        assert words in answer.message
    assert (answer.retry_after is not None) == row.retry
