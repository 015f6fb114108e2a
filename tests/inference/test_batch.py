"""Quality flags appear on the terminal, in the CSV and in the JSON."""

import csv
import json
from pathlib import Path

import pytest

from hpa.config.params import load_params
from hpa.data.images.user_files import find_images
from hpa.errors import UserError
from hpa.inference.batch import predict_files
from hpa.inference.classifier import Classifier
from hpa.labels import LABELS
from hpa.system.files import read_json, write_json
from support.model_folders import write_model_folder
from support.paths import ROOT
from support.worlds import draw_pixels, write_image

SERVE = load_params(ROOT / "params.yaml").serve
NOTE = "val: fewer than 10 positives; test: no positives"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose evaluation flags every class but the first."""
    folder = write_model_folder(tmp_path_factory.mktemp("model") / "model")
    flags = dict.fromkeys(LABELS, NOTE) | {LABELS[0]: ""}
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
        assert predict_files(find_images([str(images)]).images, model_dir, SERVE, output) == {}
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
    assert label_flags == dict.fromkeys(LABELS, NOTE) | {LABELS[0]: ""}
    assert documents["plain"]["classes"][1]["flags"] == NOTE.split("; ")
    assert documents["plain"]["classes"][0]["flags"] == []
    flagged = [each["label"] for each in documents["plain"]["classes"][1:] if each["present"]]
    assert flagged, "the test needs a predicted label with flags"
    assert f"? too little evidence for {flagged[0]}: {NOTE}" in terminal
    assert f"too little evidence for {LABELS[0]}" not in terminal


def test_without_an_evaluation_the_flags_of_the_thresholds_are_used(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    assert Classifier(folder).class_flags[0] == ["fewer than 10 positives"]  # two of 56 images


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("class_flags.json", {"classes": {}}, r"class_flags\.json cannot be read"),
        ("thresholds.json", [], "holds no thresholds"),
        ("training_range.json", {}, "the training range cannot be read"),
        ("provenance.json", {"channels": ["blue"]}, "has other channels"),
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
