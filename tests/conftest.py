"""What many tests share: the tiny world, the real data where it is present, and no network."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from support.browsers import CHROMIUM, QUIET
from support.databases import find_programs, serve_postgresql
from support.paths import ROOT
from support.worlds import pack_small, write_world

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    connect = socket.socket.connect

    def connect_near(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            raise RuntimeError(f"unit tests use no network, but one connects to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_near)
        yield


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Headless Chromium; mark tests that use it with `needs_chromium`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("HPA_REAL_DATA", ROOT.parent / "shared" / "hpa"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set HPA_REAL_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def raw_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Kaggle's layout; read it, never change it."""
    raw_dir = tmp_path_factory.mktemp("world") / "raw"
    write_world(raw_dir)
    return raw_dir


@pytest.fixture(scope="session")
def packed_world(raw_world: Path) -> Path:
    """`raw_world` packed at 32 pixels into three shards; read it, never change it."""
    packed_dir = raw_world.parent / "packed"
    pack_small(raw_world, packed_dir)
    return packed_dir


@pytest.fixture
def own_world(raw_world: Path, tmp_path: Path) -> Path:
    """A copy of `raw_world` that a test may break."""
    return shutil.copytree(raw_world, tmp_path / "raw")


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The address of a database on a server of its own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    with TemporaryDirectory(prefix="hpa-postgresql-") as name:
        Path(name).chmod(0o755)  # the server runs as another user
        with serve_postgresql(programs, Path(name)) as url:
            yield url


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An own disk of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
