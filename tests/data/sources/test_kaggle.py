"""Fetching with Kaggle's own client, against a loopback server with the needed endpoints."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpa.data.sources.kaggle import fetch_kaggle
from hpa.errors import UserError
from support.fake_sources import CHUNK, COMPETITION, FakeKaggle, archive_of, serve_kaggle
from support.paths import ROOT
from support.servers import Response, Server
from support.worlds import digests, layout_digests

SOURCE_DIR = ROOT / "src"


@pytest.fixture(scope="module")
def archive(raw_world: Path) -> bytes:
    return archive_of(raw_world)


@pytest.fixture
def fake(archive: bytes) -> FakeKaggle:
    return FakeKaggle(archive)


@pytest.fixture
def server(fake: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in place of Kaggle, a user with a valid token, and no pauses between attempts."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with serve_kaggle(fake, tmp_path / "home", monkeypatch) as running:
        yield running


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[[], None]:
    return lambda: fetch_kaggle(
        tmp_path / "raw", competition=COMPETITION, cache_dir=tmp_path / "cache"
    )


def ranges(server: Server) -> list[str | None]:
    return [request.headers.get("Range") for request in server.requests if "bundle" in request.path]


def test_the_competition_is_downloaded_checked_and_unzipped(
    fetch: Callable[[], None], server: Server, raw_world: Path, tmp_path: Path
) -> None:
    fetch()
    assert layout_digests(tmp_path / "raw") == digests(raw_world)
    assert {path.name for path in tmp_path.iterdir()} <= {"raw", "cache", "home"}
    asked = [each for each in server.requests if each.path.endswith("DownloadDataFiles")]
    assert [each.headers["Authorization"] for each in asked] == ["Bearer good"]


def test_a_second_fetch_downloads_nothing(
    fetch: Callable[[], None], fake: FakeKaggle, raw_world: Path, tmp_path: Path
) -> None:
    fetch()
    fake.cuts = [0]  # reading the body would fail
    fetch()
    assert layout_digests(tmp_path / "raw") == digests(raw_world)


def test_a_legacy_key_is_accepted(
    fetch: Callable[[], None], server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    fetch()
    assert server.requests[0].headers["Authorization"].startswith("Basic ")


def test_a_broken_connection_is_resumed(
    fetch: Callable[[], None],
    fake: FakeKaggle,
    server: Server,
    raw_world: Path,
    tmp_path: Path,
) -> None:
    fake.cuts = [CHUNK + 9, CHUNK]
    fetch()
    assert layout_digests(tmp_path / "raw") == digests(raw_world)
    assert ranges(server) == [None, f"bytes={CHUNK}-", f"bytes={2 * CHUNK}-"]


def test_a_server_that_keeps_breaking_off_is_a_clear_error_and_a_later_fetch_resumes(
    fetch: Callable[[], None],
    fake: FakeKaggle,
    server: Server,
    raw_world: Path,
    tmp_path: Path,
) -> None:
    fake.cuts = [CHUNK, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"cannot be downloaded(.|\n)*resumes the download"):
        fetch()
    assert not (tmp_path / "raw").exists()
    server.requests.clear()
    fetch()
    assert ranges(server) == [None, f"bytes={CHUNK}-"]  # the first request only reads the headers
    assert layout_digests(tmp_path / "raw") == digests(raw_world)


def test_a_killed_download_resumes(
    fetch: Callable[[], None],
    fake: FakeKaggle,
    server: Server,
    raw_world: Path,
    tmp_path: Path,
) -> None:
    fake.respond = (
        lambda request: (  # type: ignore[method-assign]
            Response(200, fake.archive[: CHUNK + 9], {"Content-Length": str(len(fake.archive))})
            if "bundle" in request.path
            else FakeKaggle.respond(fake, request)
        )
    )
    code = (
        "from pathlib import Path; from kagglesdk import kaggle_env as env; "
        f"env._env_to_endpoint[env.KaggleEnv.PROD] = {server.url!r}; "
        "from hpa.data.sources.kaggle import fetch_kaggle; "
        f"fetch_kaggle(Path('raw'), competition={COMPETITION!r}, cache_dir=Path('cache'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE_DIR)}
    partial = tmp_path / "cache" / f"{COMPETITION}.zip"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while not (partial.is_file() and partial.stat().st_size == CHUNK):
            assert process.poll() is None
            assert time.monotonic() < deadline
            pause()
        process.send_signal(signal.SIGKILL)
    del fake.respond
    server.requests.clear()
    fetch()
    assert ranges(server)[-1] == f"bytes={CHUNK}-"
    assert layout_digests(tmp_path / "raw") == digests(raw_world)


def pause() -> None:
    """Wait 50 ms without time.sleep, which is patched."""
    import select

    select.select([], [], [], 0.05)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, "Unauthenticated"), r"401: Unauthenticated(.|\n)*create a new token"),
        (
            (403, "You must accept this competition's rules"),
            r"has accepted(.|\n)*403: You must(.|\n)*accept the rules on .*/rules",
        ),
        ((404, "Not found"), r"404: Not found(.|\n)*set fetch\.competition"),
    ],
)
def test_a_refusal_names_the_remedy(
    fetch: Callable[[], None], fake: FakeKaggle, refusal: tuple[int, str], said: str
) -> None:
    fake.refusal = refusal
    with pytest.raises(UserError, match=said):
        fetch()


@pytest.mark.parametrize("token", ["", "expired"])
def test_missing_credentials_are_a_clear_error(
    fetch: Callable[[], None], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    for module in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UserError, match=r"no valid Kaggle credentials(.|\n)*create a token"):
        fetch()


def test_an_unreachable_server_is_a_clear_error(
    fetch: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kagglesdk import kaggle_env

    monkeypatch.setitem(
        kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, "http://127.0.0.1:9"
    )
    with pytest.raises(UserError, match=r"ConnectionError(.|\n)*resumes the download"):
        fetch()


def test_a_full_disk_is_a_clear_error_and_with_more_space_the_download_resumes(
    server: Server, raw_world: Path, small_disk: Path, tmp_path: Path
) -> None:
    def fetch() -> None:
        fetch_kaggle(tmp_path / "raw", competition=COMPETITION, cache_dir=small_disk / "cache")

    with pytest.raises(UserError, match=r"disk is full: .*ion\.zip(.|\n)*errno 28"):
        fetch()
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    fetch()
    assert layout_digests(tmp_path / "raw") == digests(raw_world)


def test_a_read_only_folder_is_a_clear_error(
    server: Server, small_disk: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=r"\.zip could not be written(.|\n)*Read-only"):
        fetch_kaggle(tmp_path / "raw", competition=COMPETITION, cache_dir=small_disk / "cache")


def test_a_damaged_archive_is_removed_and_downloaded_anew(
    fetch: Callable[[], None],
    fake: FakeKaggle,
    archive: bytes,
    raw_world: Path,
    tmp_path: Path,
) -> None:
    name = b"cell-005_red.png"
    place = archive.index(name) + len(name) + 100
    fake.archive = archive[:place] + bytes([archive[place] ^ 255]) + archive[place + 1 :]
    with pytest.raises(UserError, match=r"damaged(.|\n)*downloaded again"):
        fetch()
    assert not (tmp_path / "raw").exists()
    fake.archive = archive
    fetch()
    assert layout_digests(tmp_path / "raw") == digests(raw_world)


@pytest.mark.parametrize(
    ("before", "byte", "said"),
    [
        (b"", 0x07, "Error -3 while decompressing"),  # deflate has no block of type 3
        (b"PK\x01\x02\x14\x03\x14\x00\x00\x00", 99, "compression method is not supported"),
    ],
)
def test_damage_that_no_checksum_covers_is_detected(
    fetch: Callable[[], None],
    fake: FakeKaggle,
    archive: bytes,
    tmp_path: Path,
    before: bytes,
    byte: int,
    said: str,
) -> None:
    """An invalid block type in a deflated file, and an unknown method in the directory."""
    name = b"train/cell-005_red.png"
    first, last = archive.index(name), archive.rindex(name)
    place = last - 46 + len(before) if before else first + len(name)
    assert archive[place - len(before) : place] == before
    fake.archive = archive[:place] + bytes([byte]) + archive[place + 1 :]
    with pytest.raises(UserError, match=rf"damaged(.|\n)*{said}(.|\n)*downloaded again"):
        fetch()
    assert not (tmp_path / "raw").exists()
    assert not (tmp_path / "cache" / f"{COMPETITION}.zip").exists()


def test_a_response_that_is_not_a_zip_is_refused(
    fetch: Callable[[], None], fake: FakeKaggle, tmp_path: Path
) -> None:
    fake.archive = b"<html>come back later</html>"
    with pytest.raises(UserError, match="File is not a zip file"):
        fetch()


def test_an_archive_that_lacks_images_is_refused(
    fetch: Callable[[], None], fake: FakeKaggle, own_world: Path, tmp_path: Path
) -> None:
    (own_world / "train/cell-003_blue.png").unlink()
    fake.archive = archive_of(own_world)
    with pytest.raises(UserError, match=r"1 missing: cell-003_blue\.png"):
        fetch_kaggle(tmp_path / "new", competition=COMPETITION, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "new").exists()
