"""Plate maps: wells and labels, joined to files by a pattern of their names."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from PIL import Image

from hpa.data.images.catalogue import read_catalogue
from hpa.data.sources.fetched_labels import FROM_TABLE, fetched_labels
from hpa.data.sources.local import find_local, labelled_table
from hpa.data.sources.plate_maps import normal_well
from hpa.errors import UserError
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from support.fetching import fetch_local
from support.paths import ROOT
from support.worlds import draw_pixels

PATTERN = r"(?P<well>[A-P]\d+)_s(?P<field>\d+)_(?P<channel>\w+)"
PIXELS = draw_pixels(1, 48)


def write_field(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, channel in enumerate(CHANNELS.names):
        Image.fromarray(PIXELS[..., k]).save(folder / f"{name}_{channel}.png")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Two fields of A1, one of B02, and a file of a well that the map lacks."""
    folder = tmp_path / "plate7"
    for name in ("A01_s1", "A01_s2", "B2_s1"):
        write_field(folder / "images", name)
    (folder / "images" / "H12_s1_green.png").write_bytes(b"")
    (folder / "images" / "notes.txt").write_bytes(b"")
    (folder / "map.csv").write_text("Well,Label\na1,Cytosol; Nucleoplasm\nB02,\nC3,Cytosol\n")
    return folder / "map.csv"


def find(path: Path, pattern: str | None = PATTERN, **more: Any) -> pd.DataFrame:
    return find_local(path, HPA_2018, pattern=pattern, **more)


def test_a_map_labels_the_files_of_its_wells(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_local(tmp_path / "raw", source_path=plate, vocabulary=HPA_2018, pattern=PATTERN, n_jobs=1)
    said = capsys.readouterr().err
    assert "map.csv without a file (1): C3" in said
    assert "the map does not have its well): " in said
    assert "H12_s1_green.png" in said
    assert "notes.txt" in said
    assert "map.csv" not in said.split("wells of")[0]
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert images[["Id", "Target", "group", "folder"]].to_numpy().tolist() == [
        ["A01_1", "0 25", "plate7/images/A1", "train"],
        ["A01_2", "0 25", "plate7/images/A1", "train"],
        ["B2_1", "", "B2_1", "test"],
    ]
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "raw/train/A01_1_green.png")), PIXELS[..., 1]
    )


def test_the_documented_map_is_joined_as_documented(tmp_path: Path) -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    table, params = re.findall(
        r"^```(?:yaml)?\n(.*?)^```", text.partition("### Plate maps")[2], re.MULTILINE | re.DOTALL
    )[:2]
    fetch = yaml.safe_load(params)["fetch"]
    folder = tmp_path / Path(fetch["path"]).parent
    for name in ("A01_s2", "A2_s1", "B01_s1"):
        write_field(folder / "anywhere", name)
    (tmp_path / fetch["path"]).write_text(table)
    images = find(tmp_path / fetch["path"], fetch["pattern"])
    assert dict(zip(images["Id"], images["Target"], strict=True)) == {
        "A01_2": "25", "A2_1": "0 2", "B01_1": "",
    }  # fmt: skip


def test_the_labels_of_a_map_are_those_of_a_table(plate: Path) -> None:
    assert fetched_labels(FROM_TABLE, labelled_table(plate)).names == ("Cytosol", "Nucleoplasm")


def test_files_of_several_channels_are_joined_too(tmp_path: Path) -> None:
    stack = np.zeros((4, 16, 16), np.uint16)
    for name in ("a_A1.ome.tif", "a_B1.ome.tif"):
        tifffile.imwrite(tmp_path / name, stack, photometric="minisblack")
    tifffile.imwrite(tmp_path / "a_A2.ome.tif", stack[0])
    (tmp_path / "map.csv").write_text("well;label\nA1;Cytosol\nA02;Cytosol\nB01;Golgi apparatus\n")
    images = find(tmp_path / "map.csv", r"(?P<name>.+_(?P<well>\w\d))")
    assert list(images["Id"]) == ["a_A1", "a_B1"]
    assert set(images["green"]) == set(images["red"]) == {
        str(tmp_path / "a_A1.ome.tif"), str(tmp_path / "a_B1.ome.tif"),
    }  # fmt: skip


def test_wells_of_two_folders_are_two_groups_and_two_ids(plate: Path) -> None:
    write_field(plate.parent / "second", "A1_s1")
    write_field(plate.parent / "images", "A1_s1")  # beside A01_s1
    images = find(plate).set_index("Id")
    assert dict(images["group"]) == {
        "images_A01_1": "plate7/images/A1",
        "images_A01_2": "plate7/images/A1",
        "images_A1_1": "plate7/images/A1",
        "images_B2_1": "plate7/images/B2",
        "second_A1_1": "plate7/second/A1",
    }


