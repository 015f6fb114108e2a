"""Who may talk to a server on one's own computer: the page itself, and no other page.

Any web site can make a visitor's browser send requests to 127.0.0.1, and by changing its own DNS
entry (DNS rebinding) it can even read the answers. The first is told by Origin and Sec-Fetch-Site,
the second by Host, which a browser fills in from the address bar.
"""

import json
from typing import Any

from hpa.serving.request_limits import App, Message, Receive, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load and send: its own files, from and to its own server."""
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
SAFE_METHODS = ("GET", "HEAD")


class Gatekeeper:
    """ASGI middleware: refuses foreign hosts and origins, and tells browsers what they may do."""

    def __init__(self, app: App, *, allowed_hosts: tuple[str, ...]) -> None:
        """Stand before `app`, which answers to the names `allowed_hosts`, on any port."""
        self._app, self._allowed_hosts = app, allowed_hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _completed(message.get("headers", []))
            await send(message)

        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        if reason := self._refusal(scope["method"], headers):
            await _refuse(send_guarded, reason)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: dict[str, str]) -> str | None:
        host = headers.get("host", "")
        if _without_port(host) not in self._allowed_hosts:
            known = " or ".join(self._allowed_hosts)
            return f"this page answers to {known}, not to {host!r} (app.allowed_hosts)"
        if method in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return f"a page of {origin} may not send anything here"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "another page may not send anything here"
        return None


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()


def _completed(headers: Any) -> list[tuple[bytes, bytes]]:
    """Add the headers that a response does not set itself."""
    given = {key.lower() for key, _ in headers}
    return [
        *headers,
        *((k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in given),
    ]


async def _refuse(send: Send, reason: str) -> None:
    content = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": content})
