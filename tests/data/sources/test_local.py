"""Fetching a user's files, from a folder or a CSV, into Kaggle's layout without silent changes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from hpa.data.images.catalogue import read_catalogue
from hpa.data.images.decoding import read_channel
from hpa.data.images.depth import DepthRule
from hpa.data.images.reading import ReadingRules
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.sources import local
from hpa.errors import UserError
from hpa.vocabulary.channels import Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from hpa.vocabulary.labels import Label, Labels
from support.fetching import fetch_local
from support.worlds import IDS, digests, draw_pixels, layout_digests, write_csv

PIXELS = draw_pixels(1, 48)


def fetch(raw_dir: Path, source_path: Path, **more: object) -> None:
    fetch_local(raw_dir, source_path=source_path, **{"vocabulary": HPA_2018, "n_jobs": 1, **more})  # type: ignore[arg-type]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def paths_csv(tmp_path: Path) -> Path:
    """Two images by a CSV of paths: TIFF, PNG and JPEG; the second has no labels."""
    own = tmp_path / "own"
    for number in (1, 2):
        for index, channel in enumerate(CHANNELS.names):
            suffix = {"red": "tif", "yellow": "jpg"}.get(channel, "png")
            save(own / f"plate/{number}-{channel}.{suffix}", PIXELS[..., index])
    cells = [[f"plate/{n}-red.tif", f"plate/{n}-green.png", f"plate/{n}-blue.png"] for n in (1, 2)]
    write_csv(
        own / "table.csv",
        ("Id", "Target", "group", "red", "green", "blue", "yellow"),
        [
            ("a", "Cytosol; nucleoplasm", "antibody 7", *cells[0], "plate/1-yellow.jpg"),
            ("b", "", "", *cells[1], "plate/2-yellow.jpg"),
        ],
    )
    return own / "table.csv"


def change(csv: Path, column: str, value: str) -> None:
    table = pd.read_csv(csv, dtype=str, keep_default_na=False)
    table.loc[0, column] = value
    table.to_csv(csv, index=False)


def test_a_folder_in_the_layout_is_copied_byte_by_byte(raw_world: Path, tmp_path: Path) -> None:
    for _ in range(2):
        fetch(tmp_path / "raw", raw_world)
    assert layout_digests(tmp_path / "raw") == digests(raw_world)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_only_files_listed_in_the_tables_are_copied(own_world: Path, tmp_path: Path) -> None:
    (own_world / "train" / "secret.png").write_bytes(b"x")
    (own_world / "notes.txt").write_text("x")
    fetch(tmp_path / "copy", own_world)
    copied = layout_digests(tmp_path / "copy")
    assert len(copied) == 4 * len(IDS) + 2
    assert "train/secret.png" not in copied


def test_a_folder_without_unlabelled_images_is_copied(own_world: Path, tmp_path: Path) -> None:
    (own_world / "sample_submission.csv").unlink()
    fetch(tmp_path / "copy", own_world)
    assert len(read_catalogue(tmp_path / "copy", HPA_2018)) == 40


def test_groups_are_copied(own_world: Path, tmp_path: Path) -> None:
    table = pd.read_csv(own_world / "train.csv").assign(group="one")
    table.to_csv(own_world / "train.csv", index=False)
    fetch(tmp_path / "copy", own_world)
    assert set(pd.read_csv(tmp_path / "copy/train.csv")["group"]) == {"one"}


def test_an_invalid_folder_leaves_the_older_copy(
    own_world: Path, raw_world: Path, tmp_path: Path
) -> None:
    fetch(tmp_path / "copy", own_world)
    (own_world / "train" / "cell-001_red.png").unlink()
    with pytest.raises(UserError, match=r"1 missing: cell-001_red\.png(.|\n)*missing_channels"):
        fetch(tmp_path / "copy", own_world)
    (own_world / "train" / "cell-001_red.jpg").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cell-001_red\.jpg cannot(.|\n)*neither a picture"):
        fetch(tmp_path / "copy", own_world)
    assert layout_digests(tmp_path / "copy") == digests(raw_world)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fetch\.path is neither a folder nor a CSV(.|\n)*nowhere"):
        fetch(tmp_path / "raw", tmp_path / "nowhere")


def test_a_disk_that_fills_up_is_a_clear_error(
    raw_world: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="not enough free disk for the copy"):
        fetch(small_disk / "raw", raw_world)
    monkeypatch.setattr(local, "require_free_space", lambda *_: None)
    with pytest.raises(UserError, match="the disk is full"):
        fetch(small_disk / "raw", raw_world)
    assert list(small_disk.iterdir()) == []


def test_originals_in_the_folder_that_is_replaced_are_refused(
    own_world: Path, paths_csv: Path, tmp_path: Path
) -> None:
    """The folder itself, the folder around the CSV, and one linked file of many."""
    before = digests(own_world), digests(paths_csv.parent)
    (tmp_path / "link").symlink_to(paths_csv.parent)
    with pytest.raises(UserError, match=r"which this stage replaces(.|\n)*move them"):
        fetch(own_world, own_world)
    with pytest.raises(UserError, match=r"9 inside: .*table\.csv"):
        fetch(tmp_path / "link", paths_csv)
    assert (digests(own_world), digests(paths_csv.parent)) == before
    raw_dir = tmp_path / "older"
    save(raw_dir / "red.tif", PIXELS[..., 0])
    (paths_csv.parent / "linked.tif").symlink_to(raw_dir / "red.tif")
    change(paths_csv, "red", "linked.tif")
    with pytest.raises(UserError, match=r"1 inside: .*linked\.tif"):
        fetch(raw_dir, paths_csv)
    assert [path.name for path in raw_dir.iterdir()] == ["red.tif"]


def test_a_folder_s_table_may_hold_names_of_labels_and_semicolons(
    own_world: Path, raw_world: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(own_world / "train.csv", dtype=str)
    names = [
        "; ".join(f"{LABELS.names[int(number)].upper()} (GO:0005654)" for number in cell.split())
        for cell in table["Target"]
    ]
    table.assign(Target=names).rename(columns={"Target": "target", "Id": "ID"}).to_csv(
        own_world / "train.csv", sep=";", index=False, encoding="utf-16"
    )
    fetch(tmp_path / "copy", own_world)
    assert layout_digests(tmp_path / "copy") == digests(raw_world)


def test_images_of_an_antibody_are_one_group_in_a_folder_and_in_a_csv(
    paths_csv: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(paths_csv, dtype=str, keep_default_na=False).drop(columns="group")
    ids = ["10580_1610_C1_1", "ENSG00000000003_10580_1756_B1_2"]
    table.assign(Id=ids, Target=["0", "0"]).to_csv(paths_csv, index=False)
    fetch(tmp_path / "raw", paths_csv)
    assert list(read_catalogue(tmp_path / "raw", HPA_2018)["group"]) == ["10580", "10580"]
    table = pd.read_csv(tmp_path / "raw/train.csv", dtype=str).drop(columns="group")
    table.to_csv(tmp_path / "raw/train.csv", index=False)
    fetch(tmp_path / "again", tmp_path / "raw")
    assert list(read_catalogue(tmp_path / "again", HPA_2018)["group"]) == ["10580", "10580"]


def test_tinted_files_of_the_atlas_are_taken_and_other_colours_refused(
    own_world: Path, raw_world: Path, tmp_path: Path
) -> None:
    """As the atlas shows them: each channel in its own colour; here as PNG, without loss."""
    tints = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
    for channel, tint in tints.items():
        path = own_world / f"train/cell-001_{channel}.png"
        grey = np.asarray(Image.open(path))
        Image.fromarray(grey[..., None] * np.array(tint, np.uint8)).save(path)
    fetch(tmp_path / "copy", own_world)
    for channel in CHANNELS.names:
        name = f"train/cell-001_{channel}.png"
        pixels = [read_channel(folder / name) for folder in (tmp_path / "copy", raw_world)]
        np.testing.assert_array_equal(*pixels)
    (own_world / "train/cell-001_red.png").write_bytes(
        (own_world / "train/cell-001_blue.png").read_bytes()
    )
    with pytest.raises(UserError, match=r"cell-001_red\.png cannot be read"):
        fetch(tmp_path / "other", own_world)


@pytest.mark.parametrize("column", ["Id", "Target", "group", "red", "green", "yellow"])
def test_a_duplicate_column_is_refused(paths_csv: Path, tmp_path: Path, column: str) -> None:
    header, *rows = paths_csv.read_text(encoding="utf-8").splitlines()
    paths_csv.write_text("\n".join([f"{header},{column}", *(f"{row},x" for row in rows)]))
    with pytest.raises(
        UserError, match=rf"not the expected table(.|\n)*missing or duplicate columns {column} "
    ):
        fetch(tmp_path / "raw", paths_csv)


def test_columns_without_a_unique_name_are_ignored(paths_csv: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "expected", paths_csv)
    header, *rows = paths_csv.read_text(encoding="utf-8").splitlines()
    lines = [f"{header},line,,,a,a", *(f"{row},1,2,3,4,5" for row in rows)]
    paths_csv.write_text("\n".join(lines))
    fetch(tmp_path / "raw", paths_csv)
    assert digests(tmp_path / "raw") == digests(tmp_path / "expected")


def test_a_csv_of_paths_converts_every_format(paths_csv: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "raw", paths_csv)
    images = read_catalogue(tmp_path / "raw", HPA_2018)
    assert list(images["Target"]) == ["0 25", ""]
    assert list(images["group"]) == ["antibody 7", "b"]
    for folder, image_id in (("train", "a"), ("test", "b")):
        channels = [
            read_channel(tmp_path / f"raw/{folder}/{image_id}_{name}.png")
            for name in CHANNELS.names
        ]
        for index in range(3):
            np.testing.assert_array_equal(channels[index], PIXELS[..., index])
        assert np.abs(channels[3].astype(int) - PIXELS[..., 3]).mean() < 8  # JPEG loses a little


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("Id", "", "Ids that are not file names in .*table.csv"),
        ("Id", "b", "duplicate Ids"),
        ("Id", "../b", "Ids that are not file names"),
        ("Target", "Cytosole", r"line 2, Id 'a': unknown label 'Cytosole'; did you mean Cytosol\?"),
        ("Target", "28", "line 2, Id 'a': unknown label '28'"),
        ("Target", "Cytosol;Cytosol", "duplicate label"),
        ("Target", "", "no labelled image"),
        ("red", "plate/9.tif", r"1 missing: line 2: .*plate/9\.tif"),
        ("green", "", "1 missing: a_green.png"),
        ("yellow", "", "1 missing: a_yellow.png"),
    ],
)
def test_an_error_in_the_csv_is_named(
    paths_csv: Path, tmp_path: Path, column: str, value: str, said: str
) -> None:
    change(paths_csv, column, value)
    with pytest.raises(UserError, match=said):
        fetch(tmp_path / "raw", paths_csv)
    assert not (tmp_path / "raw").exists()


def test_an_absent_channel_is_black_only_by_explicit_parameter(
    paths_csv: Path, tmp_path: Path
) -> None:
    change(paths_csv, "yellow", "")
    with pytest.raises(UserError, match=r"a_yellow(.|\n)*fetch\.missing_channels"):
        fetch(tmp_path / "raw", paths_csv, missing_channels="red")
    fetch(tmp_path / "raw", paths_csv, missing_channels="yellow")
    black = read_channel(tmp_path / "raw/train/a_yellow.png")
    assert (black.shape, black.max()) == ((48, 48), 0)
    assert read_channel(tmp_path / "raw/test/b_yellow.png").max() > 0  # there, so it is used


@pytest.mark.parametrize("bit", range(32))
def test_a_flipped_bit_in_the_width_that_sets_the_size_of_black_channels_is_refused(
    paths_csv: Path, tmp_path: Path, bit: int
) -> None:
    """Bytes 16 to 19 of a PNG are its width; half of these need more than any memory."""
    change(paths_csv, "yellow", "")
    green = paths_csv.parent / "plate/1-green.png"
    content = bytearray(green.read_bytes())
    content[16 + bit // 8] ^= 1 << bit % 8
    green.write_bytes(content)
    with pytest.raises(UserError, match=r"1-green\.png cannot be read(.|\n)*damaged IHDR chunk"):
        fetch(tmp_path / "raw", paths_csv, missing_channels="yellow")
    assert not (tmp_path / "raw").exists()


def test_two_files_for_one_channel_are_refused(own_world: Path, tmp_path: Path) -> None:
    save(own_world / "train/cell-001_red.tif", PIXELS[..., 0])
    with pytest.raises(UserError, match=r"cell-001_red\.png, cell-001_red\.tif"):
        fetch(tmp_path / "raw", own_world)


def test_names_that_are_almost_right_are_read_or_named(
    own_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = own_world / "train"
    fetch(tmp_path / "expected", own_world)
    (train / f"{IDS[0]}_red.png").rename(train / f"{IDS[0]}_Red.PNG")
    (train / f"{IDS[0]}_green.png").rename(train / f"{IDS[0]}-green.png")
    for name in (f"._{IDS[0]}_blue.png", ".DS_Store", f"{IDS[0]}_ch1.png", "unlisted_red.png"):
        (train / name).write_bytes(b"")
    capsys.readouterr()
    fetch(tmp_path / "copy", own_world)
    assert digests(tmp_path / "copy") == digests(tmp_path / "expected")
    said = capsys.readouterr().err
    for reason, name in (
        ("hidden", f"{train}/.DS_Store"),
        ("hidden", f"{train}/._{IDS[0]}_blue.png"),
        ("the name does not end", f"{IDS[0]}_ch1.png"),
        ("no row", "unlisted_red.png"),
    ):
        assert any(reason in line and name in line for line in said.splitlines()), name


def test_values_of_other_depths_are_converted_by_the_rule_that_is_set(
    paths_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.array([[0, 128, 129], [257, 32768, 65535]], np.uint16)
    save(paths_csv.parent / "deep.png", values)
    save(paths_csv.parent / "deep.tif", np.minimum(values, 4095))
    change(paths_csv, "red", "deep.png")

    def depth(rule: DepthRule) -> ReadingRules:
        return ReadingRules(CHANNELS, depth=rule)

    with pytest.raises(UserError, match=r"deep\.png cannot(.|\n)*65535\)(.|\n)*fetch\.depth"):
        fetch(tmp_path / "raw", paths_csv, rules=depth(DepthRule("refuse")))
    with pytest.raises(UserError, match=r"65535, is above 4095(.|\n)*fetch\.depth to camera"):
        fetch(tmp_path / "raw", paths_csv, rules=depth(DepthRule.of(4095)))
    fetch(tmp_path / "raw", paths_csv)
    # value / 257: 128 → 0.498 → 0; 129 → 0.502 → 1; 257 → 1; 32768 → 127.5 → 128; 65535 → 255
    assert read_channel(tmp_path / "raw/train/a_red.png").tolist() == [[0, 0, 1], [1, 128, 255]]
    said = capsys.readouterr().out
    assert (
        "converted channels to 8 bits by fetch.depth camera: 1 of 16-bit values; 0 pixels" in said
    )
    assert "1 of 2 images are left with fewer than 32 grey levels in a channel" in said
    change(paths_csv, "red", "deep.tif")
    fetch(tmp_path / "raw", paths_csv, rules=depth(DepthRule.of(4095)))
    # 255 · 257 / 4095 = 16.004; 255 · 128 / 4095 = 7.97; 255 · 129 / 4095 = 8.03
    assert read_channel(tmp_path / "raw/train/a_red.png").tolist() == [[0, 8, 8], [16, 255, 255]]


def test_channels_keep_their_size(paths_csv: Path, tmp_path: Path) -> None:
    save(paths_csv.parent / "large.tif", draw_pixels(2, 130)[..., 0])
    change(paths_csv, "red", "large.tif")
    fetch(tmp_path / "raw", paths_csv)
    assert read_channel(tmp_path / "raw/train/a_red.png").shape == (130, 130)


@pytest.mark.slow
def test_real_images_are_copied_unchanged(real_data: Path, tmp_path: Path) -> None:
    fetch_local(tmp_path / "raw", source_path=real_data / "sample48", vocabulary=HPA_2018)
    copied, original = layout_digests(tmp_path / "raw"), digests(real_data / "sample48")
    assert {name: copied[name] for name in copied if name.endswith(".png")} == {
        name: original[name] for name in original if name.endswith(".png")
    }


def test_in_a_temporary_copy_of_dvc_the_error_says_how_to_track_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git and DVC know nothing of own/mydata, so the copy of `dvc exp run --temp` lacks it."""
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpcopy"
    copy.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for folder, told in ((copy, True), (tmp_path, False)):
        monkeypatch.chdir(folder)
        with pytest.raises(UserError) as refused:
            fetch_local(Path("data/raw"), source_path=Path("own/mydata"), vocabulary=HPA_2018)
        said = str(refused.value)
        assert ("dvc add own/mydata && git add own/mydata.dvc" in said) == told
        assert ("--copy-paths own/mydata" in said) == told


