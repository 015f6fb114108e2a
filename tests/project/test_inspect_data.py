"""`inspect_data.py` as a user calls it: the lines that it writes fetch and pack the data."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hpa.data.packed.packed_images import PackedImages, read_index
from support.paths import ROOT
from support.scripts import run_script
from support.worlds import draw_pixels, write_csv, write_image

pytestmark = pytest.mark.slow
REAL = ROOT.parent / "shared" / "hpa"
N_IMAGES = 4


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (tmp_path / "own").mkdir()
    return tmp_path


def planes(number: int, n_channels: int, width: int = 64) -> np.ndarray:
    """Draw 12-bit channels [C,H,W]."""
    pixels = draw_pixels(number, 96, n_channels)[:64, :width].astype(np.uint16) * 16
    return np.moveaxis(pixels, -1, 0)


def write_ome(own: Path) -> str:
    """Stacks of OME-TIFF with blanks, names and two pixel sizes, listed in a table."""
    for n in range(N_IMAGES):
        tifffile.imwrite(
            own / f"plate7 ({n}).ome.tif",
            planes(n, 3)[:, None].repeat(2, 1),
            metadata={
                "axes": "CZYX",
                "Channel": {"Name": ["TxRed", "Alexa 488", "Hoechst"]},
                "PhysicalSizeX": 0.1 * (1 + n % 2),
                "PhysicalSizeY": 0.1 * (1 + n % 2),
            },
        )
    rows = [(f"plate7 ({n}).ome.tif", ("Mine", "Other one")[n % 2]) for n in range(N_IMAGES)]
    write_csv(own / "table.csv", ("file", "Target"), rows)
    return "own"


def write_plate(own: Path) -> str:
    """Wide 12-bit fields of wells, and the map of the wells."""
    for well in ("A01", "B02"):
        for field in range(N_IMAGES // 2):
            for number, name in enumerate(("DAPI", "GFP")):
                plane = planes(10 * ord(well[0]) + field, 2, 96)[number]
                tifffile.imwrite(own / f"exp_{well}_s{field}_{name}.tif", plane)
    write_csv(own / "map.csv", ("well", "label"), [("A1", "Mine"), ("B2", "Cytosol")])
    return "own/map.csv"


def write_cells(own: Path) -> str:
    """Cells on black in four channels, one of which lacks a file."""
    for n in range(N_IMAGES):
        write_image(own, f"a{n}", np.pad(draw_pixels(n), ((40, 40), (40, 40), (0, 0))))
    names = ("red", "green", "blue", "yellow")
    rows = [(f"a{n}", "Cytosol", *(f"a{n}_{name}.png" for name in names)) for n in range(N_IMAGES)]
    rows[1] = (*rows[1][:-1], "")
    write_csv(own / "cells.csv", ("Id", "Target", *names), rows)
    return "own/cells.csv"


def write_unnamed(own: Path) -> str:
    """ImageJ stacks whose channels have no names, in Kaggle's layout."""
    (own / "train").mkdir()
    for n in range(N_IMAGES):
        path = own / "train" / f"a{n}.tif"
        tifffile.imwrite(path, planes(n, 2), imagej=True, metadata={"axes": "CYX"})
    write_csv(own / "train.csv", ("Id", "Target"), [(f"a{n}", "25 0") for n in range(N_IMAGES)])
    return "own"


@pytest.mark.parametrize("write", [write_ome, write_plate, write_cells, write_unnamed])
def test_the_lines_written_fetch_and_pack_the_data(
    workspace: Path, write: Callable[[Path], str]
) -> None:
    path = write(workspace / "own")
    before = sorted(workspace.rglob("*"))
    arguments = ("--write", "mine.yaml", "--html", "look.html")
    done = run_script(workspace, "inspect_data", path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all can be used" in done.stdout
    new = set(workspace.rglob("*")) - set(before)
    assert new == {workspace / "mine.yaml", workspace / "look.html"}
    for script, *rest in (("apply_params", "mine.yaml"), ("fetch",), ("pack",)):
        done = run_script(workspace, script, *rest)
        assert done.returncode == 0, done.stdout + done.stderr
    index = read_index(workspace / "data" / "packed")
    assert index["Id"].str.replace(r"_tile\d+$", "", regex=True).nunique() == N_IMAGES
    assert set(index["blank"]) <= {"", "yellow"}
    assert len(PackedImages(workspace / "data" / "packed")) == len(index)


def test_several_tables_are_fetched_as_one_set(workspace: Path) -> None:
    for name in ("plate 7", "plate 8"):
        (workspace / "own" / name).mkdir()
        write_ome(workspace / "own" / name)
    paths = ("own/plate 7", "own/plate 8/table.csv")
    done = run_script(workspace, "inspect_data", *paths, "--write", "mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * N_IMAGES} images of 3 channels" in done.stdout
    for script, *rest in (("apply_params", "mine.yaml"), ("fetch",), ("pack",)):
        done = run_script(workspace, script, *rest)
        assert done.returncode == 0, done.stdout + done.stderr
    assert read_index(workspace / "data" / "packed")["source"].nunique() == 2


def test_the_exit_code_tells_what_would_be_refused(workspace: Path) -> None:
    path = write_cells(workspace / "own")
    (workspace / "own" / "a2_red.png").write_text("no image")
    done = run_script(workspace, "inspect_data", path)
    assert done.returncode == 1
    assert "1 of 4 images would be refused" in done.stdout
    assert "a2_red.png: neither a picture" in done.stdout


@pytest.mark.parametrize("output", ["params.yaml", "own/cells.csv", "no/folder.yaml", "own"])
def test_neither_parameters_nor_data_are_overwritten(workspace: Path, output: str) -> None:
    path = write_cells(workspace / "own")
    files = {each: each.read_bytes() for each in workspace.rglob("*") if each.is_file()}
    done = run_script(workspace, "inspect_data", path, "--write", output)
    assert done.returncode == 2
    assert "is not a file to write" in done.stderr
    assert {each: each.read_bytes() for each in workspace.rglob("*") if each.is_file()} == files


def test_stated_channels_are_those_of_the_files(workspace: Path) -> None:
    write_ome(workspace / "own")
    stated = "[{name: mine, role: protein, color: green}]"
    done = run_script(
        workspace, "inspect_data", "own", "--fetch.channels", stated, "--fetch.found_as", "mine=2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine (protein): as stated" in done.stdout
    assert "found_as: mine=2  # as stated" in done.stdout


@pytest.mark.skipif(not REAL.is_dir(), reason="real images of the atlas are not on this machine")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("cells/cells.csv", "2,070 images of 4 channels; 8,280 files"),
        ("cells", "2,070 images of 4 channels; 8,280 files"),
        ("sample48", "48 images of 4 channels; 192 files"),
    ],
)
def test_real_images_take_seconds(workspace: Path, path: str, words: str) -> None:
    started = os.times()
    done = run_script(workspace, "inspect_data", str(REAL / path))
    ended = os.times()
    assert done.returncode == 0, done.stdout + done.stderr
    assert words in done.stdout
    # Of processor time, as other tests may run: two cores do that in ten seconds.
    spent = sum(ended[2:4]) - sum(started[2:4])
    assert spent < 20