def test_plates_of_a_map_are_folders_or_words_in_names(tmp_path: Path) -> None:
    write_field(tmp_path / "P1", "A1_s1")
    write_field(tmp_path, "p2_A1_s1")
    write_field(tmp_path, "P3_A1_s1")
    table = tmp_path / "map.csv"
    table.write_text("plate,well,label\nP1,A1,Cytosol\nP2,A1,Aggresome\nP12,A1,Cytosol\n")
    images = find(table, rf"(?P<name>(.*_)?{PATTERN[:-17]})_(?P<channel>\w+)").set_index("Id")
    assert dict(images["Target"]) == {
        "A1_s1": str(LABELS.names.index("Cytosol")),
        "p2_A1_s1": str(LABELS.names.index("Aggresome")),
    }
    assert images["group"].nunique() == 2


def test_a_group_of_the_map_joins_wells(plate: Path) -> None:
    plate.write_text("well,label,group\nA1,Cytosol,drug\nB2,Cytosol,drug\n")
    assert set(find(plate)["group"]) == {"drug"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("well,label\nA1,Cytosol\nA01,Cytosol\n", r"well A01 twice, in lines 2 and 3"),
        ("well,label\nA1,Cytosol\n,Cytosol\n", "no well in line 3"),
        ("well,label\nA1,\n", "no labelled image"),
        ("well,label\nA1,Cytosole\n", r"line 2: unknown label 'Cytosole'"),
        ("well,dose\nA1,3\n", "missing or duplicate columns Target"),
        ("well,label\nD5,Cytosol\n", r"no file below .* is of a labelled well of map\.csv"),
        ("well,label\nA1,\nD5,Cytosol\n", r"no file below .* is of a labelled well"),
    ],
)
def test_a_map_that_cannot_be_joined_is_refused(plate: Path, text: str, said: str) -> None:
    plate.write_text(text)
    with pytest.raises(UserError, match=said):
        find(plate)


@pytest.mark.parametrize("pattern", [None, r"(?P<name>.+)_(?P<channel>\w+)"])
def test_a_map_needs_a_pattern_of_wells_and_suggests_one(plate: Path, pattern: str | None) -> None:
    with pytest.raises(UserError) as caught:
        find(plate, pattern)
    assert "the group well" in str(caught.value)
    suggested = str(caught.value).split("fetch.pattern: '")[1].split("'")[0]
    assert list(find(plate, suggested)["Id"]) == ["A01_s1", "A01_s2", "B2_s1"]


def test_a_table_of_images_with_wells_is_not_a_plate_map(plate: Path) -> None:
    plate.write_text("Id,well,Target,gfp\na,A1,Cytosol,images/A01_s1_green.png\n")
    with pytest.raises(UserError, match=r"no column of .* is the channel red(.|\n)*well, Target"):
        find(plate)
    plate.write_text("Id,well,label,file\na,A1,Cytosol,images/A01_s1_green.png\n")
    assert list(find(plate)["Target"]) == ["25"]


def test_two_files_for_one_channel_of_a_well_are_refused(plate: Path) -> None:
    with pytest.raises(UserError, match=r"'A01'(.|\n)*A01_s1_blue\.png and .*A01_s2_blue\.png"):
        find(plate, r"(?P<well>[A-P]\d+)_s\d+_(?P<channel>\w+)")


def test_an_image_of_two_wells_is_refused(plate: Path) -> None:
    plate.write_text("well,label\nA1,Cytosol\nB2,Aggresome\n")
    with pytest.raises(UserError, match=r"the image '1_blue' is of two wells, A1 and B2"):
        find(plate, r"(?P<well>[A-P]\d+)_s(?P<name>\d+_\w+)")


def test_channels_that_the_pattern_finds_and_nothing_names_are_in_the_error(plate: Path) -> None:
    for path in (plate.parent / "images").glob("*.png"):
        path.rename(path.with_name(path.name.replace("_green", "_w1").replace("_red", "_w2")))
    with pytest.raises(
        UserError, match=r"the channel red or green(.|\n)*channel w1, which"
    ) as caught:
        find(plate)
    assert "fetch.found_as" in str(caught.value)
    found = find(plate, found_as="green=w1; red=w2")
    assert (found["green"] != "").all()


def test_a_folder_without_a_table_says_how_to_write_one(plate: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no table of labels") as caught:
        find(plate.parent)
    said = str(caught.value)
    assert "Id, Target and file" in said
    assert "columns well and label" in said
    assert f"this folder has {plate}" in said
    assert "13 images' files: A01_s1_blue.png" in said
    assert "(?P<well>" in said
    assert "(?P<channel>" in said
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        labelled_table(tmp_path / "empty")
    assert "0 images' files" in str(caught.value)
    assert "(?P<" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("A1", "A1"), ("a01", "A1"), ("A001", "A1"), ("P24", "P24"), ("aa12", "AA12"),
        ("B - 2", "B2"), ("B-02", "B2"), ("r02c03", "B3"), ("R27C1", "AA1"), ("left", "left"),
        ("A0", "a0"), ("12", "12"), ("", ""),
    ],
)  # fmt: skip
def test_a_well_has_one_name(text: str, well: str) -> None:
    assert normal_well(text) == well
