"""What stands between the network and an app: requests in measure, and an answer to each.

MLflow's scoring server and the page's framework read a request's body whole, whatever its size.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

N_AT_WORK = 2
"""Requests worked on at once; the others wait with their body read."""
N_BODIES = 4
"""Bodies of the greatest size that may wait in memory, all clients together."""
MAX_UPLOAD_S = 60.0
"""A client that takes longer to send its body gives its place to others."""
MAX_IDLE_S = 10.0
"""And so does one that sends nothing for so long."""
MAX_HEAD_BYTES = 32 * 2**10
"""Address and headers together: more than any browser sends."""


class Doorman:
    """ASGI middleware: bounds bodies, memory and time, and turns malformed requests into 4xx."""

    def __init__(self, app: App, *, max_bytes: int, content_types: tuple[str, ...]) -> None:
        """Stand before `app`.

        Args:
            app: the ASGI app.
            max_bytes: of a body.
            content_types: beginnings of the Content-Type that a body may have.
        """
        self._app, self._max_bytes, self._content_types = app, max_bytes, content_types
        self._held = 0
        self._at_work = asyncio.Semaphore(N_AT_WORK)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and _head_bytes(scope) > MAX_HEAD_BYTES:
            await _answer(send, 431, f"address and headers above {MAX_HEAD_BYTES:,} bytes")
            return
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if refusal := self._refuse_headers(dict(scope["headers"])):
                await _answer(send, *refusal)
                return
            try:
                async with asyncio.timeout(MAX_UPLOAD_S):
                    refusal = await self._read(receive, body)
            except TimeoutError:
                refusal = 408, f"the body paused for {MAX_IDLE_S:g} s or took {MAX_UPLOAD_S:g} s"
            if refusal:
                await _answer(send, *refusal)
                return
            async with self._at_work:
                await self._pass_on(scope, body, receive, send)
        finally:
            self._held -= len(body)

    def _refuse_headers(self, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        content_type = headers.get(b"content-type", b"").decode("latin-1").lower()
        if not content_type.startswith(self._content_types):
            known = " or ".join(self._content_types)
            return 415, f"expected Content-Type {known}, received {content_type or 'none'}"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 20:
            return 400, "Content-Length is no number"
        return self._too_large(int(length)) if int(length) > self._max_bytes else None

    async def _read(self, receive: Receive, body: bytearray) -> tuple[int, str] | None:
        """Collect the body; returns status and reason where it is too large or breaks off."""
        more = True
        while more:
            async with asyncio.timeout(MAX_IDLE_S):
                message = await receive()
            if message["type"] == "http.disconnect":
                return 400, "the request broke off"
            chunk = message.get("body", b"")
            if len(body) + len(chunk) > self._max_bytes:
                return self._too_large(len(body) + len(chunk))
            if self._held + len(chunk) > N_BODIES * self._max_bytes:
                return 429, "too many large requests at once; try again in a moment"
            body += chunk
            self._held += len(chunk)
            more = message.get("more_body", False)
        return None

    async def _pass_on(self, scope: Message, body: bytearray, receive: Receive, send: Send) -> None:
        """Run the app with the body read; what it cannot parse is the client's mistake."""
        given, started = False, False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, replay, watch)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            if started:
                raise
            logging.getLogger(__name__).warning("malformed request: %r", error)
            await _answer(send, 400, f"malformed request: {type(error).__name__}")

    def _too_large(self, n_bytes: int) -> tuple[int, str]:
        allowed = self._max_bytes / 1e6
        return 413, f"{n_bytes / 1e6:,.1f} MB or more are too large (at most {allowed:g} MB)"


def _head_bytes(scope: Message) -> int:
    address = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    return address + sum(len(name) + len(value) for name, value in scope["headers"])


async def _answer(send: Send, status: int, reason: str) -> None:
    """Refuse with a reason, and close: what is left of the body is not read."""
    content = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
