"""Overlays: files with some of the parameters, applied to params.yaml by src/apply_params.py."""

import difflib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

import apply_params
from hpa.config.overlays import leaves, merged_params
from hpa.config.params import load_params
from hpa.errors import UserError
from support.paths import ROOT

HPA2018_PATH, CELLS_PATH = ROOT / "params" / "hpa2018.yaml", ROOT / "params" / "cells.yaml"
HPA2018: dict[str, Any] = {
    "fetch.source": "kaggle",
    "pack.image_size": 256,
    "split.test_fraction": 0.1,
    "model.weights": "imagenet",
    "model.dropout": 0.5,
    "augment.rotation": 30,
    "train.n_steps": 11376,
    "train.validate_every": 711,
    "train.checkpoint_every": 711,
    "train.oversampling": "stated",
    "train.repeats": "8x4 9x4 10x4 15x4 27x4 17x2 20x2 24x2 26x2",
    "train.warmup_fraction": 0.02,
    "train.schedule": "cycles",
    "train.n_cycles": 4,
    "train.cycle_growth": 2.0,
    "train.head_steps": 711,
    "train.depth_factors": "0.1 0.33 1",
    "score.augmentation": "dihedral",
    "search.study_name": "hpa2018",
    "search.trial_steps": 2133,
    "search.space.train.oversampling": ["none", "stated"],
}


@pytest.fixture
def params_path(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


def apply(overlay: str | Path, params_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(overlay, str):
        path = params_path.with_name("overlay.yaml")
        path.write_text(overlay, encoding="utf-8")
        overlay = path
    words = ["apply_params.py", str(overlay), "--params", str(params_path)]
    monkeypatch.setattr(sys, "argv", words)
    apply_params.main()


def read_leaves(path: Path) -> dict[str, Any]:
    return dict(leaves(yaml.safe_load(path.read_text(encoding="utf-8"))))


def test_the_competition_s_recipe_changes_exactly_its_own_values(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_leaves(params_path)
    apply(HPA2018_PATH, params_path, monkeypatch)
    assert read_leaves(HPA2018_PATH) == HPA2018
    assert read_leaves(params_path) == {**before, **HPA2018}
    merged = load_params(params_path)
    assert dict(leaves(asdict(merged))) == {**before, **HPA2018}


@pytest.mark.parametrize("path", [HPA2018_PATH, CELLS_PATH])
def test_a_recipe_is_valid_and_repeats_no_default(path: Path) -> None:
    merged_params(ROOT / "params.yaml", path)
    defaults, overlay = read_leaves(ROOT / "params.yaml"), read_leaves(path)
    assert not [key for key, value in overlay.items() if defaults[key] == value]


def test_the_competition_s_recipe_lasts_16_epochs(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(HPA2018_PATH, params_path, monkeypatch)
    train = load_params(params_path).train
    assert train.validate_every * train.batch_size == pytest.approx(22_750, abs=32)
    assert train.n_steps == 16 * train.validate_every
    assert train.n_steps - train.head_steps == (1 + 2 + 4 + 8) * train.validate_every


def test_comments_order_and_other_lines_stay(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = params_path.read_text(encoding="utf-8").splitlines()
    apply("loss: {gamma: 1e0}\ntrain:\n  patience: 3 # mine\n", params_path, monkeypatch)
    after = params_path.read_text(encoding="utf-8").splitlines()
    removed = [line for line in difflib.ndiff(before, after) if line.startswith("- ")]
    added = [line for line in difflib.ndiff(before, after) if line.startswith("+ ")]
    assert [line.split("#")[0].split() for line in removed] == [
        ["-", "gamma:", "2.0"],
        ["-", "patience:", "null"],
    ]
    assert [line.split("#")[0].split() for line in added] == [
        ["+", "gamma:", "1e0"],
        ["+", "patience:", "3"],
    ]
    for old, new in zip(removed, added, strict=True):
        assert old.index("#") == new.index("#")
        assert old.split("#")[1] == new.split("#")[1]


def test_changes_are_printed_and_a_repeat_writes_nothing(
    params_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = "loss: {alpha: balanced}\nsearch: {space: {loss: {gamma: {high: 3}}}}\n"
    apply(overlay, params_path, monkeypatch)
    lines = [
        'loss.alpha: null -> "balanced"',
        "search.space.loss.gamma.high: 4 -> 3",
        f"2 values changed in {params_path}",
    ]
    assert capsys.readouterr().out.splitlines() == lines
    written = params_path.stat()
    apply(overlay, params_path, monkeypatch)
    assert capsys.readouterr().out.splitlines() == [f"0 values changed in {params_path}"]
    assert params_path.stat().st_ino == written.st_ino


@pytest.mark.parametrize(
    ("overlay", "match"),
    [
        ("loss: {gama: 1}", r"loss\.gama: unknown; did you mean loss\.gamma\?"),
        ("los: {gamma: 1}", r"los: unknown section; did you mean loss\?"),
        ("loss: {gamma: 99}", r"loss\.gamma: expected a number from 0 to 10, received 99"),
        ("loss: 5", "loss: expected a section of keys, received 5"),
        ("serve: {sixteen_bit_white: 255}", r"serve\.sixteen_bit_white: replaced by serve\.depth"),
        ("train: {fold: 1}", r"train\.fold: expected less than split\.n_folds"),
        ("", "does not hold parameters(.|\n)*received:   None"),
        ("[1]", "does not hold parameters"),
        ("loss: {gamma: 1, gamma: 2}", "does not hold parameters(.|\n)*duplicate key"),
        ("loss: [", "is not YAML"),
    ],
)
def test_a_wrong_overlay_is_refused_and_params_yaml_stays(
    overlay: str, match: str, params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = params_path.read_bytes()
    with pytest.raises(UserError, match=match):
        apply(overlay, params_path, monkeypatch)
    assert params_path.read_bytes() == before


def test_a_missing_overlay_is_refused(params_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        apply(params_path.with_name("nowhere.yaml"), params_path, monkeypatch)


def test_the_recipe_for_cells_frames_them_and_starts_from_an_older_model_with_a_fresh_head(
    params_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = load_params(params_path)
    apply(CELLS_PATH, params_path, monkeypatch)
    params = load_params(params_path)
    assert (params.fetch.labels, params.pack.framing) == ("from_table", "content")
    assert params.model.weights == "pretrained/simulated"
    assert params.model.pooling != default.model.pooling  # see hpa.model.transfer.Taken
    assert params.train.n_steps % params.train.validate_every == 0
