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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from hpa.config import command_line
from hpa.config.folders import RAW_DIR
from hpa.config.params import fetched_channels
from hpa.config.sections import Fetch
from hpa.config.source_list import shared_rules, stated_sources
from hpa.data.packed.record import RECORD, fetch_record
from hpa.data.sources.atlas import download_atlas, find_atlas
from hpa.data.sources.fetched_labels import LabelTable, labels_of_sources, unused
from hpa.data.sources.found import Found
from hpa.data.sources.kaggle import fetch_kaggle, require_credentials
from hpa.data.sources.layout import write_layout
from hpa.data.sources.local import find_local, labelled_table, require_outside
from hpa.data.sources.reading_rules import reading_rules
from hpa.data.sources.several import Source, fetch_several, named
from hpa.data.sources.synthetic import fetch_synthetic
from hpa.system.dvc_outputs import restore_outputs
from hpa.system.files import write_json
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS
from hpa.vocabulary.labels import Labels

CACHE_DIR = Path(os.environ.get("DVC_ROOT", ".")) / ".download_cache"
"""In the repository even if DVC runs an experiment in a temporary folder."""


def main() -> None:
    """Fetch from the source that params.yaml names."""
    restore_outputs("fetch")
    params, _ = command_line.parse(command_line.parser(__doc__, "fetch"))
    found = (several if params.fetch.source == "several" else only)(params.fetch)
    write_json(RAW_DIR / RECORD, fetch_record(asdict(params.fetch), found))
    print(f"images are in {RAW_DIR}")


def only(fetch: Fetch) -> Found | None:
    """Fetch one source."""
    (labels,) = labels_of_sources(fetch.labels, [label_table(fetch)])
    source = SOURCES[fetch.source](fetch, labels)
    images = source.find()
    if images is not None and (line := unused(labels, images["Target"])):
        print(line)
    return source.write(RAW_DIR, images)


def several(fetch: Fetch) -> Found:
    """Fetch several sources as one set."""
    stated, tables = stated_sources(fetch), []
    for name, each in stated.items():
        with named(name):
            tables.append(label_table(each))
    labels = labels_of_sources(fetch.labels, tables)
    sources = {
        name: SOURCES[each.source](each, reader)
        for (name, each), reader in zip(stated.items(), labels, strict=True)
    }
    vocabulary = Vocabulary(Labels(labels[0].labels), fetched_channels(fetch.channels))
    found = fetch_several(RAW_DIR, sources, vocabulary, Path(fetch.path))
    return found | shared_rules(fetch)


def label_table(fetch: Fetch) -> LabelTable:
    """Return the table of labels of a source."""
    path = {"local": labelled_table, "hpa": Path}.get(fetch.source, lambda _: None)
    return LabelTable(path(Path(fetch.path)), fetch.label_map)


def synthetic(fetch: Fetch, labels: Labels) -> Source:
    """Simulate the competition."""

    def write(folder: Path, _: object) -> None:
        fetch_synthetic(
            folder,
            n_images=fetch.n_images,
            n_unlabelled=fetch.n_unlabelled,
            image_size=fetch.image_size,
            tempering=fetch.tempering,
            seed=fetch.seed,
        )

    return Source(fetch.source, lambda: None, write, labels)


def local(fetch: Fetch, labels: Labels) -> Source:
    """Copy or convert the user's files."""
    path, vocabulary = Path(fetch.path), Vocabulary(labels, fetched_channels(fetch.channels))
    names = {key: getattr(fetch, key) for key in ("missing_channels", "pattern", "found_as")}

    def write(folder: Path, images: pd.DataFrame) -> Found:
        require_outside(RAW_DIR, path, images, vocabulary)
        return write_layout(folder, images, vocabulary, **conversion(fetch))

    return Source(fetch.source, lambda: find_local(path, vocabulary, **names), write, labels, path)


def kaggle(fetch: Fetch, labels: Labels) -> Source:
    """Download the competition."""

    def write(folder: Path, _: object) -> None:
        fetch_kaggle(folder, competition=fetch.competition, cache_dir=CACHE_DIR / "kaggle")

    return Source(fetch.source, require_credentials, write, labels)


def atlas(fetch: Fetch, labels: Labels) -> Source:
    """Download from the public atlas."""
    path = Path(fetch.path)
    keys = ("n_connections", "requests_per_second", "skip_absent", "missing_channels")

    def write(folder: Path, images: pd.DataFrame) -> Found:
        options = {key: getattr(fetch, key) for key in keys}
        images = download_atlas(images, path, cache_dir=CACHE_DIR / "hpa", **options)
        return write_layout(folder, images, Vocabulary(labels, CHANNELS), **conversion(fetch))

    return Source(
        fetch.source, lambda: find_atlas(path, labels, fetch.base_url), write, labels, path
    )


def conversion(fetch: Fetch) -> dict[str, Any]:
    """Return the rules by which files are converted."""
    may_lack = (fetch.missing_channels or "").split()
    return {"rules": reading_rules(fetch), "may_lack": may_lack}


SOURCES = {"synthetic": synthetic, "local": local, "kaggle": kaggle, "hpa": atlas}


if __name__ == "__main__":
    command_line.run(main)
