"""Fetching from the atlas, served on the loopback: retries, rate limits, resumption, refusals."""

import email.utils
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from hpa.data.images.catalogue import read_catalogue
from hpa.data.images.decoding import read_channel
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.sources import downloads
from hpa.data.sources.atlas import find_atlas
from hpa.errors import UserError
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from hpa.vocabulary.labels import Label, Labels
from support.fake_sources import IDS, FakeAtlas
from support.fetching import fetch_atlas
from support.paths import ROOT
from support.servers import Response, Server, serve
from support.worlds import draw_pixels, write_csv

SOURCE_DIR = ROOT / "src"


@pytest.fixture
def fake() -> FakeAtlas:
    return FakeAtlas()


@pytest.fixture
def server(fake: FakeAtlas) -> Iterator[Server]:
    with serve(fake.respond) as running:
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, in seconds; none is slept through."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda s: slept.append(s) if s >= 1 else None)
    return slept


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [(IDS[0], "7 1"), (IDS[1], "7 1"), (IDS[2], "")]
    write_csv(tmp_path / "table.csv", ("Id", "Target"), rows)
    return tmp_path / "table.csv"


@pytest.fixture
def fetch(server: Server, table: Path, tmp_path: Path) -> Callable[..., None]:
    def call(**changes: object) -> None:
        arguments = {
            "table_path": table,
            "labels": HPA_2018.labels,
            "base_url": f"{server.url}/images/",
            "cache_dir": tmp_path / "cache",
            "n_connections": 3,
            "requests_per_second": 1000,
            "n_jobs": 1,
        }
        fetch_atlas(tmp_path / "raw", **{**arguments, **changes})  # type: ignore[arg-type]

    return call


def test_ids_are_fetched_with_groups_and_as_grey(
    fetch: Callable[..., None], tmp_path: Path
) -> None:
    fetch()
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert list(images["Id"]) == IDS
    assert list(images["Target"]) == ["1 7", "1 7", ""]
    assert list(images["group"][:2]) == ["10580", "10580"]  # the antibody
    for index, channel in enumerate(CHANNELS.names):
        grey = cv2.GaussianBlur(draw_pixels(1)[..., index], (9, 9), 3).astype(int)
        pixels = read_channel(tmp_path / f"raw/train/{IDS[1]}_{channel}.png").astype(int)
        assert np.abs(pixels - grey).mean() < 6  # JPEG thins out colour


