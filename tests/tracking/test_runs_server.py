"""The server that `make ui` starts: its port, and the browser that it opens."""

import os
import socket
import subprocess
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hpa.errors import UserError
from hpa.tracking import runs_server
from hpa.tracking.runs_server import free_port, open_browser
from support.servers import Response, serve


class FakeBrowser:
    def __init__(self, name: str) -> None:
        self.name, self.opened = name, threading.Event()

    def open(self, address: str) -> bool:
        assert address == "http://127.0.0.1:1/"
        self.opened.set()
        return True


class FakeProcess(subprocess.Popen[bytes]):
    """A process that runs, seen from outside."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, 0

    def poll(self) -> None:
        return None


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on; the next one is free."""
    with ExitStack() as stack:
        for port in range(20_000, 30_000):
            pair = [stack.enter_context(socket.socket()) for _ in range(2)]
            try:
                for place, each in enumerate(pair):
                    each.bind(("127.0.0.1", port + place))
            except OSError:
                continue
            pair[1].close()
            pair[0].listen()
            yield port
            return


def test_the_next_port_serves_if_the_usual_one_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_server, "PORT", taken)
    assert free_port(None) == taken + 1
    monkeypatch.setattr(runs_server, "N_PORTS", 1)
    with pytest.raises(UserError, match=r"all are taken(.|\n)*--port N"):
        free_port(None)


def test_a_port_of_the_caller_is_used_or_refused(taken: int) -> None:
    assert free_port(taken + 1) == taken + 1
    for port in (taken, 0, -1, 70_000):
        with pytest.raises(UserError, match=f"received: +{port}, which is taken or no port"):
            free_port(port)


@pytest.mark.parametrize(
    ("name", "variables", "opened"),
    [
        ("firefox", {"DISPLAY": ":0"}, True),
        ("/editor/bin/browser.sh", {"BROWSER": "/editor/bin/browser.sh"}, True),
        ("firefox", {}, False),
        ("w3m", {"DISPLAY": ":0"}, False),
        ("/usr/bin/lynx", {"BROWSER": "/usr/bin/lynx"}, False),
    ],
)
def test_only_a_graphical_browser_is_opened(
    name: str, variables: dict[str, str], opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(key, raising=False)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    browser = FakeBrowser(name)
    monkeypatch.setattr(webbrowser, "get", lambda: browser)
    monkeypatch.setattr(runs_server.sys, "platform", "linux")
    assert open_browser("http://127.0.0.1:1/") == opened
    assert browser.opened.wait(5) if opened else not browser.opened.is_set()


def test_the_server_is_waited_for_without_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # refuses connections
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(runs_server, "START_S", 1)
    started = FakeProcess(os.getpid())  # the server's
    with serve(lambda _: Response()) as server, (tmp_path / "log").open("wb+") as log:
        runs_server._wait_for(started, server.url, log)
        assert [each.path for each in server.requests] == ["/health"]


def test_a_program_that_took_the_port_meanwhile_is_not_taken_for_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs_server, "START_S", 1)
    with (
        serve(lambda _: Response()) as other,
        subprocess.Popen(["sleep", "30"]) as process,
        (tmp_path / "log").open("wb+") as log,
    ):
        log.write(b"address already in use")
        with pytest.raises(UserError, match=r"did not start(.|\n)*address already in use"):
            runs_server._wait_for(process, other.url, log)
        process.kill()


def test_a_machine_without_a_browser_opens_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise webbrowser.Error("no browser")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "get", fail)
    assert not open_browser("http://127.0.0.1:1/")
