"""Images that judge a model, and a champion that is judged again after a change of the data."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.config.params import load_params
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.errors import UserError
from hpa.evaluation.holdout import described_images
from hpa.evaluation.test_predictions import EvaluatedSplit
from hpa.inference.classifier import Classifier
from hpa.serving.judgement import judge
from hpa.system.files import read_json, sha256, write_json
from hpa.thresholds.decisions import decide
from hpa.vocabulary.hpa2018 import LABELS
from support.model_folders import write_model_folder
from support.paths import ROOT
from support.worlds import NEAR_COPIES, pack_small, write_world

PARAMS = load_params(ROOT / "params.yaml", {"promote.n_draws": 100})
N_TEST = 20
"""The new test images are the last ones; the near copies are among them."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New data in data/packed, and a champion that knows none of them."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "raw")
    pack_small(folder / "raw", folder / "data/packed")
    champion = write_model_folder(folder / "champion")
    predictions(folder, first=0, n=8).write(champion / "test_predictions.npz")
    write_seen(champion, [], [])
    return folder


@pytest.fixture
def champion(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(world)
    return shutil.copytree(world / "champion", tmp_path / "champion")


@pytest.fixture
def candidate(world: Path, tmp_path: Path) -> Path:
    """A model that was evaluated on the last images of the new data."""
    folder = shutil.copytree(world / "champion", tmp_path / "candidate")
    predictions(world, first=40 - N_TEST, n=N_TEST).write(folder / "test_predictions.npz")
    digest = sha256(world / "data/packed/index.csv")
    document = read_json(folder / "provenance.json") | {"data": {"data/packed/index.csv": digest}}
    write_json(folder / "provenance.json", document)
    return folder


def predictions(world: Path, *, first: int, n: int) -> EvaluatedSplit:
    """Return perfect predictions of rows of the new data; near copies share a group."""
    index = read_index(world / "data/packed").iloc[first : first + n]
    y_true = LABELS.indicators(index["Target"])
    groups = np.array([NEAR_COPIES.get(row, row) for row in range(first, first + n)])
    ids = index["Id"].to_numpy(np.str_)
    return EvaluatedSplit(ids, groups, y_true, y_true.astype(np.float32), y_true, LABELS, "r")


def write_seen(folder: Path, ids: list[str], hashes: list[str]) -> None:
    """State the training images of a model, by name or by picture."""
    rows = [(each, "train", "01" * 32) for each in ids] + [
        ("other", "val", each) for each in hashes
    ]
    table = pd.DataFrame(rows, columns=["Id", "split", "hash"])
    table.to_csv(folder / "images.csv", index=False)


def test_the_champion_predicts_new_images_as_it_would_serve_them(
    world: Path, champion: Path, candidate: Path
) -> None:
    judgement = judge(champion, candidate, PARAMS)
    assert judgement.again == f"the champion predicted {N_TEST} images of the new data"
    assert judgement.comparison.n_images == N_TEST
    classifier = Classifier(champion)
    images = predictions(world, first=40 - N_TEST, n=N_TEST)
    pixels = PackedImages(world / "data/packed").read(np.arange(40 - N_TEST, 40))
    y_pred = decide(classifier.thresholds, classifier.probabilities(pixels, batch_size=16))
    hits = 2 * (y_pred & images.y_true).sum(axis=0)
    f1 = hits / np.maximum(y_pred.sum(axis=0) + images.y_true.sum(axis=0), 1)
    np.testing.assert_allclose(judgement.comparison.class_f1[0], f1)


def test_groups_that_the_champion_was_trained_on_are_left_out(
    world: Path, champion: Path, candidate: Path
) -> None:
    index = read_index(world / "data/packed")
    # Image 39 is known by name, a group of its own here; image 30 by its picture.
    write_seen(champion, [index["Id"][39]], [index["hash"][30].partition(" ")[0]])
    judgement = judge(champion, candidate, PARAMS)
    assert judgement.comparison.n_images == N_TEST - 2
    assert "2 are left out, of groups that it was trained on" in judgement.again


def test_copies_of_its_training_images_are_known_though_turned_or_altered(
    world: Path, champion: Path, candidate: Path
) -> None:
    views = read_index(world / "data/packed")["hash"].str.split()
    altered = f"{int(views[30][0], 16) ^ 0b111:064x}"  # three bits of 256
    write_seen(champion, [], [views[33][1], altered])  # as a turned image was in training
    judgement = judge(champion, candidate, PARAMS)
    assert judgement.comparison.n_images == N_TEST - 2


def test_a_whole_group_is_left_out_with_one_of_its_images(
    world: Path, champion: Path, candidate: Path
) -> None:
    index = read_index(world / "data/packed")
    write_seen(champion, [index["Id"][37]], [])  # a near copy of image 5, like image 38
    judgement = judge(champion, candidate, PARAMS)
    assert "2 are left out" in judgement.again


def test_images_that_the_champion_was_all_trained_on_cannot_judge_it(
    world: Path, champion: Path, candidate: Path
) -> None:
    write_seen(champion, list(read_index(world / "data/packed")["Id"]), [])
    with pytest.raises(UserError, match="trained on all test images"):
        judge(champion, candidate, PARAMS)


def test_a_holdout_that_the_champion_was_trained_on_leaves_the_judgement_to_test(
    world: Path, champion: Path, candidate: Path
) -> None:
    """As after a holdout was introduced: it is drawn from what was train and val."""
    predictions(world, first=30, n=10).write(candidate / "holdout_predictions.npz")
    predictions(world, first=20, n=10).write(candidate / "test_predictions.npz")
    write_seen(champion, list(read_index(world / "data/packed")["Id"][30:]), [])
    judgement = judge(champion, candidate, PARAMS)
    assert judgement.split == "test"
    assert judgement.comparison.n_images == 10
    assert "trained on all holdout images" in judgement.again


def test_images_that_are_not_at_hand_are_asked_for(
    champion: Path, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data/packed[\s\S]*SHA-256 none[\s\S]*dvc checkout"):
        judge(champion, candidate, PARAMS)


def test_other_images_at_hand_are_refused(champion: Path, candidate: Path) -> None:
    document = read_json(candidate / "provenance.json")
    document["data"]["data/packed/index.csv"] = "0" * 64
    write_json(candidate / "provenance.json", document)
    with pytest.raises(UserError, match=r"not in data/packed[\s\S]*SHA-256 0000"):
        judge(champion, candidate, PARAMS)


def test_a_champion_that_does_not_name_its_training_images_is_refused(
    champion: Path, candidate: Path
) -> None:
    (champion / "images.csv").unlink()
    with pytest.raises(UserError, match="does not say which images it was trained on"):
        judge(champion, candidate, PARAMS)


def test_changed_labels_are_judged_again_too(world: Path, champion: Path, candidate: Path) -> None:
    same = predictions(world, first=40 - N_TEST, n=N_TEST)
    replace(same, y_true=same.y_true[::-1].copy()).write(champion / "test_predictions.npz")
    assert judge(champion, candidate, PARAMS).again
    same.write(champion / "test_predictions.npz")
    assert judge(champion, candidate, PARAMS).again == ""


def test_an_empty_holdout_leaves_the_judgement_to_test(
    world: Path, champion: Path, candidate: Path
) -> None:
    for folder in (champion, candidate):
        predictions(world, first=20, n=0).write(folder / "holdout_predictions.npz")
    assert judge(champion, candidate, PARAMS).split == "test"
    predictions(world, first=30, n=10).write(candidate / "holdout_predictions.npz")
    judgement = judge(champion, candidate, PARAMS)
    assert judgement.split == "holdout"
    assert judgement.comparison.n_images == 10
    assert "predicted 10 images" in judgement.again


def test_every_image_is_described_by_split_and_picture(world: Path, tmp_path: Path) -> None:
    index = read_index(world / "data/packed")
    assignment = index[["Id"]].assign(group=range(len(index)), split="train")
    assignment.to_csv(tmp_path / "assignment.csv", index=False)
    images = described_images(world / "data/packed", tmp_path)
    assert list(images) == ["Id", "split", "hash"]
    assert images["Id"].tolist() == index["Id"].tolist()
    assert (images["hash"].str.len() == images["hash"].str.len().iloc[0]).all()
