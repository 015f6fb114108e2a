"""ASGI middleware that limits body size, concurrency and time.

MLflow's scoring server and FastAPI read a whole body into memory, whatever its size.
"""

import asyncio
import logging
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

N_CONCURRENT = 2
"""Requests processed at once; further ones wait with their body read."""
N_BODIES = 4
"""Bodies of the greatest size that may wait in memory, of all clients together."""
MAX_UPLOAD_S = 60.0
"""Time to send a body."""
MAX_IDLE_S = 10.0
"""Time between two pieces of a body."""
MAX_HEAD_BYTES = 32 * 2**10
"""Address and headers together: more than any browser sends."""
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""Errors of an app that could not parse the body."""


class RequestLimits:
    """Refuse requests that are too large, too slow, too many or malformed with 4xx."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        content_types: tuple[str, ...],
        check: Callable[[bytes], str] = lambda body: "",
    ) -> None:
        """Wrap `app`.

        Args:
            app: receives the requests that are accepted.
            max_bytes: of a body.
            content_types: prefixes of Content-Type that a body may have.
            check: returns why a whole body is refused, or "".
        """
        self._app, self._max_bytes, self._content_types = app, max_bytes, content_types
        self._check = check
        self._n_held_bytes = 0
        self._slots = asyncio.Semaphore(N_CONCURRENT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            await self._handle(scope, receive, send, body)
        finally:
            self._n_held_bytes -= len(body)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, body: bytearray) -> None:
        has_body = scope["method"] not in WITHOUT_BODY
        try:
            _check_head(scope)
            if has_body:
                self._check_headers(Headers(scope=scope))
                await self._read(receive, body)
        except HTTPException as error:
            await refusal(error.status_code, error.detail)(scope, receive, send)
            return
        if not has_body:
            await self._app(scope, receive, send)
            return
        async with self._slots:
            if reason := await run_in_threadpool(self._check, bytes(body)):
                await refusal(400, reason)(scope, receive, send)
                return
            await self._pass_on(scope, body, receive, send)

    def _check_headers(self, headers: Headers) -> None:
        content_type = headers.get("content-type", "").lower()
        if not content_type.startswith(self._content_types):
            known = " or ".join(self._content_types)
            raise HTTPException(
                415, f"expected Content-Type {known}, received {content_type or 'none'}"
            )
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or len(length) > 20:
            raise HTTPException(400, "Content-Length is not a number")
        self._check_size(int(length))

    async def _read(self, receive: Receive, body: bytearray) -> None:
        """Append the request's body to `body`, within the limits of size and time."""
        try:
            async with asyncio.timeout(MAX_UPLOAD_S):
                while await self._read_chunk(receive, body):
                    pass
        except TimeoutError as error:
            reason = f"the body paused for {MAX_IDLE_S:g} s or took {MAX_UPLOAD_S:g} s"
            raise HTTPException(408, reason) from error

    async def _read_chunk(self, receive: Receive, body: bytearray) -> bool:
        """Append a piece of the body; return whether more follows."""
        async with asyncio.timeout(MAX_IDLE_S):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the client disconnected")
        chunk = message.get("body", b"")
        self._check_size(len(body) + len(chunk))
        if self._n_held_bytes + len(chunk) > N_BODIES * self._max_bytes:
            raise HTTPException(429, "too many large requests at once; try again in a moment")
        body += chunk
        self._n_held_bytes += len(chunk)
        return bool(message.get("more_body", False))

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._max_bytes:
            allowed = self._max_bytes / 1e6
            reason = f"{n_bytes / 1e6:,.1f} MB or more are too large (at most {allowed:g} MB)"
            raise HTTPException(413, reason)

    async def _pass_on(self, scope: Scope, body: bytearray, receive: Receive, send: Send) -> None:
        """Run the app on the body; a body that it cannot parse is the client's mistake."""
        replayed, started = False, False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, replay, watch)
        except MALFORMED as error:
            if started:
                raise
            logging.getLogger(__name__).warning("malformed request: %r", error)
            reason = f"malformed request: {type(error).__name__}"
            await refusal(400, reason)(scope, receive, send)


def refusal(status: int, reason: str) -> JSONResponse:
    """Return an error response that closes the connection: the rest of the body is not read."""
    return JSONResponse({"error": reason}, status, headers={"connection": "close"})


def _check_head(scope: Scope) -> None:
    address = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    n_bytes = address + sum(len(name) + len(value) for name, value in scope["headers"])
    if n_bytes > MAX_HEAD_BYTES:
        raise HTTPException(431, f"address and headers above {MAX_HEAD_BYTES:,} bytes")
