"""Downloads of many small images from one server: in parallel, rate-limited, each only once."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import joblib
import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import InvalidHeader

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.opening import open_image
from hpa.errors import UserError
from hpa.system.files import atomic_path
from hpa.system.progress import progress

USER_AGENT = "hpa-fetch/0.1 (research; honours Retry-After)"
N_ATTEMPTS = 6
"""With pauses of 1, 2, 4, 8 and 16 s between them, an outage of half a minute is bridged."""
TIMEOUT_S = 60
MAX_PAUSE_S = 600
"""The longest Retry-After that is waited for."""
ABSENT = (404, 410)
BUSY = (429, 500, 502, 503, 504)


class RateLimit:
    """Spread the requests of all threads evenly over time."""

    def __init__(self, requests_per_second: float) -> None:
        self._interval_s = 1 / requests_per_second
        self._next, self._lock = 0.0, threading.Lock()

    def wait(self) -> None:
        """Sleep until the next request may be sent."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._interval_s
        time.sleep(max(0.0, turn - time.monotonic()))


class PoliteRetry(Retry):
    """urllib3's retries, but never at once, and only within ten minutes."""

    def get_backoff_time(self) -> float:
        """Return 1, 2, 4 … seconds."""
        return max(1.0, super().get_backoff_time())

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return Retry-After in seconds, or None if it is neither a whole number nor a date."""
        try:
            pause = super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None
        if pause and pause > MAX_PAUSE_S:
            header = response.headers["Retry-After"]
            raise requests.exceptions.RetryError(f"{response.status} with Retry-After: {header}")
        return pause


def download_images(
    files: Mapping[str, Path], n_connections: int, requests_per_second: float
) -> set[str]:
    """Download each URL that has no file yet; each file is whole or absent.

    Args:
        files: the file to write for each URL.
        n_connections: largest number of simultaneous requests.
        requests_per_second: largest rate of requests over all connections.

    Returns:
        The URLs that the server does not have (404 or 410).

    Raises:
        UserError: the server refuses, or stays unreachable or busy; a repeated call resumes.
    """
    limit = RateLimit(requests_per_second)
    retry = PoliteRetry(
        N_ATTEMPTS - 1, status_forcelist=BUSY, raise_on_status=False, backoff_factor=1
    )
    missing = {url: path for url, path in files.items() if not path.is_file()}
    with requests.Session() as session:
        session.headers["User-Agent"] = USER_AGENT
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=n_connections, max_retries=retry))
        tasks = (joblib.delayed(_download)(session, limit, *each) for each in missing.items())
        parallel = joblib.Parallel(n_connections, backend="threading", return_as="generator")
        bar = progress(parallel(tasks), what="download", total=len(missing), unit="file")
        return {url for url in bar if url is not None}


def _download(session: requests.Session, limit: RateLimit, url: str, path: Path) -> str | None:
    """Download one image; returns the URL if the server does not have it.

    The session retries requests. Repeated here is what it cannot see: a body that breaks off, or
    that is not an image.
    """
    problem = ""
    for attempt in range(N_ATTEMPTS):
        limit.wait()
        with _request(session, url) as response:
            if response.status_code in ABSENT:
                return url
            try:
                with open_image(response.content) as image:
                    image.read(0)
            except (requests.RequestException, InvalidImageError) as error:
                problem = str(error)
            else:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(response.content)
                return None
        if attempt < N_ATTEMPTS - 1:
            time.sleep(2**attempt)
    raise _refused(url, problem)


def _request(session: requests.Session, url: str) -> requests.Response:
    try:
        response = session.get(url, timeout=TIMEOUT_S, stream=True)
        if response.status_code not in ABSENT:
            response.raise_for_status()
    except requests.RequestException as error:
        raise _refused(url, str(error)) from error
    return response


def _refused(url: str, problem: str) -> UserError:
    return UserError(
        f"{url} cannot be downloaded",
        expected=f"a whole image within {N_ATTEMPTS} attempts, or 404 if there is none",
        received=problem,
        remedy="run the same command again later: finished downloads are kept; check "
        "fetch.base_url, and lower fetch.requests_per_second if the server is busy",
    )
