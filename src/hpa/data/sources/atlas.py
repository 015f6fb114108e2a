"""Source `hpa`: pictures of the public Human Protein Atlas, by a table of image ids or URLs.

The table may be that of HPAv18 (`Id,Target`, Ids such as 10580_1610_C1_1: antibody, plate, well,
field). The label set is constant for an antibody there, so images of one antibody are one group.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from hpa.data.images import catalogue
from hpa.data.sources.downloads import download_images
from hpa.data.sources.layout import ABSENT, lacking, write_layout
from hpa.data.sources.tables import read_table, with_groups
from hpa.errors import UserError
from hpa.labels import CHANNELS

ID = re.compile(r"(?P<antibody>\d+)_(?P<rest>[\w.-]+)")
URL = re.compile(
    rf"(?P<stem>https?://[^?#]+?)(_({'|'.join(CHANNELS)}))+\.(?P<suffix>jpe?g|png|tiff?)", re.I
)
"""A picture of the atlas: one channel's, or a blend such as …_blue_red_green.jpg."""


def fetch_atlas(
    raw_dir: Path,
    *,
    table_path: Path,
    base_url: str,
    cache_dir: Path,
    n_connections: int,
    requests_per_second: float,
    skip_absent: bool = False,
    missing_channels: str | None = None,
    sixteen_bit_white: int | None = None,
    n_jobs: int = -1,
) -> None:
    """Download the four channels of each image of a table, and bring them into the layout.

    Args:
        raw_dir: becomes the folder in Kaggle's layout; an older one is replaced.
        table_path: a CSV with Target, perhaps group, and Id or url (any channel's or a blend's).
        base_url: what stands before <antibody>/<plate>_<well>_<field>_<channel>.jpg.
        cache_dir: keeps every download, so that a repeat goes on from there.
        n_connections, requests_per_second: politeness, see `download_images`.
        skip_absent: leave out images that the server lacks; otherwise they are refused.
        missing_channels, sixteen_bit_white, n_jobs: see `fetch_local`.

    Raises:
        UserError: the table is unfit, the server refuses or lacks images, or a file is unfit.
    """
    images = _read_atlas_table(table_path, base_url)
    files = {url: _place(cache_dir, url) for channel in CHANNELS for url in images[channel]}
    absent = download_images(
        files, n_connections=n_connections, requests_per_second=requests_per_second
    )
    for channel in CHANNELS:
        images[channel] = [ABSENT if url in absent else str(files[url]) for url in images[channel]]
    missing = lacking(images, missing_channels)
    if missing and not skip_absent:
        raise _incomplete(table_path, missing)
    without = {image_id for image_id, _ in missing}
    images = images[~images["Id"].isin(without)]
    if without:
        print(f"left out {len(without)} images that the atlas lacks: {_some(sorted(without))}")
    if not images["labelled"].any():
        raise _incomplete(table_path, missing)
    write_layout(raw_dir, images, tinted=True, sixteen_bit_white=sixteen_bit_white, n_jobs=n_jobs)


def _read_atlas_table(path: Path, base_url: str) -> pd.DataFrame:
    """Read the table, with the URL of each channel in the column of its name."""
    table = read_table(path, [], ["Id", "url"])
    if not {"Id", "url"} & set(table):
        raise UserError(
            f"{path} names no image",
            expected="a column Id (10580_1610_C1_1) or url (https://…_blue_red_green.jpg)",
            received=f"the columns {', '.join(map(str, table.columns.drop(['line', 'labelled'])))}",
            remedy="add one of them, or name another table with fetch.path",
        )
    cells = table["url"] if "url" in table else table["Id"]
    stems = [
        _stem(cell, base_url, path, line) for cell, line in zip(cells, table["line"], strict=True)
    ]
    for channel in CHANNELS:
        table[channel] = [f"{stem}_{channel}{suffix}" for stem, suffix in stems]
    if "Id" not in table:
        table["Id"] = ["_".join(stem.split("/")[-2:]) for stem, _ in stems]
    catalogue.check_ids(table, str(path))
    antibodies = [
        match["antibody"] if (match := ID.fullmatch(image_id)) else image_id
        for image_id in table["Id"]
    ]
    return with_groups(table, antibodies)


def _stem(cell: str, base_url: str, path: Path, line: str) -> tuple[str, str]:
    """Return what stands before and after the colour in an image's URLs."""
    if match := URL.fullmatch(cell):
        return match["stem"], f".{match['suffix']}"
    if match := ID.fullmatch(cell):
        return f"{base_url.rstrip('/')}/{match['antibody']}/{match['rest']}", ".jpg"
    raise UserError(
        f"{path}, line {line}: no image of the atlas",
        expected="an Id such as 10580_1610_C1_1, or a URL that ends in _<channel>.jpg",
        received=repr(cell),
        remedy="mend or remove the row",
    )


def _place(cache_dir: Path, url: str) -> Path:
    """Mirror a URL below the cache; no part of it can lead out."""
    parts = urlsplit(url)
    words = [word for word in parts.path.split("/") if word not in ("", ".", "..")]
    return cache_dir.joinpath(parts.netloc.replace(":", "_"), *words)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _incomplete(path: Path, missing: list[tuple[str, str]]) -> UserError:
    names = [f"{image_id}_{channel}" for image_id, channel in missing]
    return UserError(
        f"the atlas lacks pictures of images in {path}",
        expected=f"{', '.join(CHANNELS)} of every image",
        received=f"{len(missing)} not found (404): {_some(names)}",
        remedy="remove those rows, leave such images out with fetch.skip_absent=true, or make an "
        "absent yellow or red channel black with fetch.missing_channels; the rest stays downloaded",
    )
