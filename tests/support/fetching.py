"""Sources fetched in one call: found, downloaded and written, as the script does."""

from pathlib import Path
from typing import Any

from hpa.data.images.reading import ReadingRules
from hpa.data.sources.atlas import download_atlas, find_atlas
from hpa.data.sources.found import Found
from hpa.data.sources.layout import write_layout
from hpa.data.sources.local import find_local, require_outside
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS
from hpa.vocabulary.labels import Labels


def fetch_local(
    raw_dir: Path,
    *,
    source_path: Path,
    vocabulary: Vocabulary,
    missing_channels: str | None = None,
    rules: ReadingRules | None = None,
    n_jobs: int = -1,
    **names: str | None,
) -> Found:
    images = find_local(source_path, vocabulary, missing_channels=missing_channels, **names)
    require_outside(raw_dir, source_path, images, vocabulary)
    return write_layout(
        raw_dir,
        images,
        vocabulary,
        rules=rules or ReadingRules(vocabulary.channels),
        may_lack=(missing_channels or "").split(),
        n_jobs=n_jobs,
    )


def fetch_atlas(
    raw_dir: Path,
    *,
    table_path: Path,
    labels: Labels,
    base_url: str,
    rules: ReadingRules | None = None,
    n_jobs: int = -1,
    **download: Any,
) -> Found:
    options = {"skip_absent": False, "missing_channels": None} | download
    images = download_atlas(find_atlas(table_path, labels, base_url), table_path, **options)
    return write_layout(
        raw_dir,
        images,
        Vocabulary(labels, CHANNELS),
        rules=rules or ReadingRules(CHANNELS),
        may_lack=(options["missing_channels"] or "").split(),
        n_jobs=n_jobs,
    )
