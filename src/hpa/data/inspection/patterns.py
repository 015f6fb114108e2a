"""Pattern of file names by which inspected files are read."""

import re
from collections.abc import Sequence
from pathlib import Path

from hpa.config.sections import Fetch
from hpa.data.images.file_names import READ_SUFFIXES, has_suffix, stem_of
from hpa.data.inspection.fetched import Table
from hpa.data.inspection.overlay import Setting
from hpa.data.sources.plate_maps import WELL
from hpa.data.sources.well_patterns import suggested_pattern


def pattern_of_table(
    table: Table, files: Sequence[Path], fetch: Fetch, stated: Sequence[str]
) -> str | None:
    """Return the pattern of names; that of a plate map is guessed if none is stated."""
    if table.file_columns:
        return None
    present = fitting_pattern(files, fetch, stated)
    if WELL not in table.cells or "fetch.pattern" in stated:
        return present
    images = [path for path in files if has_suffix(path, READ_SUFFIXES)]
    return suggested_pattern(images) or present


def fitting_pattern(files: Sequence[Path], fetch: Fetch, stated: Sequence[str]) -> str | None:
    """Return the present pattern if it is stated, or finds the channel in most names.

    That of params.yaml may be of other files.
    """
    if fetch.pattern is None or "fetch.pattern" in stated:
        return fetch.pattern
    images = [path for path in files if has_suffix(path, READ_SUFFIXES)]
    n_found = sum(_has_channel(path, fetch.pattern) for path in images)
    return fetch.pattern if images and 2 * n_found >= len(images) else None


def _has_channel(path: Path, pattern: str) -> bool:
    match = re.fullmatch(pattern, stem_of(path)) or re.fullmatch(pattern, path.name)
    return bool(match and match.groupdict().get("channel"))


def of_pattern(pattern: str | None, fetch: Fetch) -> list[Setting]:
    """Return the pattern as a parameter, if there is or was one."""
    reason = "the well, and the rest of the name" if pattern else "the names need none"
    return [Setting("fetch.pattern", pattern, reason)] if pattern or fetch.pattern else []
