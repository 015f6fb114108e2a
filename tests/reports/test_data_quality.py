"""Data quality: drift, findings and the page."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.splits.splitting import write_split
from hpa.errors import UserError
from hpa.reports.data_quality import (
    channel_drift,
    drift_findings,
    effect_in_words,
    findings,
    inspect,
)
from hpa.reports.data_quality_page import plot_counts, quality_page
from hpa.reports.heatmaps import pair_shares
from hpa.reports.run_facts import data_facts
from hpa.vocabulary import hpa2018
from support.paths import ROOT
from support.worlds import IDS, NEAR_COPIES

FACTS = data_facts(
    {"fetch.source": "local"},
    {"fetch.source": "synthetic"},
    {"git.commit": "abc", "git.dirty": "false"},
    images="44 of 32 × 32 pixels",
    written_at="2026-01-02T03:04+00:00",
    image_side_um=None,
)


@pytest.fixture(scope="module")
def split_dir(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality") / "split"
    assign_in_turn(packed_world, folder, "train", "val", "test")
    return folder


def assign_in_turn(packed_dir: Path, split_dir: Path, *names: str) -> None:
    """Assign the labelled images to the splits in turn."""
    index = read_index(packed_dir)
    split = np.resize(np.array(names, dtype=object), len(index))
    split[~index["labelled"]] = "unlabelled"
    write_split(
        split_dir,
        index,
        hpa2018.LABELS,
        pd.DataFrame({"Id": index["Id"], "group": 0, "split": split}),
    )


def brightness(**splits: list[float]) -> pd.DataFrame:
    """Return an index in which every channel has the given mean grey levels."""
    rows = [(split, level / 255) for split, levels in splits.items() for level in levels]
    index = pd.DataFrame(rows, columns=["split", "level"])
    for channel in hpa2018.CHANNELS.names:
        index[f"{channel}_mean"] = index["level"]
        index[f"{channel}_std"] = 0.1
    return index


def test_drift_matches_numbers_computed_by_hand() -> None:
    drift = channel_drift(brightness(train=[10, 20, 30], test=[16, 26, 36]), hpa2018.CHANNELS)
    assert list(drift["split"]) == ["train"] * 4 + ["test"] * 4
    row = drift[(drift["split"] == "test") & (drift["channel"] == "blue")].iloc[0]
    # Means 20 and 26; both deviate by sqrt((100 + 0 + 100) / 3) = 8.165; d = 6 / 8.165
    assert row["mean"] == pytest.approx(26)
    assert row["change"] == pytest.approx(0.3)
    assert row["effect"] == pytest.approx(6 / 8.165, abs=1e-3)
    assert row["chance"] == pytest.approx(2 * np.sqrt(2 / 3))  # three images are little evidence
    assert effect_in_words(row["effect"], row["chance"]) == "may be chance"


@pytest.mark.parametrize(
    ("effect", "words"),
    [(0.19, "alike"), (-0.3, "slightly dimmer"), (0.6, "clearly brighter"), (-2, "much dimmer")],
)
def test_effect_sizes_are_described_in_words(effect: float, words: str) -> None:
    assert effect_in_words(effect, chance=0.1) == words


def test_drift_beyond_chance_is_reported() -> None:
    random = np.random.default_rng(1)
    bright, dim = (list(random.normal(level, 4, 200)) for level in (20, 15))
    drift = channel_drift(brightness(train=bright, val=bright, test=dim), hpa2018.CHANNELS)
    (line,) = drift_findings(drift)
    assert line.startswith("Brightness of test compared with train: red much dimmer (-2")
    same = channel_drift(brightness(train=bright, test=bright), hpa2018.CHANNELS)
    assert drift_findings(same) == ["No split is brighter or dimmer than train beyond chance."]


def test_black_images_and_absent_splits_have_no_drift() -> None:
    drift = channel_drift(brightness(train=[0, 0], test=[0]), hpa2018.CHANNELS)
    assert (drift[["change", "effect"]] == 0).all(axis=None)
    assert set(drift["split"]) == {"train", "test"}


def test_cooccurrence_matches_a_table_computed_by_hand() -> None:
    y_true = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], np.uint8)
    shares, support = pair_shares(y_true, y_true)
    assert support.tolist() == [3, 1, 0]
    np.testing.assert_allclose(shares, [[1, 1 / 3, 0], [1, 1, 0], [0, 0, 0]])


def test_duplicates_are_counted_within_and_across_splits(
    packed_world: Path, split_dir: Path
) -> None:
    found = inspect(packed_world, split_dir, hash_distance=6)
    groups = {frozenset(group["Id"]) for group in found.duplicates}
    assert groups == {frozenset({IDS[5], IDS[37], IDS[38]}), frozenset({IDS[12], IDS[39]})}
    # Rows 5, 37 and 38 are test, val and test, 12 and 39 both train.
    assert (
        "3 are duplicates of another image; 1 groups of duplicates are in more"
        in findings(found)[-1]
    )
    assert len(NEAR_COPIES) == 3


def test_blank_and_saturated_images_are_shown_with_their_channels(
    packed_world: Path, split_dir: Path
) -> None:
    found = inspect(packed_world, split_dir, hash_distance=6)
    found.index[[f"{channel}_saturated" for channel in hpa2018.CHANNELS.names]] = 0.0
    found.index.loc[3, "blank"] = "red blue"
    found.index.loc[4, "green_saturated"] = 0.02
    found.index.loc[7, "green_saturated"] = 0.5
    assert list(found.blank.index) == [3]
    assert list(found.saturated.index) == [7, 4]
    page = quality_page(found, PackedImages(packed_world), FACTS)
    assert "blank: red, blue; at most red " in page
    assert page.index("green 50% white") < page.index("green 2% white")


def test_a_blank_channel_is_drawn_as_dark_as_it_is(packed_world: Path, split_dir: Path) -> None:
    """Stretched contrast would show cells in a channel whose highest grey level is 3."""
    found = inspect(packed_world, split_dir, hash_distance=6)
    found.index.loc[3, "blank"] = "green"
    pixels = PackedImages(packed_world).read(np.arange(len(found.index)))
    pixels[3, ..., 1] = np.arange(32) % 4

    class Images:
        def read(self, rows: np.ndarray) -> np.ndarray:
            return pixels[rows]

    page = quality_page(found, Images(), FACTS)  # type: ignore[arg-type]
    levels = pixels[3].max(axis=(0, 1))
    assert f"at most red {levels[0]}, green 3, blue {levels[2]}, yellow {levels[3]}" in page
    (uri,) = re.findall(rf'of {IDS[3]}" src="data:image/png;base64,([^"]*)', page)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))))
    assert picture.ndim == 2
    np.testing.assert_array_equal(picture[:, 33:65], pixels[3, ..., 1])  # the second of 32 px
    np.testing.assert_array_equal(picture[:, :32], pixels[3, ..., 0])


def test_the_page_says_what_made_the_images(packed_world: Path, split_dir: Path) -> None:
    found = inspect(packed_world, split_dir, hash_distance=6)
    page = quality_page(found, PackedImages(packed_world), FACTS)
    for text in (
        "your own files",
        "2026-01-02 03:04 UTC",
        "commit abc, unchanged",
        "44 of 32 × 32 pixels",
        "1 differ from the committed params.yaml",
        "No scale bar: the pixel size is unknown; evaluate.image_side_um states it.",
    ):
        assert page.count(text) == 1, text
    assert "µm" not in page


def test_the_page_is_self_contained_and_reproducible(packed_world: Path, split_dir: Path) -> None:
    found = inspect(packed_world, split_dir, hash_distance=6)
    page = quality_page(found, PackedImages(packed_world), FACTS)
    addresses = re.findall(r'(?:src|href)="(data:image/png;base64,|#|[^"]*)', page)
    assert set(addresses) == {"data:image/png;base64,", "#"}
    assert "http" not in re.sub(r'src="data:[^"]*"', "", page)
    assert page == quality_page(found, PackedImages(packed_world), FACTS)
    for line in findings(found):
        assert line in page


def test_a_holdout_split_is_shown_like_the_others(packed_world: Path, tmp_path: Path) -> None:
    assign_in_turn(packed_world, tmp_path / "split", "train", "val", "test", "holdout")
    found = inspect(packed_world, tmp_path / "split", hash_distance=6)
    (first, *_) = findings(found)
    assert first == "44 images: 10 train, 10 val, 10 test, 10 holdout, 4 unlabelled."
    assert (found.drift["split"] == "holdout").sum() == len(hpa2018.CHANNELS.names)
    page = quality_page(found, PackedImages(packed_world), FACTS)
    assert "Train + val + test + holdout, the most frequent label on top." in page
    assert page.count('<td class="text">holdout</td>') == len(hpa2018.CHANNELS.names)
    (axes,) = plot_counts(found.counts).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "holdout"
    assert sum(bar.get_width() for bar in axes.patches) == found.counts[
        ["train", "val", "test", "holdout"]
    ].sum(axis=None)
    assert "Train + val + test, the" not in page


def test_hostile_image_ids_are_escaped(packed_world: Path, split_dir: Path) -> None:
    found = inspect(packed_world, split_dir, hash_distance=6)
    found.index.loc[3, ["Id", "blank"]] = ['"><script>', "red"]
    page = quality_page(found, PackedImages(packed_world), FACTS)
    assert page.count("<script>") == 1  # the page's own
    assert page.count("&#34;&gt;&lt;script&gt;") == 2  # caption and alternative text


def test_a_split_of_other_packed_images_is_rejected(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    assignment = pd.read_csv(split_dir / "assignment.csv")
    assignment[::-1].to_csv(tmp_path / "assignment.csv", index=False)
    with pytest.raises(UserError, match="does not belong to"):
        inspect(packed_world, tmp_path, hash_distance=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mount", "said"),
    [("size=128k", "error: the disk is full"), ("ro", "could not be written")],
)
def test_a_failed_write_keeps_the_old_page(
    packed_world: Path, split_dir: Path, small_disk: Path, tmp_path: Path, mount: str, said: str
) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "data").mkdir()
    (tmp_path / "data/packed").symlink_to(packed_world)
    (tmp_path / "data/split").symlink_to(split_dir)
    (small_disk / "quality.html").write_text("old")
    subprocess.run(["mount", "-o", f"remount,{mount}", str(small_disk)], check=True)
    command = [sys.executable, str(ROOT / "src/quality.py"), "--output"]
    command.append(str(small_disk / "quality.html"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in small_disk.iterdir()] == ["quality.html"]
    assert (small_disk / "quality.html").read_text() == "old"


def test_quality_without_data_names_the_command_to_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    command = [sys.executable, str(ROOT / "src/quality.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "run: dvc repro split" in done.stderr
    assert not (tmp_path / "reports").exists()
