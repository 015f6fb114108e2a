"""MLflow's page of a store, on this computer alone, and the browser that opens it."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from hpa.errors import UserError
from hpa.system.files import repository_root

HOST, PORT, N_PORTS = "127.0.0.1", 5000, 20
SERVERS = ("http:", "https:")
"""Beginnings of the address of an MLflow server."""
START_S, END_S = 120, 10
TEXT_BROWSERS = {"www-browser", "links", "links2", "elinks", "lynx", "w3m"}


def free_port(wanted: int | None) -> int:
    """Return the wanted port, by default 5000 or the next one that is free.

    Raises:
        UserError: it is occupied, or all twenty are.
    """
    ports = range(PORT, PORT + N_PORTS) if wanted is None else (wanted,)
    if port := next(filter(_is_free, ports), None):
        return port
    raise UserError(
        "no port for the page is free",
        expected=f"a free one of {ports[0]} to {ports[-1]}" if wanted is None else "a free one",
        received="all are taken" if wanted is None else f"{wanted}, which is taken or no port",
        remedy="end a server, or choose another: python src/ui.py --port N",
    )


@contextmanager
def serve_runs(uri: str, port: int) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """Run MLflow's server for a store; yield its address and process once it responds.

    Raises:
        UserError: it ends, or does not respond within two minutes.
    """
    command = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", HOST]
    # By the environment: every user of this computer sees a command line, and a URI has a password.
    store = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=repository_root(),
            env={**os.environ, **store},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the server
        )
        try:
            url = f"http://{HOST}:{port}"
            _wait_for(server, url, log)
            yield url, server
        finally:
            _end(server)


def open_browser(address: str) -> bool:
    """Open an address in a graphical browser; False if this machine has none.

    The variable BROWSER chooses it, also without a screen: editors set it to reach the user's own.
    """
    reached = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if sys.platform.startswith("linux") and not reached:
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if Path(getattr(browser, "name", "")).name in TEXT_BROWSERS:
        return False
    threading.Thread(target=browser.open, args=(address,), daemon=True).start()
    return True


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _wait_for(server: "subprocess.Popen[bytes]", url: str, log: IO[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # none knows this address
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            opener.open(f"{url}/health", timeout=5).close()
            if _listens(server.pid, int(url.rpartition(":")[2])):
                return  # else another program, begun at the same time, took the port and responds
        except OSError:
            pass
        time.sleep(0.2)
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()
    raise UserError(
        "MLflow's server did not start",
        expected=f"a response from {url}",
        received=said[-1] if said else "none",
        remedy="try again, on another port if it is taken; end other programs if memory is short",
    )


def _listens(pid: int, port: int) -> bool:
    """Tell whether a process, or one that it started, listens on a port."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        found = [each for process in family for each in process.net_connections("tcp")]
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers."""
    try:
        running = [psutil.Process(server.pid)]
        running += running[0].children(recursive=True)
    except psutil.NoSuchProcess:
        running = []
    for act in (psutil.Process.terminate, psutil.Process.kill):
        for process in running:
            try:
                act(process)
            except psutil.NoSuchProcess:
                continue
        _, running = psutil.wait_procs(running, timeout=END_S)
    server.wait()
