import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from hpa.serving.request_limits import Doorman, Message, Receive, Send

HEADERS = {"content-type": "application/json"}


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    if body == b"bad":
        raise RecursionError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(doorman: Doorman, content: object, **headers: str) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(doorman)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/", content=content, headers=HEADERS | headers)  # type: ignore[arg-type]

    return asyncio.run(post())


@pytest.fixture
def doorman() -> Doorman:
    return Doorman(echo, max_bytes=1000, content_types=("application/json",))


def test_a_body_in_measure_passes_unchanged(doorman: Doorman) -> None:
    assert ask(doorman, b"x" * 1000).content == b"x" * 1000


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
def test_what_is_out_of_measure_is_refused_with_a_reason(
    doorman: Doorman, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = ask(doorman, content, **headers)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_stream_without_a_length_is_cut_at_the_limit(doorman: Doorman) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000:
            sent += 100
            yield b"x" * 100

    assert ask(doorman, endless()).status_code == 413
    assert sent <= 2000


def test_a_client_that_stops_sending_is_told_so(
    doorman: Doorman, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpa.serving.request_limits.MAX_IDLE_S", 0.05)

    async def pausing() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(5)

    answer = ask(doorman, pausing())
    assert answer.status_code == 408
    assert "paused" in answer.json()["error"]


def test_refused_bodies_leave_no_memory_accounted(doorman: Doorman) -> None:
    for _ in range(20):  # 20 × 1,000 bytes would exceed the 4,000 that may be held
        assert ask(doorman, b"x" * 1000).status_code == 200
        assert ask(doorman, b"bad").status_code == 400
