"""Source `hpa`: images of the public Human Protein Atlas, from a table of image Ids or URLs.

The table may be that of HPAv18 (`Id,Target`), with Ids such as 10580_1610_C1_1 (antibody, plate,
well, field) or ENSG00000000003_4109_24_H11_1 (the same after the gene). All images of an antibody
have the same labels, so they form one group. If there is a `url`, it alone names the image, and an
`Id` beside it is free.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.images.csv_tables import ATLAS_ID, antibodies, with_groups
from hpa.data.sources.downloads import download_images
from hpa.data.sources.label_map import without_dropped
from hpa.data.sources.layout import lacking
from hpa.data.sources.tables import read_table
from hpa.data.sources.written_images import ABSENT
from hpa.errors import UserError, first_names
from hpa.vocabulary.hpa2018 import CHANNELS
from hpa.vocabulary.labels import Labels

ID = re.compile(r"(?:ENSG\d{11}_)?(?P<antibody>\d+)_(?P<rest>[\w.-]+)")
URL = re.compile(
    rf"(?P<stem>https?://[^?#]+?)(_({'|'.join(CHANNELS.names)}))+\.(?P<suffix>jpe?g|png|tiff?)",
    re.I,
)
"""An image of one channel, or a blend such as …_blue_red_green.jpg."""


def download_atlas(
    images: pd.DataFrame,
    table_path: Path,
    *,
    cache_dir: Path,
    n_connections: int,
    requests_per_second: float,
    skip_absent: bool,
    missing_channels: str | None,
) -> pd.DataFrame:
    """Download the four channels of each image of `find_atlas`.

    Args:
        images: those of `find_atlas`.
        table_path: where they are from.
        cache_dir: keeps every download, so that a later call resumes.
        n_connections, requests_per_second: see `download_images`.
        skip_absent: skip images that the server does not have, instead of raising an error.
        missing_channels: see `find_local`.

    Returns:
        The images, with the paths of files in place of the URLs.

    Raises:
        UserError: the server refuses or lacks images.
    """
    files = {
        url: _cache_path(cache_dir, url) for channel in CHANNELS.names for url in images[channel]
    }
    absent = download_images(files, n_connections, requests_per_second)
    for channel in CHANNELS.names:
        images[channel] = [ABSENT if url in absent else str(files[url]) for url in images[channel]]
    missing = lacking(images, CHANNELS.names, missing_channels)
    skipped = {each.rpartition("_")[0] for each in missing}
    images = images[~images["Id"].isin(skipped)]
    if (missing and not skip_absent) or not images["labelled"].any():
        raise UserError(
            f"the atlas lacks channels of images in {table_path}",
            expected=f"{', '.join(CHANNELS.names)} of every image",
            received=f"{len(missing)} not found (404): {first_names(missing)}",
            remedy="remove those rows, skip such images with fetch.skip_absent=true, or make an "
            "absent yellow or red channel black with fetch.missing_channels; finished downloads "
            "are kept",
        )
    if skipped:
        print(f"skipped {len(skipped)} images that the atlas lacks: {first_names(sorted(skipped))}")
    return images


def find_atlas(path: Path, labels: Labels, base_url: str) -> pd.DataFrame:
    """Read the table, with the URL of each channel in the column of its name.

    Args:
        path: a CSV with Target, optionally group, and Id or url (of any channel or a blend).
        labels: the labels of Target.
        base_url: prefix of <antibody>/<plate>_<well>_<field>_<channel>.jpg.

    Raises:
        UserError: the table is invalid.
    """
    table = read_table(path, labels, [], ["Id", "url"])
    if not {"Id", "url"} & set(table):
        raise UserError(
            f"{path} has neither Ids nor URLs",
            expected="a column Id (10580_1610_C1_1) or url (https://…_blue_red_green.jpg)",
            received=f"the columns {', '.join(map(str, table.columns.drop(['line', 'labelled'])))}",
            remedy="add one of them, or set fetch.path to another table",
        )
    cells = table["url"] if "url" in table else table["Id"]
    lines = zip(cells, table["line"], strict=True)
    stems = [_stem(cell, base_url, path, line) for cell, line in lines]
    for channel in CHANNELS.names:
        table[channel] = [f"{stem}_{channel}{suffix}" for stem, suffix in stems]
    if "Id" not in table:
        table["Id"] = ["_".join(stem.split("/")[-2:]) for stem, _ in stems]
    catalogue.check_ids(table, str(path))
    stated = antibodies(list(table["Id"]))
    table["antibody"] = [
        _antibody(stem) or each for (stem, _), each in zip(stems, stated, strict=True)
    ]
    _require_no_contradiction(table, path)
    return without_dropped(with_groups(table, list(table["antibody"])), path)


def _antibody(stem: str) -> str:
    """Return the antibody in a URL: the start of an Id as file name, or the folder; else "".

    >>> _antibody("https://images.proteinatlas.org/10580/1610_C1_1")
    '10580'
    """
    *_, folder, name = stem.split("/")
    if match := ATLAS_ID.fullmatch(name):
        return match["antibody"]
    return folder if folder.isdecimal() else ""


def _require_no_contradiction(table: pd.DataFrame, path: Path) -> None:
    """Refuse rows whose Id and URL are of two antibodies: one of the columns has slipped."""
    stated = antibodies(list(table["Id"]))
    different = (table["Id"] != stated) & (table["antibody"] != stated)
    if different.any():
        examples = [
            f"line {row['line']}: {row['Id']}, but antibody {row['antibody']} in the URL"
            for row in table[different].head().to_dict("records")
        ]
        raise UserError(
            f"{path} has Ids that contradict the URLs",
            expected="in each row an Id and a url of one antibody",
            received=f"{different.sum()} rows: {'; '.join(examples)}",
            remedy="correct the rows: their labels may be those of other images too",
        )


def _stem(cell: str, base_url: str, path: Path, line: str) -> tuple[str, str]:
    """Return the parts before and after the channel in the URLs of an image."""
    if match := URL.fullmatch(cell):
        return match["stem"], f".{match['suffix']}"
    if match := ID.fullmatch(cell):
        return f"{base_url.rstrip('/')}/{match['antibody']}/{match['rest']}", ".jpg"
    raise UserError(
        f"{path}, line {line}: not an image of the atlas",
        expected="an Id such as 10580_1610_C1_1, or a URL that ends in _<channel>.jpg",
        received=repr(cell),
        remedy="correct or remove the row",
    )


def _cache_path(cache_dir: Path, url: str) -> Path:
    """Map a URL to a path that is always inside the cache."""
    parts = urlsplit(url)
    words = [word for word in parts.path.split("/") if word not in ("", ".", "..")]
    return cache_dir.joinpath(parts.netloc.replace(":", "_"), *words)
