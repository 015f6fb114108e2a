"""Provenance inside a `.keras` archive, so that a network never lies without it.

`metadata.json` of an archive holds Keras' version and a date, and Keras ignores other keys in it.
This module loads no Keras.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpa.system.files import atomic_path

METADATA, KEY = "metadata.json", "provenance"
MAX_METADATA_BYTES = 2**20


def embed_provenance(path: Path, provenance: Mapping[str, Any]) -> None:
    """Rewrite an archive with a provenance in its metadata; its other files keep their bytes."""
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(temporary, "w") as new,
    ):
        for member in old.infolist():
            if member.filename == METADATA:
                metadata = json.loads(old.read(member))
                new.writestr(member, json.dumps({**metadata, KEY: provenance}))
                continue
            with old.open(member) as source, new.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)


def embedded_provenance(path: Path) -> dict[str, Any] | None:
    """Return the provenance inside an archive; None if there is none, or the archive is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(METADATA).file_size > MAX_METADATA_BYTES:
                return None
            found = json.loads(archive.read(METADATA)).get(KEY)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, LookupError, AttributeError):
        return None
    return found if isinstance(found, dict) else None