def test_urls_of_any_channel_or_blend_are_fetched(
    fetch: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    urls = [
        f"{server.url}/images/10580/1610_C1_1_blue_red_green.jpg",
        f"{server.url}/images/4109/12_B2_17_yellow.jpg",
    ]
    rows = [(urls[0], "Cytosol", "g"), (urls[1], "0", "")]
    write_csv(tmp_path / "urls.csv", ("url", "Target", "group"), rows)
    fetch(table_path=tmp_path / "urls.csv", base_url="http://unused.invalid")
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert list(images["Id"]) == [IDS[0], IDS[2]]
    assert list(images["group"]) == ["g", "4109"]


def test_groups_come_from_the_url_whatever_the_id(
    fetch: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    """Free Ids, and a group that is given for one image only of an antibody."""
    stems = [f"{server.url}/images/{IDS[number].replace('_', '/', 1)}" for number in range(3)]
    rows = [
        ("well 1", f"{stems[0]}_green.jpg", "7", ""),
        ("well 2", f"{stems[1]}_blue_red_green.jpg", "7", "gene"),
        ("well 3", f"{stems[2]}_red.jpg", "0", ""),
    ]
    write_csv(tmp_path / "urls.csv", ("Id", "url", "Target", "group"), rows)
    fetch(table_path=tmp_path / "urls.csv")
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert list(images["Id"]) == ["well 1", "well 2", "well 3"]
    assert list(images["group"]) == ["gene", "gene", "4109"]
    assert len(server.requests) == 12


def test_an_id_that_contradicts_its_url_is_refused(
    fetch: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    """A column that has slipped by a row gives images the labels of others."""
    rows = [(IDS[2], f"{server.url}/images/10580/1610_C1_1_green.jpg", "7")]
    write_csv(tmp_path / "urls.csv", ("Id", "url", "Target"), rows)
    with pytest.raises(UserError, match="line 2: 4109_12_B2_17, but antibody 10580 in the URL"):
        fetch(table_path=tmp_path / "urls.csv")
    assert not server.requests


def test_ids_that_begin_with_the_gene_are_fetched_from_the_same_addresses(
    fetch: Callable[..., None], server: Server, table: Path, tmp_path: Path
) -> None:
    table.write_text(table.read_text().replace("\n", "\nENSG00000000003_", 3))
    fetch()
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert images["Id"][0] == "ENSG00000000003_10580_1610_C1_1"
    assert list(images["group"][:2]) == ["10580", "10580"]
    assert "/images/4109/12_B2_17_red.jpg" in {each.path for each in server.requests}


def test_both_public_spellings_of_hpav18_are_read(real_data: Path) -> None:
    for name in ("hpav18_head.csv", "hpav18_ensembl_head.csv"):
        images = find_atlas(real_data / name, HPA_2018.labels, "https://example.org/images")
        assert images["group"].str.fullmatch(r"\d+").all()
        assert (
            images["red"]
            .str.fullmatch(r"https://example\.org/images/\d+/\d+_[A-H]\d+_\w+_red\.jpg")
            .all()
        )


def test_a_second_fetch_requests_nothing(fetch: Callable[..., None], server: Server) -> None:
    fetch()
    assert len(server.requests) == 12
    assert {each.headers["User-Agent"] for each in server.requests} == {downloads.USER_AGENT}
    fetch()
    assert len(server.requests) == 12


def test_missing_images_are_listed_after_all_others_are_downloaded(
    fetch: Callable[..., None], fake: FakeAtlas, server: Server, tmp_path: Path
) -> None:
    gone = fake.images.pop("/images/10580/1610_C1_1_red.jpg")
    with pytest.raises(UserError, match=r"1 not found \(404\): 10580_1610_C1_1_red"):
        fetch()
    assert len(server.requests) == 12
    assert not (tmp_path / "raw").exists()
    fake.images["/images/10580/1610_C1_1_red.jpg"] = gone
    fetch()
    assert len(server.requests) == 13


def test_missing_images_are_skipped_only_by_explicit_parameter(
    fetch: Callable[..., None],
    fake: FakeAtlas,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del fake.images["/images/10580/1610_C1_1_red.jpg"]
    fetch(skip_absent=True)
    assert list(read_catalogue(tmp_path / "raw", HPA_2018)["Id"]) == IDS[1:]
    assert "skipped 1 images that the atlas lacks: 10580_1610_C1_1" in capsys.readouterr().out
    fake.images.clear()
    with pytest.raises(UserError, match="12 not found"):
        fetch(skip_absent=True, cache_dir=tmp_path / "other")


def test_a_missing_yellow_is_black_by_explicit_parameter(
    fetch: Callable[..., None], fake: FakeAtlas, tmp_path: Path
) -> None:
    del fake.images["/images/10580/1610_C1_1_yellow.jpg"]
    fetch(missing_channels="yellow")
    assert read_channel(tmp_path / f"raw/train/{IDS[0]}_yellow.png").max() == 0
    assert read_channel(tmp_path / f"raw/train/{IDS[1]}_yellow.png").max() > 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(
    fetch: Callable[..., None], fake: FakeAtlas, server: Server, status: int, as_date: bool
) -> None:
    soon = email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds: 1 to 2 ahead
    fake.first = [Response(status, headers={"Retry-After": soon if as_date else "1"})]
    start = time.monotonic()
    fetch(n_connections=1)
    assert time.monotonic() - start > 0.9
    assert len(server.requests) == 13


@pytest.mark.parametrize(
    "header",
    ["", "1.5", "-1", "soon", "²", "٣", "Mon, 99 Foo 2026 25:61:00 GMT"],
)
def test_back_off_doubles_without_a_valid_retry_after(
    fetch: Callable[..., None], fake: FakeAtlas, pauses: list[float], header: str
) -> None:
    busy = Response(503, headers={"Retry-After": header.encode().decode("latin-1")})
    fake.first = [busy] * 5
    fetch(n_connections=1)
    assert pauses == [1, 2, 4, 8, 16]


def test_a_retry_after_of_an_hour_is_refused(fetch: Callable[..., None], fake: FakeAtlas) -> None:
    fake.first = [Response(429, headers={"Retry-After": "3600"})]
    with pytest.raises(UserError, match=r"429 with Retry-After: 3600(.|\n)*requests_per_second"):
        fetch()


def test_truncated_and_damaged_responses_are_requested_again(
    fetch: Callable[..., None],
    fake: FakeAtlas,
    server: Server,
    pauses: list[float],
    tmp_path: Path,
) -> None:
    image = fake.images["/images/10580/1610_C1_1_red.jpg"]
    fake.first = [Response(200, image, cut_at=50), Response(200, b"<html>"), Response(500)]
    fetch(n_connections=1)
    assert len(read_catalogue(tmp_path / "raw", HPA_2018)) == 3
    assert len(server.requests) == 15
    assert pauses == [1, 2, 1]  # two bodies, then a request


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([Response(403)], r"1610_C1_1_red\.jpg cannot be downloaded(.|\n)*403 Client Error"),
        (
            [Response(200, b"<html>")] * 6,
            r"6 attempts(.|\n)*neither a picture \(PNG, TIFF, JPEG\)",
        ),
        ([Response(503)] * 6, r"6 attempts(.|\n)*503 Server Error: Service Unavailable"),
    ],
)
def test_a_server_that_keeps_refusing_is_a_clear_error(
    fetch: Callable[..., None],
    fake: FakeAtlas,
    server: Server,
    responses: list[Response],
    message: str,
    pauses: list[float],
) -> None:
    fake.first = list(responses)
    with pytest.raises(UserError, match=message):
        fetch(n_connections=1)
    assert len(server.requests) == len(responses)
    assert pauses == [1, 2, 4, 8, 16][: len(responses) - 1]


def test_an_unreachable_server_is_a_clear_error(
    fetch: Callable[..., None], pauses: list[float]
) -> None:
    with pytest.raises(UserError, match=r"6 attempts(.|\n)*Connection refused"):
        fetch(base_url="http://127.0.0.1:9", n_connections=1)
    assert pauses == [1, 2, 4, 8, 16]


def test_connections_and_request_rate_are_limited(
    fetch: Callable[..., None], fake: FakeAtlas
) -> None:
    fake.pause_s = 0.05
    start = time.monotonic()
    fetch(n_connections=2, requests_per_second=20)
    assert fake.most_at_once == 2
    assert time.monotonic() - start > 11 / 20


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_resumes(
    fetch: Callable[..., None],
    fake: FakeAtlas,
    server: Server,
    table: Path,
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    fake.pause_s = 0.3
    code = (
        "from pathlib import Path; from hpa.config import command_line; "
        "from support.fetching import fetch_atlas; "
        "from hpa.vocabulary.hpa2018 import LABELS; "
        f"command_line.run(lambda: fetch_atlas(Path('raw'), table_path=Path({str(table)!r}), "
        f"labels=LABELS, base_url='{server.url}/images', cache_dir=Path('cache'), n_connections=1, "
        "requests_per_second=100))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE_DIR}:{ROOT / 'tests'}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        while len(server.requests) < 5:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        process.wait(timeout=30)
    assert not (tmp_path / "raw").exists()
    n_whole = len([path for path in (tmp_path / "cache").rglob("*.jpg") if path.name[0] != "."])
    assert 3 <= n_whole < 12
    fake.pause_s = 0.0
    server.requests.clear()
    fetch()
    assert len(server.requests) == 12 - n_whole
    assert len(read_catalogue(tmp_path / "raw", HPA_2018)) == 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("Id", "cell-001", r"line 2: not an image of the atlas(.|\n)*'cell-001'"),
        ("Id", IDS[1], f"duplicate Ids(.|\n)*{IDS[1]}"),
        ("Id", "1/../../2_A", "not an image of the atlas"),
        ("Target", "Cytosole", r"did you mean Cytosol\?"),
    ],
)
def test_an_error_in_the_table_is_named_before_any_request(
    fetch: Callable[..., None], server: Server, table: Path, column: str, value: str, said: str
) -> None:
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    rows.loc[0, column] = value
    rows.to_csv(table, index=False)
    with pytest.raises(UserError, match=said):
        fetch()
    assert server.requests == []


def test_a_table_without_ids_and_urls_is_refused(fetch: Callable[..., None], table: Path) -> None:
    write_csv(table, ("name", "Target"), [("x", "0")])
    with pytest.raises(UserError, match=r"has neither Ids nor URLs(.|\n)*columns name, Target"):
        fetch()


def test_a_url_cannot_write_outside_the_cache(
    fetch: Callable[..., None], server: Server, tmp_path: Path
) -> None:
    url = f"{server.url}/images/%2e%2e/../../../../x/4_red.jpg"
    write_csv(tmp_path / "urls.csv", ("url", "Target"), [(url, "0")])
    with pytest.raises(UserError, match="4 not found"):
        fetch(table_path=tmp_path / "urls.csv")
    assert not re.findall(r"\.\.", " ".join(each.path for each in server.requests))


def test_a_laboratory_s_labels_are_fetched_from_the_atlas(
    fetch: Callable[..., None], table: Path, tmp_path: Path
) -> None:
    write_csv(table, ("Id", "Target"), [(IDS[0], "Axoneme; 9"), (IDS[1], "9"), (IDS[2], "")])
    labels = Labels((Label(4, "Axoneme"), Label(9, "Basal body")))
    fetch(labels=labels)
    vocabulary = read_vocabulary(tmp_path / "raw")
    assert vocabulary == Vocabulary(labels, CHANNELS)
    assert list(read_catalogue(tmp_path / "raw", vocabulary)["Target"]) == ["4 9", "9", ""]
    with pytest.raises(UserError, match="2 rows, lines 2, 3: unknown label '9'") as caught:
        fetch(labels=Labels.named(["Axoneme"]))
    assert "Axoneme'" not in str(caught.value)
