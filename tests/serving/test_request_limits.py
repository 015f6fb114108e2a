import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from hpa.serving.request_limits import RequestLimits

HEADERS = {"content-type": "application/json"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    if body == b"bad":
        raise RecursionError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def post(app: RequestLimits, content: object, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/", content=content, headers=HEADERS | headers)  # type: ignore[arg-type]

    return asyncio.run(send())


@pytest.fixture
def limited() -> RequestLimits:
    return RequestLimits(echo, max_bytes=1000, content_types=("application/json",))


def test_a_body_within_the_limits_passes_unchanged(limited: RequestLimits) -> None:
    assert post(limited, b"x" * 1000).content == b"x" * 1000


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"x" * 1001, {}, 413),
        (b"x", {"content-type": "text/csv"}, 415),
        (b"bad", {}, 400),
        (b"x", {"content-length": "many"}, 400),
        (b"x", {"content-length": "9" * 5000}, 400),
        (b"x", {"cookie": "a" * 40_000}, 431),
    ],
)
def test_a_request_beyond_a_limit_is_refused_with_a_reason(
    limited: RequestLimits, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = post(limited, content, **headers)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_stream_without_a_length_ends_at_the_limit(limited: RequestLimits) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 100
            yield b"x" * 100

    assert post(limited, endless()).status_code == 413
    assert sent <= 2000


def test_a_client_that_stops_sending_gets_a_timeout(
    limited: RequestLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa.serving.request_limits.MAX_IDLE_S", 0.05)

    async def pausing() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    response = post(limited, pausing())
    assert response.status_code == 408
    assert "paused" in response.json()["error"]


def test_bodies_release_their_share_of_memory_when_done(limited: RequestLimits) -> None:
    for _ in range(20):  # 20 × 1,000 bytes would exceed the limit of 4,000
        assert post(limited, b"x" * 1000).status_code == 200
        assert post(limited, b"bad").status_code == 400
