"""ASGI middleware that keeps other web sites from using a server on the user's own computer.

Any web site can make a visitor's browser send requests to 127.0.0.1 (cross-site request forgery).
`Origin` and `Sec-Fetch-Site` reveal those. A site that points its own DNS entry at 127.0.0.1 (DNS
rebinding) could even read the responses: Starlette's `TrustedHostMiddleware` refuses its `Host`.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpa.serving.request_limits import refusal

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Content of the page: its own files, from and to its own server."""
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
SAFE_METHODS = ("GET", "HEAD")


class OriginGuard:
    """Refuse cross-origin requests with 403, and add security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        reason = _reason_to_refuse(scope["method"], Headers(scope=scope))
        app = refusal(403, reason) if reason else self._app
        await app(scope, receive, send_with_headers)


def _reason_to_refuse(method: str, headers: Headers) -> str | None:
    if method in SAFE_METHODS:
        return None
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return f"a page of {origin} may not send requests here"
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "another page may not send requests here"
    return None
