"""One prediction per field: tiles are merged, counted and flagged; scale is compared."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from hpa.app.views import Views
from hpa.config.params import load_params
from hpa.data.packed.packed_images import PackedImages
from hpa.data.packed.pixel_sizes import PixelSizes
from hpa.data.packing import pack
from hpa.inference.batch import predict_files
from hpa.inference.classifier import Classifier
from hpa.inference.inputs import Input
from hpa.serving.mlflow_model import ServedModel
from hpa.tracking.model_files import request
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.model_folders import write_model_folder
from support.paths import ROOT
from support.worlds import draw_pixels, write_csv, write_image

PARAMS = load_params(ROOT / "params.yaml")
SERVE = PARAMS.serve
TILES = {"pack.odd_size": "tiles", "pack.pixel_size_um": None}
WriteModel = Callable[..., Path]
SIZES = PixelSizes(0.08, 0.1, 0.16, packed_low=0.64, packed_high=1.28, n_unknown=0)


@pytest.fixture(scope="module")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> WriteModel:
    """Function that writes a model of images of such parameters and pixel sizes."""
    plain = write_model_folder(tmp_path_factory.mktemp("plain") / "model")

    def write(params: dict[str, Any], sizes: PixelSizes | None = None) -> Path:
        return changed(
            shutil.copytree(plain, tmp_path_factory.mktemp("m") / "model"), params, sizes
        )

    return write


def changed(folder: Path, params: dict[str, Any], sizes: PixelSizes | None) -> Path:
    for name, changes in (
        ("provenance.json", {"params": params}),
        ("training_range.json", {"pixel_size_um": sizes.to_json()} if sizes else {}),
    ):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.fixture(scope="module")
def model_dir(write_model: WriteModel) -> Path:
    """A model that divides fields."""
    return write_model(TILES)


@pytest.fixture(scope="module")
def classifier(model_dir: Path) -> Classifier:
    return Classifier(model_dir)


def planes(seed: int, height: int, width: int) -> list[np.ndarray]:
    return list(cv2.split(draw_pixels(seed, 256)[:height, :width]))


def test_a_field_gets_the_mean_logit_of_its_tiles(classifier: Classifier) -> None:
    field = classifier.to_input("field", planes(1, 32, 100))
    assert field.tiles.shape == (4, 32, 32, 4)
    alone = classifier.probabilities(field.tiles, batch_size=4).astype(float)
    [prediction] = classifier.predict([field], batch_size=4)
    np.testing.assert_allclose(logit(prediction.y_prob), logit(alone).mean(axis=0), atol=1e-4)
    assert np.array_equal(
        prediction.y_pred, classifier.thresholds.predict(prediction.y_prob[None])[0]
    )
    assert classifier.document(prediction)["tiles"] == 4


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_neither_the_size_of_batches_nor_other_fields_change_a_prediction(
    classifier: Classifier, batch_size: int
) -> None:
    shapes = [(32, 32), (32, 200), (90, 32), (64, 64), (50, 51)]
    fields = [classifier.to_input(str(n), planes(n, *shape)) for n, shape in enumerate(shapes)]
    together = classifier.predict(fields, batch_size=batch_size)
    assert [each.name for each in together] == list("01234")
    for field, found in zip(fields, together, strict=True):
        [alone] = classifier.predict([field], batch_size=16)
        np.testing.assert_allclose(found.y_prob, alone.y_prob, atol=1e-6)
        assert found.flags == alone.flags
        assert found.n_tiles == len(field.tiles)


def test_fields_are_taken_one_batch_at_a_time(classifier: Classifier) -> None:
    taken: list[str] = []

    def fields() -> Iterator[Input]:
        for number in range(6):
            taken.append(str(number))
            yield classifier.to_input(str(number), planes(number, 32, 64))

    predictions = classifier.predict_each(fields(), batch_size=4)
    assert next(predictions).name == "0"
    assert taken == ["0", "1"]
    assert [each.name for each in predictions] == list("12345")
    assert list(classifier.predict_each(iter([]), batch_size=4)) == []


def test_a_flag_counts_the_tiles_that_show_it_if_they_are_half_of_them(
    classifier: Classifier,
) -> None:
    pixels = draw_pixels(3, 32)
    blank = pixels.copy()
    blank[..., 3] = 0
    flag = "the yellow channel shows nothing"
    for tiles, flags in (
        ([blank], [flag]),
        ([pixels, blank, blank], [f"{flag} (in 2 of 3 tiles)"]),
        ([pixels, pixels, blank], []),
    ):
        [found] = classifier.predict([Input("x", np.stack(tiles))], batch_size=4)
        assert [each for each in found.flags if "shows nothing" in each] == flags


def write_fields(folder: Path) -> dict[str, dict[str, Path]]:
    """Write a field of three tiles and one of one; return their files by channel."""
    for name, width in (("long", 96), ("short", 32)):
        write_image(folder, name, draw_pixels(3, 96)[:32, :width])
    return {
        name: {channel: folder / f"{name}_{channel}.png" for channel in CHANNELS.names}
        for name in ("long", "short")
    }


def test_the_outputs_hold_one_answer_per_field_and_the_number_of_its_tiles(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_fields(tmp_path)
    for suffix in ("csv", "json"):
        assert predict_files(files, model_dir, SERVE, tmp_path / f"p.{suffix}") == {}
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["long"] * len(LABELS) + ["short"] * len(LABELS)
    assert {(row["image"], row["tiles"]) for row in rows} == {("long", "3"), ("short", "1")}
    documents = json.loads((tmp_path / "p.json").read_text())
    assert [(each["image"], each["tiles"]) for each in documents] == [("long", 3), ("short", 1)]
    assert capsys.readouterr().out.count("\nlong ") == 2


def test_a_model_that_divides_nothing_writes_no_number_of_tiles(
    tmp_path: Path, write_model: WriteModel
) -> None:
    folder = write_model({"pack.odd_size": "crop"})
    files = write_fields(tmp_path)
    predict_files(files, folder, SERVE, tmp_path / "p.csv")
    assert "tiles" not in (tmp_path / "p.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("pixel_size_um", [None, 0.7])
@pytest.mark.parametrize("odd_size", ["pad", "crop", "tiles"])
def test_prediction_sees_the_pixels_that_pack_packs(
    tmp_path: Path, write_model: WriteModel, odd_size: str, pixel_size_um: float | None
) -> None:
    shapes = {"a": (64, 150), "b": (40, 40), "c": (201, 77)}
    for seed, (name, shape) in enumerate(shapes.items()):
        write_image(tmp_path / "raw/train", name, draw_pixels(seed, 256)[: shape[0], : shape[1]])
    rows = [(name, "4", "0.5") for name in shapes]
    write_csv(tmp_path / "raw/train.csv", ("Id", "Target", "pixel_size_um"), rows)
    rules = {"image_size": 32, "odd_size": odd_size, "pixel_size_um": pixel_size_um}
    index = pack(tmp_path / "raw", tmp_path / "packed", shard_rows=2, n_jobs=1, **rules)
    packed = PackedImages(tmp_path / "packed").read(np.arange(len(index)))

    params = {"pack.odd_size": odd_size, "pack.pixel_size_um": pixel_size_um}
    folder = write_model(params)
    classifier = Classifier(folder)
    logits = logit(classifier.probabilities(packed, batch_size=4).astype(float))
    expected = pd.DataFrame(logits).groupby(index["Id"].str.partition("_")[0]).mean()
    files = {
        name: {channel: tmp_path / f"raw/train/{name}_{channel}.png" for channel in CHANNELS.names}
        for name in shapes
    }
    serve = replace(SERVE, pixel_size_um=0.5)
    assert predict_files(files, folder, serve, tmp_path / "p.json") == {}
    told = [
        [each["probability"] for each in document["classes"]]
        for document in json.loads((tmp_path / "p.json").read_text())
    ]
    shown = classifier.thresholds.shown(expit(expected.to_numpy()).astype(np.float32))
    np.testing.assert_allclose(told, shown, atol=1e-5)


def test_flags_of_the_files_of_their_scale_and_of_what_is_cut_follow_each_other(
    write_model: WriteModel,
) -> None:
    params = {"pack.odd_size": "crop", "pack.pixel_size_um": 0.5}
    given = Classifier(write_model(params, SIZES)).to_input("x", planes(1, 64, 64), flags=("own",))
    assert given.flags == (
        "own",
        "the pixel size is unknown: it was not scaled to 0.5 µm as the training images were",
        "only the middle 32×32 of 64×64 pixels is looked at",
    )
    assert given.tiles.shape == (1, 32, 32, 4)


def test_the_terminal_says_once_that_pixel_sizes_are_unknown_and_files_say_it_of_each(
    tmp_path: Path, write_model: WriteModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model({"pack.odd_size": "crop"}, SIZES)
    predict_files(write_fields(tmp_path), folder, SERVE, tmp_path / "p.json")
    said = capsys.readouterr().out
    assert said.count("the pixel size is unknown") == 1
    assert "! 2 of 2 images: the pixel size is unknown" in said
    assert "(long, short)" in said
    documents = json.loads((tmp_path / "p.json").read_text())
    assert all("unknown" in " ".join(each["flags"]) for each in documents)


def test_page_and_server_give_a_field_the_same_answer_and_flag(
    tmp_path: Path, write_model: WriteModel
) -> None:
    folder = write_model(TILES, SIZES)
    files = write_fields(tmp_path)["long"]
    predict_files({"long": files}, folder, SERVE, tmp_path / "p.json")
    [told] = json.loads((tmp_path / "p.json").read_text())
    assert told["tiles"] == 3
    assert "pixel size is unknown" in told["flags"][0]

    contents = {channel: path.read_bytes() for channel, path in files.items()}
    views = Views(Classifier(folder), SERVE, PARAMS.app)
    [shown] = views.predict_many([("long", contents)])["predictions"]
    assert shown == told

    served = ServedModel()
    config = {"model_config": {"serve": asdict(SERVE)}, "artifacts": {"model": folder}}
    served.load_context(SimpleNamespace(**config))
    [answer] = served.predict(None, pd.DataFrame(request([contents])["dataframe_records"]))
    assert answer["flags"] == told["flags"]
    expected = {each["label"]: each["probability"] for each in told["classes"]}
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
