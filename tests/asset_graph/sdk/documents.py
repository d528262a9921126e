"""The Python examples of documents, and how they are run as they are printed."""

import ast
import asyncio
import inspect
import re
from collections.abc import Mapping
from typing import Any


def blocks(text: str) -> list[tuple[str, str]]:
    """The Python blocks, each with the last second-level heading above it."""
    found = []
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        heading = re.findall(r"^## (.*)$", text[: match.start()], re.MULTILINE)[-1]
        found.append((heading, match[1]))
    return found


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Each at least once."""
    for printed, meant in replacements.items():
        assert printed in text, printed
        text = text.replace(printed, meant)
    return text


async def run(source: str, names: dict[str, Any]) -> None:
    """Run statements with and into `names`: those that await in this event loop, others in a thread."""
    code = compile(source, "document", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        await asyncio.to_thread(exec, code, names)
