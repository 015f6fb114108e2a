"""Many small files from one server: several at once, politely, and never a second time."""

import email.utils
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import joblib
import requests
from requests.adapters import HTTPAdapter

from hpa.data.images.formats import UnfitPictureError, decode
from hpa.errors import UserError
from hpa.system.files import atomic_path
from hpa.system.progress import progress

USER_AGENT = "hpa-fetch/0.1 (research; honours Retry-After)"
N_ATTEMPTS = 6
"""With pauses of 1, 2, 4, 8 and 16 s between them: half a minute of trouble is sat out."""
TIMEOUT_S = 60
LONGEST_PAUSE_S = 600
"""A server that asks for more than this is not waited for."""
GONE = (404, 410)
BUSY = (429, 500, 502, 503, 504)


class Pace:
    """Keeps all threads together below a rate of requests, and lets all rest at once."""

    def __init__(self, requests_per_second: float) -> None:
        self._interval_s = 1 / requests_per_second
        self._next, self._lock = 0.0, threading.Lock()

    def wait(self) -> None:
        """Sleep until it is this request's turn."""
        while True:
            with self._lock:
                pause = self._next - time.monotonic()
                if pause <= 0:
                    self._next = max(self._next, time.monotonic()) + self._interval_s
                    return
            time.sleep(pause)

    def rest(self, seconds: float) -> None:
        """Let nobody send a request for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def download_pictures(
    files: Mapping[str, Path], *, n_connections: int, requests_per_second: float
) -> set[str]:
    """Download the picture of each URL that has no file yet; each file is whole or absent.

    Args:
        files: where the picture of each URL goes.
        n_connections: how many requests are under way at once, at most.
        requests_per_second: how many are sent in a second, at most, over all connections.

    Returns:
        The URLs that the server does not have (404 or 410).

    Raises:
        UserError: the server refuses, or stays unreachable or busy; a repeat goes on from there.
    """
    pace = Pace(requests_per_second)
    with requests.Session() as session:
        session.headers["User-Agent"] = USER_AGENT
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=n_connections))
        tasks = (
            joblib.delayed(_download)(session, pace, url, path)
            for url, path in files.items()
            if not path.is_file()
        )
        n_here = sum(path.is_file() for path in files.values())
        done = joblib.Parallel(n_jobs=n_connections, backend="threading", return_as="generator")(
            tasks
        )
        bar = progress(done, what="download", total=len(files) - n_here, unit="file")
        return {url for url in bar if url is not None}


def _download(session: requests.Session, pace: Pace, url: str, path: Path) -> str | None:
    """Download one picture; returns the URL where the server does not have it."""
    problem = ""
    for attempt in range(N_ATTEMPTS):
        pace.wait()
        try:
            response = session.get(url, timeout=TIMEOUT_S)
            if response.status_code in GONE:
                return url
            if response.status_code not in BUSY:
                response.raise_for_status()
                decode(response.content)
                with atomic_path(path) as temporary:
                    temporary.write_bytes(response.content)
                return None
            problem = f"{response.status_code} {response.reason}"
            pace.rest(_pause_s(response, attempt))
        except requests.HTTPError as error:
            raise _refused(url, str(error)) from error
        except (requests.RequestException, UnfitPictureError) as error:
            problem = str(error)
            if attempt < N_ATTEMPTS - 1:
                time.sleep(2**attempt)
    raise _refused(url, f"{problem}, {N_ATTEMPTS} times")


def _pause_s(response: requests.Response, attempt: int) -> float:
    """Read Retry-After, whole seconds or a date; without one that is either, pauses double."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdigit():
        pause = float(asked)
    else:
        try:
            date = email.utils.parsedate_to_datetime(asked)
            pause = max(0.0, date.timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pause = 2.0**attempt
    if pause > LONGEST_PAUSE_S:
        raise _refused(response.url, f"{response.status_code} with Retry-After: {asked}")
    return pause


def _refused(url: str, problem: str) -> UserError:
    return UserError(
        f"{url} cannot be downloaded",
        expected="a whole picture, or 404 where there is none",
        received=problem,
        remedy="run the same command again later: what is downloaded stays; check fetch.base_url, "
        "and lower fetch.requests_per_second where the server is busy",
    )
