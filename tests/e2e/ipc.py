"""A client of `POST /ipc/<channel>` on one keep-alive connection, as a desktop's main process is."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

# JSON that a test asserts on member by member: a type for it would only repeat the assertions.
Envelope = dict[str, Any]


class Ipc:
    """One connection. Not for several threads at once."""

    def __init__(self, url: str, token: str) -> None:
        self._token = token
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def call(self, channel: str, arguments: object, **headers: str) -> tuple[int, Envelope]:
        """The HTTP status and the envelope. OSError or HTTPException when the server goes away meanwhile."""
        sent = {"authorization": f"Bearer {self._token}", "content-type": "application/json", **headers}
        try:
            self._connection.request("POST", f"/ipc/{channel}", json.dumps(arguments).encode(), sent)
            response = self._connection.getresponse()
            status, body = response.status, response.read()
        except BaseException:
            self._connection.close()
            raise
        envelope: Envelope = json.loads(body)
        return status, envelope

    def close(self) -> None:
        self._connection.close()
