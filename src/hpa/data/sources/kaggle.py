"""Source `kaggle`: the archive of a competition, downloaded by the `kaggle` package.

Its client finds the credentials, shows progress, and resumes broken downloads. Added here: errors
with a remedy, a check of every byte, and the layout.
"""

import re
import shutil
import zipfile
import zlib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import requests

from hpa.data.images import catalogue
from hpa.data.packed.vocabulary import write_vocabulary
from hpa.errors import UserError
from hpa.system.files import atomic_path, disk_advice, require_free_space
from hpa.system.progress import progress
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018

WANTED = re.compile(
    rf"{catalogue.LABELLED_CSV}|{catalogue.UNLABELLED_CSV}"
    rf"|({catalogue.LABELLED_FOLDER}|{catalogue.UNLABELLED_FOLDER})/"
    rf"[^/\\]+_({'|'.join(CHANNELS.names)})\.png"
)
"""Files of the layout; other files and unsafe paths of the archive are not extracted."""
TOKEN_PLACE = "on Kaggle's page Settings, API, and save it as ~/.kaggle/access_token"


def fetch_kaggle(raw_dir: Path, *, competition: str, cache_dir: Path) -> None:
    """Download a competition's archive, check it and unzip it.

    Args:
        raw_dir: the folder to write, in Kaggle's layout; an older one is replaced.
        competition: the last word of the competition's address.
        cache_dir: keeps the archive, whole or in part, so that a later call resumes.

    Raises:
        UserError: missing or invalid credentials, rules not accepted, unknown competition,
            broken download, full disk, or an archive that is damaged or lacks images.
    """
    archive = cache_dir / f"{competition}.zip"
    _download(_client(), competition, archive)
    try:
        _unzip(archive, raw_dir)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        archive.unlink()
        raise UserError(
            f"the archive of {competition} is damaged",
            expected="a zip whose files match their checksums",
            received=str(error),
            remedy="run the same command again: the archive was removed, and is downloaded again",
        ) from error


def require_credentials() -> None:
    """Check that Kaggle accepts the user's credentials.

    Raises:
        UserError: they are missing or invalid.
    """
    _client()


def _client() -> Any:
    """Return a client with the user's credentials; importing it authenticates, or exits."""
    try:
        with redirect_stdout(StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
    except SystemExit as error:
        raise UserError(
            "there are no valid Kaggle credentials",
            expected="a token in KAGGLE_API_TOKEN or ~/.kaggle/access_token, or a kaggle.json",
            received="none that the kaggle package accepts",
            remedy=f"create a token {TOKEN_PLACE}, or run: kaggle auth login",
        ) from error
    except requests.RequestException as error:
        raise _refused(error, "") from error
    return client


def _download(client: Any, competition: str, archive: Path) -> None:
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        client.competition_download_files(competition, path=str(archive.parent), quiet=False)
    except (requests.RequestException, ValueError) as error:
        raise _refused(error, competition) from error
    except OSError as error:
        raise disk_advice(error, archive) or _refused(error, competition) from error


def _unzip(archive: Path, raw_dir: Path) -> None:
    """Unzip the files of the layout; zipfile verifies their CRC-32."""
    with zipfile.ZipFile(archive) as opened, atomic_path(raw_dir) as folder:
        members = [each for each in opened.infolist() if WANTED.fullmatch(each.filename)]
        require_free_space(raw_dir.parent, sum(each.file_size for each in members), "the images")
        for name in (catalogue.LABELLED_FOLDER, catalogue.UNLABELLED_FOLDER):
            (folder / name).mkdir(parents=True)
        for member in progress(members, what="unzip", unit="file"):
            with opened.open(member) as source, (folder / member.filename).open("wb") as target:
                shutil.copyfileobj(source, target)
        catalogue.read_catalogue(folder, HPA_2018)
        write_vocabulary(folder, HPA_2018)


def _refused(error: Exception, competition: str) -> UserError:
    """Convert an error of the client into a UserError with a remedy."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    expected = "a complete download"
    remedy = "run the same command again: it resumes the download"
    if status == 401:
        expected = "valid credentials"
        remedy = f"create a new token {TOKEN_PLACE}"
    elif status == 403:
        expected = "permission to download: this account has accepted the competition's rules"
        remedy = f"accept the rules on https://www.kaggle.com/c/{competition}/rules, then {remedy}"
    elif status == 404:
        expected = "an existing competition"
        remedy = "set fetch.competition to the last word of the competition's address"
    return UserError(
        f"{competition or 'the competition'} cannot be downloaded from Kaggle",
        expected=expected,
        received=f"{status or type(error).__name__}: {error}",
        remedy=remedy,
    )
