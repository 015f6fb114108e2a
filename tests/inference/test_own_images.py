"""Own images are found, read and named by the labels and channels of the model."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.data.images.file_names import no_channel
from hpa.data.images.user_files import find_images
from hpa.errors import UserError
from hpa.inference.batch import line, predict_files
from hpa.inference.classifier import Classifier
from hpa.inference.models import (
    find_models,
    read_model_vocabulary,
    read_name_rules,
    require_vocabulary,
)
from hpa.system.files import read_json, write_json
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from hpa.vocabulary.labels import Labels
from support.model_folders import IMAGE_SIZE, make_vocabulary, write_model_folder
from support.paths import ROOT
from support.worlds import draw_pixels

SERVE = load_params(ROOT / "params.yaml").serve


def write_images(folder: Path, channels: Channels, n: int = 2) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(n):
        pixels = draw_pixels(number, IMAGE_SIZE, len(channels))
        for k, name in enumerate(channels.names):
            cv2.imwrite(str(folder / f"cell{number}_{name}.png"), pixels[..., k])


@pytest.mark.parametrize(("n_labels", "n_channels"), [(1, 1), (5, 3), (28, 4), (300, 6), (5, 8)])
def test_every_output_has_a_row_per_label_of_the_model(
    tmp_path: Path, n_labels: int, n_channels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = make_vocabulary(n_labels, n_channels)
    model, images = write_model_folder(tmp_path / "model", words), tmp_path / "images"
    write_images(images, words.channels)
    found = find_images([str(images)], read_model_vocabulary(model).channels)
    assert (len(found.images), found.passed_over) == (2, {})
    for name in ("out.csv", "out.json"):
        assert predict_files(found.images, model, SERVE, tmp_path / name) == {}
    said = capsys.readouterr().out
    assert 1 <= said.count("? do not rely on ") <= 2 * 28
    assert ("other labels: see the model card" in said) == (n_labels == 300)
    with (tmp_path / "out.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [*words.labels.names] * 2
    documents = json.loads((tmp_path / "out.json").read_text())
    pixels = np.stack([draw_pixels(number, IMAGE_SIZE, n_channels) for number in range(2)])
    classifier = Classifier(model)
    y_prob = classifier.thresholds.shown(classifier.probabilities(pixels, batch_size=2))
    for document, expected in zip(documents, y_prob, strict=True):
        assert [each["label"] for each in document["classes"]] == [*words.labels.names]
        found_now = [each["probability"] for each in document["classes"]]
        np.testing.assert_allclose(found_now, expected, atol=1e-5)
        assert not [flag for flag in document["flags"] if "shows nothing" in flag]


def test_the_terminal_shows_the_most_probable_of_very_many_labels() -> None:
    classes = [
        {"label": f"type {k}", "present": True, "probability": k / 300, "flags": []}
        for k in range(300)
    ]
    shown = line({"image": "a", "flags": [], "classes": classes}, width=1)
    assert shown.startswith("a  type 299 1.00, type 298 0.99, ")
    assert shown.endswith(", type 272 0.91, and 272 more")


def test_an_absent_channel_is_black_and_flagged_and_that_of_the_protein_required(
    tmp_path: Path,
) -> None:
    words = make_vocabulary(5, 3)
    model, images = write_model_folder(tmp_path / "model", words), tmp_path / "images"
    write_images(images, words.channels)
    (images / "cell0_ch1.png").unlink()
    (images / "cell1_GFP.png").unlink()
    (images / "cell0_red.png").write_bytes(b"of a channel that the model does not have")
    found = find_images([str(images)], words.channels)
    reason = "the name does not end in _DAPI-405.1, _ch1, _GFP"
    assert found.passed_over == {images / "cell0_red.png": reason}
    assert reason == no_channel(words.channels)
    failures = predict_files(found.images, model, SERVE, tmp_path / "out.json")
    assert failures == {"cell1": "no GFP channel, which shows the protein"}
    [document] = json.loads((tmp_path / "out.json").read_text())
    assert "the ch1 channel shows nothing" in document["flags"]
    with pytest.raises(UserError, match=r"cell0_red\.png is not one channel of an image"):
        find_images([str(images / "cell0_red.png")], words.channels)


def test_a_table_names_the_files_by_the_channels_of_the_model(tmp_path: Path) -> None:
    channels = make_vocabulary(5, 3).channels
    (tmp_path / "own.csv").write_text("Id,gfp,ch1,red\na,x.png,y.png,z.png\n")
    found = find_images([str(tmp_path / "own.csv")], channels).images
    assert found == {"a": {"GFP": tmp_path / "x.png", "ch1": tmp_path / "y.png"}}
    (tmp_path / "own.csv").write_text("Id,green\na,x.png\n")
    with pytest.raises(UserError, match="missing or duplicate columns GFP"):
        find_images([str(tmp_path / "own.csv")], channels)


def test_names_are_read_as_in_training_unless_params_yaml_states_another_rule(
    tmp_path: Path,
) -> None:
    folder = write_model_folder(tmp_path / "model")
    assert read_name_rules(folder, SERVE) == {"pattern": None, "found_as": None}
    document = read_json(folder / "provenance.json")
    document["params"] |= {"fetch.pattern": "(?P<name>.+)", "fetch.found_as": "green=C1"}
    write_json(folder / "provenance.json", document)
    (tmp_path / "C1-a.tif").write_bytes(b"")
    rules = read_name_rules(folder, SERVE)
    assert rules == {"pattern": "(?P<name>.+)", "found_as": "green=C1"}
    assert list(find_images([str(tmp_path / "C1-a.tif")], CHANNELS, **rules).images) == ["C1-a"]
    rules = read_name_rules(
        folder, replace(SERVE, pattern=r"(?P<channel>\w+)-(?P<name>.+)", found_as="red=C1")
    )
    found = find_images([str(tmp_path / "C1-a.tif")], CHANNELS, **rules)
    assert found.images == {"a": {"red": tmp_path / "C1-a.tif"}}


def test_a_model_folder_of_an_earlier_version_has_the_labels_of_the_competition(
    tmp_path: Path,
) -> None:
    folder = write_model_folder(tmp_path / "model")
    for name, key in (("provenance.json", "vocabulary"), ("thresholds.json", "labels")):
        document = read_json(folder / name)
        del document[key]
        write_json(folder / name, document)
    assert read_model_vocabulary(folder) == Classifier(folder).vocabulary == HPA_2018


RENAMED = Labels.named([*HPA_2018.labels.names[:27], "Rods"])
TURNED = Labels.named(HPA_2018.labels.names[::-1])
OTHERS = [
    (Vocabulary(RENAMED, CHANNELS), "labels without 1: Rods & rings; in addition 1: Rods"),
    (Vocabulary(TURNED, CHANNELS), "labels the same labels in another order"),
    (Vocabulary(HPA_2018.labels, Channels(CHANNELS.channels[1:])), "channels green, blue, yellow"),
]


@pytest.mark.parametrize(("words", "difference"), OTHERS, ids=["renamed", "turned", "channels"])
def test_networks_of_another_vocabulary_than_the_images_are_not_scored(
    tmp_path: Path, words: Vocabulary, difference: str
) -> None:
    """One alone, and one of an ensemble."""
    for name, each in (("1", HPA_2018), ("2", words)):
        document = {"vocabulary": each.to_json(), "params": {}, "run_id": "r"}
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.keras").write_bytes(b"")
        write_json(tmp_path / name / "provenance.json", document)
    require_vocabulary(find_models(tmp_path / "1/best.keras"), HPA_2018, Path("data/packed"))
    for models in (tmp_path / "2/best.keras", tmp_path):
        with pytest.raises(UserError, match="of different vocabularies") as refused:
            require_vocabulary(find_models(models), HPA_2018, Path("data/packed"))
        assert difference in str(refused.value)
        assert "dvc repro train" in str(refused.value)


def test_the_score_stage_says_the_difference_before_it_loads_a_network(tmp_path: Path) -> None:
    write_json(tmp_path / "data/packed/vocabulary.json", make_vocabulary(5, 3).to_json())
    (tmp_path / "model").mkdir()
    (tmp_path / "model/best.keras").write_bytes(b"")
    write_json(tmp_path / "model/provenance.json", {"params": {"train.fold": 0}, "run_id": "r"})
    command = [sys.executable, str(ROOT / "src/score.py"), "--params", str(ROOT / "params.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "data/packed and model/best.keras are of different vocabularies" in done.stderr
    assert "channels red, green, blue, yellow instead of DAPI-405.1, ch1, GFP" in done.stderr


@pytest.mark.parametrize(("words", "difference"), OTHERS[:2], ids=["renamed", "turned"])
def test_thresholds_of_other_labels_than_the_network_s_are_refused(
    tmp_path: Path, words: Vocabulary, difference: str
) -> None:
    folder = write_model_folder(tmp_path / "model")
    document = read_json(folder / "provenance.json") | {"vocabulary": words.to_json()}
    write_json(folder / "provenance.json", document)
    with pytest.raises(UserError, match=r"thresholds\.json are of different vocabularies"):
        Classifier(folder)


@pytest.mark.slow
def test_the_command_names_images_of_own_channels_and_what_it_lacks(tmp_path: Path) -> None:
    words = make_vocabulary(5, 3)
    model, images = write_model_folder(tmp_path / "model", words), tmp_path / "images"
    write_images(images, words.channels)
    shutil.copy(images / "cell0_ch1.png", images / "cell0_yellow.png")

    def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "src/predict.py"), "--model", str(model)]
        return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)

    done = predict(str(images), "--output", str(tmp_path / "out.csv"))
    assert done.returncode == 0, done.stderr
    assert "passed over (the name does not end in _DAPI-405.1, _ch1, _GFP)" in done.stderr
    assert (tmp_path / "out.csv").read_text().count("A&B <b>") == 2
    (images / "cell0_GFP.png").unlink()
    done = predict(str(images))
    assert done.returncode == 1
    assert "cell0: no GFP channel, which shows the protein" in done.stderr
    assert "what to do: Add the file of the protein stain." in done.stderr
    done = predict(str(images / "cell0_yellow.png"))
    assert done.returncode == 2
    assert "<name>_<channel> with DAPI-405.1, ch1, GFP" in done.stderr