PLATE = Vocabulary(
    Labels((Label(3, "Axoneme"), Label(7, "Basal body"))),
    Channels(
        (
            Channel("DAPI", "nucleus", "blue"),
            Channel("GFP-1", "protein", "#ff8000"),
            Channel("infra-red", "other", "cyan"),
            Channel("red", "other", "red"),
        )
    ),
)


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Two images in files named after four channels of a laboratory."""
    folder = tmp_path / "plate"
    write_csv(folder / "train.csv", ("Id", "Target"), [("a", "basal body"), ("b", "3 7")])
    for number, image_id in enumerate("ab"):
        for index, channel in enumerate(PLATE.channels.names):
            save(folder / f"train/{image_id}_{channel}.png", draw_pixels(number, 48)[..., index])
    return folder


def test_any_channels_are_read_from_files_of_their_names(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (plate / "train/a_DAPI.png").rename(plate / "train/a-dapi.png")
    (plate / "train/a_infra-red.png").rename(plate / "train/a-INFRA-RED.PNG")
    fetch(tmp_path / "raw", plate, vocabulary=PLATE)
    assert capsys.readouterr().err == ""  # nothing is passed over
    assert (tmp_path / "raw/train.csv").read_text() == "Id,Target\na,7\nb,3 7\n"
    assert read_vocabulary(tmp_path / "raw") == PLATE
    for number, image_id in enumerate("ab"):
        for index, channel in enumerate(PLATE.channels.names):
            pixels = read_channel(tmp_path / f"raw/train/{image_id}_{channel}.png")
            np.testing.assert_array_equal(pixels, draw_pixels(number, 48)[..., index])


def test_any_channels_are_read_from_columns_of_their_names(plate: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "expected", plate, vocabulary=PLATE)
    header = ("id", "INFRA-red", "target", "gfp-1", "Red", "dapi")
    cells = [[f"train/{i}_{n}.png" for n in ("infra-red", "GFP-1", "red", "DAPI")] for i in "ab"]
    targets = ("Basal body", "Basal body; Axoneme")
    rows = [
        (image_id, one, target, *others)
        for image_id, target, (one, *others) in zip("ab", targets, cells, strict=True)
    ]
    write_csv(plate / "table.csv", header, rows)
    fetch(tmp_path / "raw", plate / "table.csv", vocabulary=PLATE)
    assert digests(tmp_path / "raw") == digests(tmp_path / "expected")


def test_one_channel_alone_is_the_protein(plate: Path, tmp_path: Path) -> None:
    alone = Vocabulary(PLATE.labels, Channels((Channel("GFP-1", "protein", "green"),)))
    fetch(tmp_path / "raw", plate, vocabulary=alone)
    assert sorted(path.name for path in (tmp_path / "raw/train").iterdir()) == [
        "a_GFP-1.png", "b_GFP-1.png",
    ]  # fmt: skip


def test_a_channel_that_no_file_has_is_named_at_once_with_the_endings_that_occur(
    plate: Path, tmp_path: Path
) -> None:
    for path in (plate / "train").glob("*_DAPI.png"):
        path.rename(path.with_name(path.name.replace("_DAPI", "_hoechst")))
    for path in (plate / "train").glob("*_GFP-1.png"):
        path.rename(path.with_name(path.name.replace("_GFP-1", "_GFP-2")))
    with pytest.raises(UserError) as caught:
        fetch(tmp_path / "raw", plate, vocabulary=PLATE)
    said = str(caught.value)
    assert f"no file of {plate} is the channel DAPI or GFP-1" in said
    assert "fetch.channels: DAPI, GFP-1, infra-red, red" in said
    assert (
        "8 pictures whose names end in _GFP-2 (2), _hoechst (2), _infra-red (2), _red (2)" in said
    )
    assert "fetch.missing_channels makes any but GFP-1 black" in said
    with pytest.raises(UserError, match=r"is the channel GFP-1\n"):
        fetch(tmp_path / "raw", plate, vocabulary=PLATE, missing_channels="DAPI red")
    assert not (tmp_path / "raw").exists()


def test_a_folder_without_pictures_is_said_to_have_none(plate: Path, tmp_path: Path) -> None:
    for path in (plate / "train").iterdir():
        path.rename(path.with_suffix(".bmp"))
    with pytest.raises(UserError, match=rf"no PNG, TIFF or JPEG in {plate}/train"):
        fetch(tmp_path / "raw", plate, vocabulary=PLATE)


def test_a_channel_that_no_column_has_is_named_with_the_columns(
    plate: Path, tmp_path: Path
) -> None:
    rows = [("a", "3", "train/a_red.png", "", "x"), ("b", "7", "train/b_red.png", "", "y")]
    write_csv(plate / "table.csv", ("Id", "Target", "red", "DAPI", "green"), rows)
    with pytest.raises(UserError) as caught:
        fetch(tmp_path / "raw", plate / "table.csv", vocabulary=PLATE)
    said = str(caught.value)
    assert f"no column of {plate}/table.csv is the channel DAPI or GFP-1 or infra-red" in said
    assert "the columns Id, Target, red, DAPI (empty), green\n" in said


def test_any_missing_channel_but_the_protein_is_black_in_the_size_of_the_protein(
    plate: Path, tmp_path: Path
) -> None:
    for name in ("DAPI", "infra-red"):
        (plate / f"train/a_{name}.png").unlink()
    save(plate / "train/a_GFP-1.png", np.full((30, 50), 9, np.uint8))
    with pytest.raises(UserError, match=r"1 missing: a_infra-red\.png(.|\n)*DAPI or infra-red or"):
        fetch(tmp_path / "raw", plate, vocabulary=PLATE, missing_channels="DAPI")
    fetch(tmp_path / "raw", plate, vocabulary=PLATE, missing_channels="DAPI infra-red")
    for name in ("DAPI", "infra-red"):
        black = read_channel(tmp_path / f"raw/train/a_{name}.png")
        assert (black.shape, black.max()) == ((30, 50), 0)
        assert read_channel(tmp_path / f"raw/train/b_{name}.png").max() > 0


def test_a_channel_may_be_tinted_in_its_display_colour(plate: Path, tmp_path: Path) -> None:
    """GFP-1 is displayed as #ff8000: half as much green as red, no blue."""
    grey = draw_pixels(0, 48)[..., 1]
    half = np.rint(grey * (128 / 255)).astype(np.uint8)
    save(plate / "train/a_GFP-1.png", np.dstack([grey, half, np.zeros_like(grey)]))
    fetch(tmp_path / "raw", plate, vocabulary=PLATE)
    np.testing.assert_array_equal(read_channel(tmp_path / "raw/train/a_GFP-1.png"), grey)
    save(plate / "train/a_GFP-1.png", np.dstack([grey, np.zeros_like(grey), np.zeros_like(grey)]))
    with pytest.raises(UserError, match=r"a_GFP-1\.png cannot(.|\n)*light outside #ff8000"):
        fetch(tmp_path / "raw", plate, vocabulary=PLATE)


