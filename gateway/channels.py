"""The table of IPC channels, and the one dispatcher that Invoke and `POST /ipc/<channel>` share.

Arguments come as a JSON object of named ones or a JSON array of positional ones, `options` last and
optional.
"""

import re
from collections.abc import Mapping

import orjson

from gateway import film_channels, history_channels, shot_channels, structure_channels
from gateway.arguments import bind
from gateway.channel import Channel, failed
from gateway.compose import Studio
from services.kernel.faults import Code, Fault
from services.runtime.wire import MAX_MESSAGE, too_large

CHANNELS: Mapping[str, Channel] = {
    **shot_channels.CHANNELS,
    **structure_channels.CHANNELS,
    **history_channels.CHANNELS,
    **film_channels.CHANNELS,
}

_SNAKE = re.compile("_([a-z])")


class Channels:
    """Answers channels by name."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def call(self, name: str, arguments_json: str) -> bytes:
        """The envelope of a call that succeeded. Raises Fault."""
        if (channel := CHANNELS.get(name)) is None:
            raise Fault(
                Code.NOT_FOUND, "UNKNOWN_CHANNEL", f"no channel {name[:100]!r}; there are {', '.join(CHANNELS)}"
            )
        arguments = bind(arguments_json, channel.arguments, channel.options, channel.levels)
        try:
            payload = await channel.answer(self._studio, arguments)
        except Fault as fault:
            raise _in_words_of_the_caller(fault, channel.words) from None
        envelope = orjson.dumps({"success": True, **payload})
        if len(envelope) > MAX_MESSAGE:
            raise too_large(len(envelope))
        return envelope

    async def invoke(self, name: str, arguments_json: str) -> bytes:
        """The envelope of a call, failed or not."""
        try:
            return await self.call(name, arguments_json)
        except Fault as fault:
            return failed(fault)


def _in_words_of_the_caller(fault: Fault, words: Mapping[str, str]) -> Fault:
    """A fault of a service, its request fields called as the channel calls them."""
    told = fault.again()
    told.fields.clear()
    for field, rule in fault.fields.items():
        word = words.get(field) or _camel(field)
        told.fields[word] = rule
        told.message = told.message.replace(f"{field}: ", f"{word}: ", 1)
    return told


def _camel(field: str) -> str:
    name, json, members = field.partition("_json.")
    if json:
        return f"{_camel(name)}.{members}"  # which are called as in the document
    return _SNAKE.sub(lambda found: found[1].upper(), field.replace("_json", ""))
