"""Outputs of a DVC stage that outlive a failure: DVC removes them before it runs the stage.

`persist: true` in dvc.yaml would keep them too, but switches DVC's run cache off for the stage: a
training with earlier parameters would run again instead of coming from the cache.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from hpa.system.files import atomic_path


def restore_outputs(stage: str) -> None:
    """Put the outputs of `stage` back that dvc.lock names and that DVC has just removed.

    They are linked to DVC's cache, or copied from it, so a stage that replaces them by renaming
    leaves the earlier ones in their place if it fails or is killed. Nothing happens outside DVC;
    an output that the cache lacks stays absent.
    """
    lock = Path("dvc.lock")
    if os.environ.get("DVC_STAGE") != stage or not lock.is_file():
        return
    document = yaml.safe_load(lock.read_text(encoding="utf-8")) or {}
    outs = document.get("stages", {}).get(stage, {}).get("outs", [])
    removed = [out for out in outs if not Path(out["path"]).exists()]
    cache_dir = _cache_dir() if removed else None
    for out in removed:
        if cache_dir is not None and (files := _cached_files(cache_dir, out)):
            with atomic_path(Path(out["path"]), flush=False) as temporary:
                for path, cached in files.items():
                    _link(cached, temporary / path)


def _cache_dir() -> Path | None:
    """Ask DVC for its cache, which a user's configuration may move."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip()) if asked.returncode == 0 else None


def _cached_files(cache_dir: Path, out: dict[str, Any]) -> dict[str, Path]:
    """Return the cached file of each path in an output, or nothing if one is missing.

    The path is `.` if the output is a file; a folder has a list of its files in the cache.
    """
    listing = _cached(cache_dir, out["md5"])
    if not listing.is_file():
        return {}
    if listing.suffix != ".dir":
        return {".": listing}
    members = json.loads(listing.read_text(encoding="utf-8"))
    files = {each["relpath"]: _cached(cache_dir, each["md5"]) for each in members}
    return files if all(path.is_file() for path in files.values()) else {}


def _cached(cache_dir: Path, md5: str) -> Path:
    return cache_dir / "files" / "md5" / md5[:2] / md5[2:]


def _link(cached: Path, path: Path) -> None:
    """Link a file to the cache, or copy it if the disk has no hard links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.hardlink_to(cached)
    except OSError:
        shutil.copyfile(cached, path)
