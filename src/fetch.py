"""Fetch the images into data/raw, one folder in Kaggle's layout.

    python src/fetch.py            some minutes for the default 6,000 synthetic images
    dvc exp run -S fetch.source=local -S fetch.path=FOLDER     your own images
    … -S fetch.labels=from_table                               with labels of your own
    dvc exp run -S fetch.source=kaggle                         the competition's, with a token
    dvc exp run -S fetch.source=hpa -S fetch.path=TABLE.csv    the public atlas, by a table of Ids

The same parameters give the same bytes on every x86-64 machine with AVX2. Downloads are kept in
.download_cache/, so a later run resumes. If it fails, data/raw stays as it was.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from hpa.config import command_line
from hpa.config.folders import RAW_DIR
from hpa.config.params import fetched_channels
from hpa.config.sections import Fetch
from hpa.data.packed.record import RECORD, fetch_record
from hpa.data.sources.atlas import fetch_atlas
from hpa.data.sources.fetched_labels import fetched_labels
from hpa.data.sources.found import Found
from hpa.data.sources.kaggle import fetch_kaggle
from hpa.data.sources.local import fetch_local, labelled_table
from hpa.data.sources.reading_rules import reading_rules
from hpa.data.sources.synthetic import fetch_synthetic
from hpa.system.dvc_outputs import restore_outputs
from hpa.system.files import write_json
from hpa.vocabulary.document import Vocabulary

CACHE_DIR = Path(os.environ.get("DVC_ROOT", ".")) / ".download_cache"
"""In the repository even if DVC runs an experiment in a temporary folder."""


def main() -> None:
    """Fetch from the source that params.yaml names."""
    restore_outputs("fetch")
    params, _ = command_line.parse(command_line.parser(__doc__, "fetch"))
    found = SOURCES[params.fetch.source](params.fetch)
    write_json(RAW_DIR / RECORD, fetch_record(asdict(params.fetch), found))
    print(f"images are in {RAW_DIR}")


def synthetic(fetch: Fetch) -> None:
    """Simulate the competition."""
    fetch_synthetic(
        RAW_DIR,
        n_images=fetch.n_images,
        n_unlabelled=fetch.n_unlabelled,
        image_size=fetch.image_size,
        tempering=fetch.tempering,
        seed=fetch.seed,
    )


def local(fetch: Fetch) -> Found:
    """Copy or convert the user's files."""
    labels = fetched_labels(fetch.labels, labelled_table(Path(fetch.path)))
    return fetch_local(
        RAW_DIR,
        source_path=Path(fetch.path),
        vocabulary=Vocabulary(labels, fetched_channels(fetch.channels)),
        missing_channels=fetch.missing_channels,
        pattern=fetch.pattern,
        found_as=fetch.found_as,
        rules=reading_rules(fetch),
    )


def kaggle(fetch: Fetch) -> None:
    """Download the competition."""
    fetch_kaggle(RAW_DIR, competition=fetch.competition, cache_dir=CACHE_DIR / "kaggle")


def atlas(fetch: Fetch) -> Found:
    """Download from the public atlas."""
    return fetch_atlas(
        RAW_DIR,
        table_path=Path(fetch.path),
        labels=fetched_labels(fetch.labels, Path(fetch.path)),
        base_url=fetch.base_url,
        cache_dir=CACHE_DIR / "hpa",
        n_connections=fetch.n_connections,
        requests_per_second=fetch.requests_per_second,
        skip_absent=fetch.skip_absent,
        missing_channels=fetch.missing_channels,
        rules=reading_rules(fetch),
    )


SOURCES: dict[str, Callable[[Fetch], Found | None]] = {
    "synthetic": synthetic,
    "local": local,
    "kaggle": kaggle,
    "hpa": atlas,
}


if __name__ == "__main__":
    command_line.run(main)
