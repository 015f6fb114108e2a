"""Quality flags appear on the terminal, in the CSV and in the JSON."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hpa.app.views import Views
from hpa.config.params import load_params
from hpa.data.images.reading import read_planes
from hpa.data.images.user_files import find_images
from hpa.errors import UserError
from hpa.inference.batch import predict_files
from hpa.inference.classifier import Classifier
from hpa.serving.mlflow_model import ServedModel
from hpa.system.files import read_json, write_json
from hpa.thresholds.decisions import Thresholds, decide
from hpa.thresholds.shown import ShownScale
from hpa.thresholds.thresholds_file import read_thresholds, thresholds_to_json
from hpa.tracking.model_files import request
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.model_folders import write_model_folder
from support.paths import ROOT
from support.worlds import draw_pixels, write_image

SERVE = load_params(ROOT / "params.yaml").serve
NOTE = "val: fewer than 10 positives; test: no positives"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose evaluation flags every class but the first."""
    folder = write_model_folder(tmp_path_factory.mktemp("model") / "model")
    flags = dict.fromkeys(LABELS.names, NOTE) | {LABELS.names[0]: ""}
    write_json(folder / "class_flags.json", {"run_id": "r", "classes": flags})
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary image, one brighter than in training, one without yellow and with red as blue."""
    folder = tmp_path_factory.mktemp("images")
    write_image(folder, "plain", draw_pixels(3))
    write_image(folder, "bright", draw_pixels(3) // 2 + 128)
    write_image(folder, "lacking", draw_pixels(3))
    (folder / "lacking_yellow.png").unlink()
    (folder / "lacking_blue.png").write_bytes((folder / "lacking_red.png").read_bytes())
    return folder


def test_flags_of_images_and_classes_appear_in_every_output(
    model_dir: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [tmp_path / "predictions.csv", tmp_path / "predictions.json"]
    for output in outputs:
        assert (
            predict_files(find_images([str(images)], CHANNELS).images, model_dir, SERVE, output)
            == {}
        )
    terminal = capsys.readouterr().out
    with outputs[0].open() as file:
        rows = list(csv.DictReader(file))
    documents = {each["image"]: each for each in json.loads(outputs[1].read_text())}
    image_flags = {row["image"]: row["image_flags"] for row in rows}

    for image, flag in (
        ("bright", "the green channel is brighter than any training image"),
        ("lacking", "the yellow channel shows nothing"),
        ("lacking", "the red and blue channels are the same picture"),
    ):
        assert f"! {flag}" in terminal
        assert flag in image_flags[image]
        assert flag in documents[image]["flags"]

    label_flags = {row["label"]: row["label_flags"] for row in rows}
    assert label_flags == dict.fromkeys(LABELS.names, NOTE) | {LABELS.names[0]: ""}
    assert documents["plain"]["classes"][1]["flags"] == NOTE.split("; ")
    assert documents["plain"]["classes"][0]["flags"] == []
    flagged = [each["label"] for each in documents["plain"]["classes"][1:] if each["present"]]
    assert flagged, "the test needs a predicted label with flags"
    assert f"? do not rely on {flagged[0]}: {NOTE}" in terminal
    assert f"do not rely on {LABELS.names[0]}" not in terminal
    assert "was not evaluated" not in terminal


def write_thresholds(folder: Path, value: float, *, fill_empty: bool) -> Thresholds:
    """Give a model folder one threshold for all classes, and calibrated probabilities."""
    path = folder / "thresholds.json"
    thresholds = replace(
        read_thresholds(path)[0],
        values=np.full(len(LABELS.names), value),
        fill_empty=fill_empty,
        shown_scale=ShownScale(1.9),
    )
    write_json(path, {"run_id": "r", **thresholds_to_json(thresholds)})
    return thresholds


@pytest.mark.parametrize("fill_empty", [False, True])
@pytest.mark.parametrize("value", [0.7, 0.999])
def test_every_program_decides_by_the_same_function_and_shows_the_same_probabilities(
    tmp_path: Path, model_dir: Path, images: Path, value: float, fill_empty: bool
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    thresholds = write_thresholds(folder, value, fill_empty=fill_empty)
    classifier, found = Classifier(folder), find_images([str(images)], CHANNELS).images
    rules = classifier.rules(SERVE)
    inputs = [classifier.to_input("", read_planes(each, rules).planes) for each in found.values()]
    pixels = np.concatenate([each.tiles for each in inputs])
    y_prob = classifier.probabilities(pixels, batch_size=16)
    y_pred, shown = decide(thresholds, y_prob), thresholds.shown(y_prob)
    assert y_pred.any(axis=1).all() == (fill_empty or value == 0.7)

    predict_files(found, folder, SERVE, tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = np.reshape([int(row["present"]) for row in rows], y_pred.shape)
    np.testing.assert_array_equal(table, y_pred)
    told = np.reshape([float(row["probability"]) for row in rows], y_pred.shape)
    np.testing.assert_allclose(told, shown, atol=1e-5)
    limits = np.reshape([float(row["threshold"]) for row in rows], y_pred.shape)
    np.testing.assert_array_equal(told >= limits, thresholds.predict(y_prob))
    filled = ["the most probable one is named" in row["image_flags"] for row in rows]
    assert any(filled) == (fill_empty and value == 0.999)

    views = Views(classifier, SERVE, load_params(ROOT / "params.yaml").app)
    files = [
        (name, {channel: path.read_bytes() for channel, path in each.items()})
        for name, each in found.items()
    ]
    served = ServedModel()
    served.load_context(
        SimpleNamespace(model_config={"serve": asdict(SERVE)}, artifacts={"model": str(folder)})
    )
    body = request([each for _, each in files])["dataframe_records"]
    answers = served.predict(None, pd.DataFrame(body))
    pages = views.predict_many(files)["predictions"]
    for row, (page, answer) in enumerate(zip(pages, answers, strict=True)):
        expected = {
            label for label, present in zip(LABELS.names, y_pred[row], strict=True) if present
        }
        assert set(page["labels"]) == set(answer["labels"]) == expected
        assert [each["probability"] for each in page["classes"]] == list(
            answer["probabilities"].values()
        )
        assert answer["label_flags"] == dict.fromkeys(LABELS.names, NOTE) | {LABELS.names[0]: ""}


def test_a_model_without_an_evaluation_says_so(
    tmp_path: Path, model_dir: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    (folder / "class_flags.json").unlink()
    predict_files(find_images([str(images)], CHANNELS).images, folder, SERVE, None)
    assert "this model was not evaluated" in capsys.readouterr().out


def test_without_an_evaluation_the_flags_of_the_thresholds_are_used(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    assert Classifier(folder).class_flags[0] == ["fewer than 10 positives"]  # two of 56 images


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("class_flags.json", {"classes": {}}, r"class_flags\.json cannot be read"),
        ("thresholds.json", [], "holds no thresholds"),
        ("training_range.json", {}, "the training range cannot be read"),
        ("provenance.json", {"vocabulary": {"labels": ["a"]}}, "cannot be read"),
        ("provenance.json", {"vocabulary": 7}, "cannot be read"),
    ],
)
def test_a_model_file_with_other_content_is_refused(
    tmp_path: Path, name: str, content: object, message: str
) -> None:
    folder = write_model_folder(tmp_path / "model")
    write_json(folder / name, content)
    with pytest.raises(UserError, match=message):
        Classifier(folder)


def test_scores_made_in_an_unknown_way_are_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    document = read_json(folder / "thresholds.json") | {"score": {"augmentation": "magic"}}
    write_json(folder / "thresholds.json", document)
    with pytest.raises(UserError, match="does not describe the scores"):
        Classifier(folder)