def test_unknown_labels_are_one_error(plate: Path, tmp_path: Path) -> None:
    rows = [("a", "7; Centriole"), ("b", "Centriole, Axonem, 8")]
    write_csv(plate / "train.csv", ("Id", "Target"), rows)
    with pytest.raises(UserError) as caught:
        fetch(tmp_path / "raw", plate, vocabulary=PLATE)
    said = str(caught.value)
    assert "the label numbers 3, 7, or names such as Axoneme" in said
    assert "2 rows, lines 2, 3: unknown label 'Centriole'\n" in said
    assert "line 3, Id 'b': unknown label 'Axonem'; did you mean Axoneme?\n" in said
    assert "line 3, Id 'b': unknown label '8'\n" in said
    assert "fetch.labels" in said


def test_a_folder_of_another_vocabulary_is_refused(plate: Path, tmp_path: Path) -> None:
    """Otherwise number 3 would silently become the competition's fourth label."""
    fetch(tmp_path / "raw", plate, vocabulary=PLATE)
    fetch(tmp_path / "again", tmp_path / "raw", vocabulary=PLATE)
    with pytest.raises(UserError, match=r"another vocabulary(.|\n)*labels without 2: Axoneme"):
        fetch(tmp_path / "other", tmp_path / "raw")


def stack(path: Path, pixels: np.ndarray = PIXELS) -> None:
    """Write an OME-TIFF of the four channels of the competition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.moveaxis(pixels, -1, 0)
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS.names)}}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)


def channels_of(raw_dir: Path, image: str) -> np.ndarray:
    return np.dstack([read_channel(raw_dir / f"{image}_{name}.png") for name in CHANNELS.names])


def test_a_folder_may_hold_files_of_all_channels(
    own_world: Path, raw_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = own_world / "train"
    pixels = channels_of(own_world / "train", IDS[0])
    for name in CHANNELS.names:
        (train / f"{IDS[0]}_{name}.png").unlink()
    stack(train / f"{IDS[0]}.ome.tif", pixels)
    stack(train / "unlisted.ome.tif")
    save(train / "one plane.tif", PIXELS[..., 0])
    fetch(tmp_path / "copy", own_world)
    assert layout_digests(tmp_path / "copy").keys() == digests(raw_world).keys()
    np.testing.assert_array_equal(channels_of(tmp_path / "copy/train", IDS[0]), pixels)
    said = capsys.readouterr().err
    assert f"no row of the tables has its name as Id): {train}/unlisted.ome.tif\n" in said
    assert "blue, _yellow): " in said
    assert "one plane.tif" in said
    save(train / f"{IDS[0]}_red.png", PIXELS[..., 0])
    with pytest.raises(UserError, match=r"cell-000\.ome\.tif, cell-000_red\.png"):
        fetch(tmp_path / "copy", own_world)


def test_ids_that_no_file_has_are_named_with_the_files_that_no_row_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tmp_path / "own/train.csv", ("Id", "Target"), [("a", "0")])
    for channel in CHANNELS.names:
        save(tmp_path / f"own/train/b_{channel}.png", PIXELS[..., 0])
    for _ in range(2):
        with pytest.raises(UserError, match=r"4 missing: a_red\.png"):
            fetch(tmp_path / "raw", tmp_path / "own")
        assert "no row of the tables" in capsys.readouterr().err
        for path in (tmp_path / "own/train").glob("*.png"):
            path.unlink()
        stack(tmp_path / "own/train/b.ome.tif")


def test_pictures_of_any_name_are_images_of_one_channel(plate: Path, tmp_path: Path) -> None:
    alone = Vocabulary(PLATE.labels, Channels((Channel("sytox", "protein", "green"),)))
    for image_id in "ab":
        (plate / f"train/{image_id}_DAPI.png").rename(plate / f"train/{image_id}.png")
    fetch(tmp_path / "copy", plate, vocabulary=alone)
    assert sorted(path.name for path in (tmp_path / "copy/train").iterdir()) == [
        "a_sytox.png", "b_sytox.png",
    ]  # fmt: skip


def test_a_folder_of_files_of_all_channels_alone_is_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "own/train.csv", ("Id", "Target"), [("a (1)", "0")])
    stack(tmp_path / "own/train/a (1).ome.tif")
    fetch(tmp_path / "raw", tmp_path / "own")
    np.testing.assert_array_equal(channels_of(tmp_path / "raw/train", "a (1)"), PIXELS)


@pytest.mark.parametrize(
    "lines",
    [
        ("Id,Target,file", "a,0,x/1.ome.tif", "b,,x/2.ome.tif"),
        ("Id,Target,image,green", "a,0,x/1.ome.tif,", "b,,x/2.ome.tif,"),
        ("Target;file;Id", "0;x/1.ome.tif;a", ";x/2.ome.tif;b"),
    ],
)
def test_a_table_may_name_one_file_of_all_channels(tmp_path: Path, lines: tuple[str, ...]) -> None:
    for name in ("1", "2"):
        stack(tmp_path / f"own/x/{name}.ome.tif")
    (tmp_path / "own/table.csv").write_text("\n".join(lines))
    fetch(tmp_path / "raw", tmp_path / "own/table.csv")
    for image in ("train/a", "test/b"):
        np.testing.assert_array_equal(channels_of(tmp_path / "raw", image), PIXELS)


def test_a_table_of_subcellportable_with_labels_is_read(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for k, name in enumerate(("mt", "prot", "nuc", "er")):
        save(own / f"images/c1_{name}.png", PIXELS[..., k])
    (own / "path_list.csv").write_text(
        "#r_image,y_image,b_image,g_image,output_prefix,Target\n"
        "images/c1_mt.png,images/c1_er.png,images/c1_nuc.png,images/c1_prot.png,A/cell1_,Cytosol\n"
        "#images/c1_mt.png,,,images/skipped.png,A/cell2_,Cytosol\n"
        "images/c1_mt.png,images/c1_er.png,images/c1_nuc.png,images/c1_prot.png,,\n"
    )
    fetch(tmp_path / "raw", own / "path_list.csv")
    np.testing.assert_array_equal(channels_of(tmp_path / "raw/train", "A_cell1"), PIXELS)
    np.testing.assert_array_equal(channels_of(tmp_path / "raw/test", "c1"), PIXELS)


def test_words_in_names_are_channels_of_a_folder(own_world: Path, tmp_path: Path) -> None:
    (own_world / "sample_submission.csv").unlink()
    fetch(tmp_path / "expected", own_world)
    for path in sorted((own_world / "train").glob("*.png")):
        name, channel = path.stem.rsplit("_", 1)
        path.rename(path.with_name(f"C{CHANNELS.names.index(channel) + 1}-{name}.png"))
    with pytest.raises(UserError) as caught:
        fetch(tmp_path / "copy", own_world)
    assert (
        'set fetch.found_as or serve.found_as: "CHANNEL=C1; CHANNEL=C2; CHANNEL=C3; CHANNEL=C4"'
        in str(caught.value)
    )
    for pattern in (None, r"(?P<channel>C\d)-(?P<name>.+)"):
        found_as = "red=C1; green=C2; blue=C3; yellow=C4"
        fetch(tmp_path / "copy", own_world, found_as=found_as, pattern=pattern)
        assert digests(tmp_path / "copy") == digests(tmp_path / "expected")


def test_a_folder_of_zarr_is_measured_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "own/train/a.ome.zarr/0"
    inside.mkdir(parents=True)
    (inside / "chunk").write_bytes(b"1234567")
    write_csv(tmp_path / "own/train.csv", ("Id", "Target"), [("a", "0")])
    images = local.find_local(tmp_path / "own", HPA_2018)
    assert list(images["green"]) == list(images["red"]) == [str(inside.parent)]
    asked = []
    monkeypatch.setattr(local, "require_free_space", lambda *given: asked.append(given[1]))
    local.require_outside(tmp_path / "raw", tmp_path / "own", images, HPA_2018)
    assert asked == [7]
