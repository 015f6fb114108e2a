"""Source `kaggle`: a competition's archive, by the `kaggle` package's own client.

The client finds the credentials, downloads with a bar, and goes on where a broken download
stopped. What is added here: errors that say what to do, a check of every byte, and the layout.
"""

import re
import shutil
import zipfile
import zlib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from hpa.data.images import catalogue
from hpa.errors import UserError
from hpa.labels import CHANNELS
from hpa.system.files import atomic_path, disk_advice, require_free_space
from hpa.system.progress import progress

WANTED = re.compile(
    rf"{catalogue.LABELLED_CSV}|{catalogue.UNLABELLED_CSV}"
    rf"|({catalogue.LABELLED_FOLDER}|{catalogue.UNLABELLED_FOLDER})/"
    rf"[^/\\]+_({'|'.join(CHANNELS)})\.png"
)
"""Files of the archive that make the layout; others, and paths that lead elsewhere, stay in it."""


def fetch_kaggle(raw_dir: Path, *, competition: str, cache_dir: Path) -> None:
    """Download a competition's archive, check it and unzip it.

    Args:
        raw_dir: becomes the folder in Kaggle's layout; an older one is replaced.
        competition: the last word of the competition's address.
        cache_dir: keeps the archive, whole or in part, so that a repeat goes on from there.

    Raises:
        UserError: no credentials, refused ones, rules not accepted, no such competition, a
            download that breaks off, a full disk, a damaged archive, or one that lacks images.
    """
    archive = cache_dir / f"{competition}.zip"
    _download(_client(), competition, archive)
    try:
        _unzip(archive, raw_dir)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        archive.unlink()
        raise UserError(
            f"the archive of {competition} is damaged",
            expected="a zip whose files have the checksums that it names",
            received=str(error),
            remedy="run the same command again: the archive was removed, it is downloaded anew",
        ) from error


def _client() -> Any:
    """Return the client with the user's credentials; importing it logs in, or exits."""
    import requests

    said = StringIO()
    try:
        with redirect_stdout(said):
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
    except SystemExit as error:
        raise UserError(
            "there are no valid Kaggle credentials",
            expected="a token in KAGGLE_API_TOKEN or ~/.kaggle/access_token, or a kaggle.json",
            received="none that the kaggle package accepts",
            remedy="make a token on Kaggle's page Settings, API, and save it as "
            "~/.kaggle/access_token, or run: kaggle auth login",
        ) from error
    except requests.RequestException as error:
        raise _refused(error, "") from error
    return client


def _download(client: Any, competition: str, archive: Path) -> None:
    import requests

    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        client.competition_download_files(competition, path=str(archive.parent), quiet=False)
    except (requests.RequestException, ValueError) as error:
        raise _refused(error, competition) from error
    except OSError as error:
        raise disk_advice(error, archive) or _refused(error, competition) from error


def _unzip(archive: Path, raw_dir: Path) -> None:
    """Unzip the files of the layout; reading one to its end compares its CRC-32."""
    with zipfile.ZipFile(archive) as opened, atomic_path(raw_dir) as folder:
        members = [each for each in opened.infolist() if WANTED.fullmatch(each.filename)]
        require_free_space(raw_dir.parent, sum(each.file_size for each in members), "the images")
        for name in (catalogue.LABELLED_FOLDER, catalogue.UNLABELLED_FOLDER):
            (folder / name).mkdir(parents=True)
        for member in progress(members, what="unzip", unit="file"):
            with opened.open(member) as source, (folder / member.filename).open("wb") as target:
                shutil.copyfileobj(source, target)
        catalogue.read_catalogue(folder)


def _refused(error: Exception, competition: str) -> UserError:
    """Turn what the client raises into what to do; a download that broke off goes on later."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    page = f"https://www.kaggle.com/c/{competition}"
    expected, remedy = {
        401: (
            "credentials that are valid",
            "make a new token on Kaggle's page Settings, API, and save it as "
            "~/.kaggle/access_token",
        ),
        403: (
            "leave to download: the competition's rules accepted by this account",
            f"accept the rules on {page}/rules, then run the same command again",
        ),
        404: (
            "a competition that exists",
            "set fetch.competition to the last word of the competition's address",
        ),
    }.get(
        status or 0,
        (
            "a download that runs to its end",
            "run the same command again: it goes on where it stopped",
        ),
    )
    return UserError(
        f"Kaggle did not hand out {competition or 'anything'}",
        expected=expected,
        received=f"{status or type(error).__name__}: {error}",
        remedy=remedy,
    )
