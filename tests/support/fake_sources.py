"""Kaggle and the public atlas on the loopback, with the endpoints that fetching needs.

Kaggle: POST /v1/competitions.CompetitionApiService/DownloadDataFiles redirects to a storage
address, where GET with Range returns the archive. POST /v1/security.OAuthService/IntrospectToken
returns the user of a token.
"""

import io
import json
import os
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa.vocabulary.hpa2018 import CHANNELS
from support.servers import Request, Response, Server, serve
from support.worlds import digests, draw_pixels

COMPETITION = "human-protein-atlas-image-classification"
CHUNK = 2**20
"""Bytes that the client writes at a time; an incomplete chunk is lost."""
MODIFIED = "Mon, 01 Oct 2018 12:00:00 GMT"


def archive_of(folder: Path) -> bytes:
    """Zip a folder as Kaggle does, with additional files that must not be extracted."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in digests(folder).items():
            opened.writestr(name, content)
        opened.writestr("../evil_red.png", b"x")
        opened.writestr("train/../../evil_red.png", b"x")
        opened.writestr("notes.bin", np.random.default_rng(0).bytes(3 * CHUNK))
    return file.getvalue()


class FakeKaggle:
    """Behaviour of the server; tests change the fields."""

    def __init__(self, archive: bytes) -> None:
        self.archive = archive
        self.refusal: tuple[int, str] | None = None
        self.cuts: list[int] = []
        self.slow_s = 0.0

    def respond(self, request: Request) -> Response:
        if request.path.endswith("/IntrospectToken"):
            known = json.loads(request.body)["token"] == "good"
            return self._json(200, {"active": known, "username": "someone" if known else ""})
        if request.path.endswith("/competitions.CompetitionApiService/DownloadDataFiles"):
            if self.refusal:
                code, message = self.refusal
                return self._json(code, {"code": code, "message": message})
            assert json.loads(request.body) == {"competitionName": COMPETITION}
            return Response(302, headers={"Location": "/bundle/archive.zip?signed=yes"})
        assert request.path == "/bundle/archive.zip?signed=yes"
        return self._archive(request)

    def _archive(self, request: Request) -> Response:
        time.sleep(self.slow_s)
        headers = {
            "Accept-Ranges": "bytes",
            "Last-Modified": MODIFIED,
            "Content-Type": "application/zip",
        }
        cut = self.cuts.pop(0) if self.cuts else None
        if wanted := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
            return Response(206, self.archive[int(wanted[1]) :], headers, cut)
        return Response(200, self.archive, headers, cut)

    def _json(self, status: int, content: object) -> Response:
        return Response(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


@contextmanager
def serve_kaggle(fake: FakeKaggle, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve in place of Kaggle, for a user with a valid token."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "good")
    from kagglesdk import kaggle_env

    with serve(lambda request: fake.respond(request)) as running:
        endpoints = kaggle_env._env_to_endpoint
        monkeypatch.setitem(endpoints, kaggle_env.KaggleEnv.PROD, running.url)
        yield running


TINTS = {"red": (0, 0, 1), "green": (0, 1, 0), "blue": (1, 0, 0), "yellow": (0, 1, 1)}  # BGR
IDS = ["10580_1610_C1_1", "10580_1610_C1_2", "4109_12_B2_17"]


def tinted_jpeg(seed: int, channel: str) -> bytes:
    grey = cv2.GaussianBlur(draw_pixels(seed)[..., CHANNELS.names.index(channel)], (9, 9), 3)
    coloured = grey[..., None] * np.array(TINTS[channel], np.uint8)
    return cv2.imencode(".jpg", coloured, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class FakeAtlas:
    """Images by path; tests add first responses, gaps and delays."""

    def __init__(self) -> None:
        self.images = {
            f"/images/{antibody}/{rest}_{channel}.jpg": tinted_jpeg(number, channel)
            for number, (antibody, _, rest) in enumerate(each.partition("_") for each in IDS)
            for channel in CHANNELS.names
        }
        self.first: list[Response] = []
        self.pause_s, self.at_once, self.most_at_once = 0.0, 0, 0
        self.lock = threading.Lock()

    def respond(self, request: Request) -> Response:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            first = self.first.pop(0) if self.first else None
        time.sleep(self.pause_s)
        with self.lock:
            self.at_once -= 1
        image = self.images.get(request.path)
        return first or (Response(404) if image is None else Response(200, image))
