"""Scores that an evaluation refuses: files of one split under the name of another."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa.data.packed.vocabulary import write_vocabulary
from hpa.errors import UserError
from hpa.evaluation.inputs import SPLITS, Inputs, read_inputs, require_scored_data
from hpa.metrics.origins import UNKNOWN
from hpa.metrics.predictions import Scores
from hpa.system.files import write_json
from hpa.thresholds.fitting import fit_by_rule
from hpa.thresholds.thresholds_file import thresholds_to_json
from hpa.vocabulary import hpa2018
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.labels import Labels

IDS = {name: np.array([f"{name}-{row}" for row in range(4)]) for name in (*SPLITS, "train")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [(each, 0, name) for name, ids in IDS.items() for each in ids]
    table = pd.DataFrame(rows, columns=["Id", "group", "split"])
    table.to_csv(tmp_path / "assignment.csv", index=False)
    return tmp_path


def inputs(**files: str) -> Inputs:
    """Return inputs in which a file of scores holds the images of the named split."""
    y_true = np.eye(28, dtype=np.uint8)[:4]
    scores = Scores(IDS["val"], y_true, y_true.astype(np.float32), hpa2018.LABELS)
    thresholds = fit_by_rule("fixed", y_true, scores.y_prob, scores.labels, fixed=0.5, seed=0)
    ids = {name: IDS[files.get(name, name)] for name in SPLITS}
    return Inputs(thresholds, scores, scores, [], "", UNKNOWN, ids)


def test_the_images_of_each_split_and_those_of_other_folds_are_accepted(data: Path) -> None:
    require_scored_data(inputs(), data, data)
    require_scored_data(inputs(val="train"), data, data)


@pytest.mark.parametrize(
    ("file", "split"),
    [("val", "test"), ("test", "val"), ("test", "holdout"), ("unlabelled", "test")],
)
def test_scores_of_another_split_are_refused(data: Path, file: str, split: str) -> None:
    with pytest.raises(UserError, match=f"scores of {file} hold[\\s\\S]*4 of 4 images of {split}"):
        require_scored_data(inputs(**{file: split}), data, data)


OTHER = Labels.named([*hpa2018.LABELS.names[:-1], "Vesicles"])


def test_scores_of_other_labels_than_the_data_are_refused_with_the_difference(data: Path) -> None:
    write_vocabulary(data, Vocabulary(OTHER, hpa2018.CHANNELS))
    with pytest.raises(UserError, match=r"of different vocabularies(.|\n)*in addition 1: Rods"):
        require_scored_data(inputs(), data, data)


@pytest.mark.parametrize("changed", ["thresholds", "test", "networks"])
def test_files_of_two_vocabularies_are_not_evaluated_together(tmp_path: Path, changed: str) -> None:
    labels = dict.fromkeys(("thresholds", "val", "test", "networks"), hpa2018.LABELS)
    labels[changed] = OTHER
    y_true = np.eye(28, dtype=np.uint8)[:4]
    y_prob = y_true.astype(np.float32)
    for name in ("val", "test"):
        Scores(IDS[name], y_true, y_prob, labels[name]).write(tmp_path / f"{name}.npz")
    thresholds = fit_by_rule("fixed", y_true, y_prob, labels["thresholds"], fixed=0.5, seed=0)
    write_json(tmp_path / "thresholds.json", thresholds_to_json(thresholds))
    vocabulary = Vocabulary(labels["networks"], hpa2018.CHANNELS).to_json()
    write_json(tmp_path / "networks.json", [{"vocabulary": vocabulary}])
    with pytest.raises(UserError, match=r"of different vocabularies(.|\n)*Vesicles"):
        read_inputs(tmp_path / "thresholds.json", tmp_path)
