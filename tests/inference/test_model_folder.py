"""A model folder is refused if its files tell of two models, and read as it was trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpa.data.images.framing import FramingRules
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.inputs import Input
from hpa.inference.models import find_models
from hpa.model.archive_origin import embed_provenance, embedded_provenance
from hpa.system.files import sha256
from hpa.vocabulary.hpa2018 import LABELS
from support.model_folders import write_model_folder

OWN, OTHER = "a" * 64, "b" * 64


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def networks(weights: str, file: str = "best.keras") -> dict[str, Any]:
    return {"networks": [{"file": file, "weights_sha256": weights, "run_id": "r", "path": ""}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files all say that they belong together."""
    model = write_model_folder(tmp_path / "model")
    origin = json.loads((model / "provenance.json").read_text()) | {"weights_sha256": OWN}
    del origin["archives"]
    embed_provenance(model / "best.keras", origin)
    origin["archives"] = {"best.keras": sha256(model / "best.keras")}
    (model / "provenance.json").write_text(json.dumps(origin))
    edit(model / "thresholds.json", origin=networks(OWN))
    edit(model / "training_range.json", weights_sha256=OWN)
    flags = {"origin": networks(OWN), "classes": dict.fromkeys(LABELS.names, "")}
    (model / "class_flags.json").write_text(json.dumps(flags))
    return model


def test_a_folder_of_one_model_is_loaded(folder: Path) -> None:
    assert Classifier(folder).image_size == 32


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("thresholds.json", {"origin": networks(OTHER)}),
        ("thresholds.json", {"origin": networks(OWN, "last.keras")}),
        ("thresholds.json", {"origin": {"networks": networks(OWN)["networks"] * 5}}),
        ("training_range.json", {"weights_sha256": OTHER}),
        ("class_flags.json", {"origin": networks(OTHER)}),
        ("class_flags.json", {"origin": networks(OWN) | {"thresholds_sha256": OTHER}}),
    ],
    ids=["thresholds", "of last.keras", "of five networks", "range", "flags", "other thresholds"],
)
def test_a_file_of_another_model_is_refused(
    folder: Path, name: str, changes: dict[str, Any]
) -> None:
    edit(folder / name, **changes)
    with pytest.raises(UserError) as refused:
        Classifier(folder)
    said = str(refused.value)
    assert f"{folder / name} do not belong together" in said
    assert "dvc repro" in said


def test_a_network_beside_the_provenance_of_another_is_refused(folder: Path) -> None:
    edit(folder / "provenance.json", weights_sha256=OTHER)
    with pytest.raises(UserError, match=r"best\.keras and .*provenance\.json do not belong"):
        Classifier(folder)
    with pytest.raises(UserError, match=r"are of two trainings[\s\S]*aaaaaaaaaaaa of run r"):
        find_models(folder / "best.keras")


def test_a_network_tells_its_provenance_alone(folder: Path) -> None:
    (folder / "provenance.json").unlink()
    (model,) = find_models(folder / "best.keras")
    assert model.origin["weights_sha256"] == OWN
    assert model.load().input_shape == (None, 32, 32, 4)


def test_a_damaged_archive_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "best.keras").write_bytes(b"PK\x03\x04 cut")
    assert embedded_provenance(tmp_path / "best.keras") is None


def test_images_are_framed_as_the_training_images_were(folder: Path) -> None:
    assert Classifier(folder).framing == FramingRules(32)  # a model of an earlier version
    params = {"pack.odd_size": "crop", "pack.framing": "content", "pack.pixel_size_um": 0.5}
    edit(folder / "provenance.json", params=params)
    assert Classifier(folder).framing == FramingRules(32, "crop", "content", 0.5)


def test_a_channel_that_was_black_in_training_is_not_flagged(folder: Path) -> None:
    from support.worlds import draw_pixels

    pixels = draw_pixels(1, 32)[None].copy()
    pixels[..., 3] = 0
    given = [Input("x", pixels)]
    flag = "the yellow channel shows nothing"
    assert flag in Classifier(folder).predict(given, batch_size=1)[0].flags
    edit(folder / "provenance.json", params={"fetch.missing_channels": "yellow"})
    assert flag not in Classifier(folder).predict(given, batch_size=1)[0].flags


def test_an_embedded_provenance_leaves_the_network_as_it_was(folder: Path) -> None:
    before = sha256(folder / "best.keras")
    (model,) = find_models(folder / "best.keras")
    weights = [each.sum() for each in model.load().get_weights()]
    embed_provenance(folder / "best.keras", {"weights_sha256": OWN, "run_id": "later"})
    (folder / "provenance.json").unlink()
    (again,) = find_models(folder / "best.keras")
    assert sha256(folder / "best.keras") != before
    assert again.run_id == "later"
    assert [each.sum() for each in again.load().get_weights()] == weights


def test_what_a_killed_training_left_is_not_an_ensemble(folder: Path) -> None:
    """Its weights lie in a hidden folder within the model's, until all files are whole."""
    leftover = folder / ".partial-1-files"
    leftover.mkdir()
    (leftover / "best.keras").write_bytes((folder / "best.keras").read_bytes())
    with pytest.raises(UserError, match="holds no model"):
        find_models(folder)
