"""One image in the formats of microscopes: the same labels from the pipeline to the server."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from starlette.testclient import TestClient

from hpa.app.server import make_app
from hpa.app.views import Views
from hpa.config.params import load_params
from hpa.data.images.catalogue import channel_path
from hpa.inference.classifier import Classifier
from hpa.metrics.predictions import Scores
from hpa.system.files import read_json
from hpa.thresholds.thresholds_file import read_thresholds
from hpa.tracking.model_files import request
from hpa.vocabulary.channels import IMAGE_FILE
from hpa.vocabulary.hpa2018 import CHANNELS
from support.clones import ROOT
from support.scripts import run_script
from support.worlds import IDS, draw_pixels, target, write_csv, write_image
from support.zarr_images import write_ome_zarr, zipped

pytestmark = pytest.mark.slow
SMALL = {
    "fetch": {"source": "local", "path": "own/table.csv"},
    "pack": {"image_size": 64},
    "split": {"test_fraction": 0.2, "val_fraction": 0.2},
    "train": {"n_steps": 3, "validate_every": 2, "batch_size": 8},
    "threshold": {"rule": "fixed", "fixed": 0.5, "fill_empty": True},
    "evaluate": {"n_bootstrap": 100},
    "promote": {"n_draws": 100},
}
N_LABELLED, PLAIN, EXACT, ROUNDED = 40, "four-pngs", 1e-5, 1e-3


def tiff(**options: object) -> Callable[[Path, np.ndarray], Path]:
    """Return a writer of uint8[K,H,W] as TIFF."""

    def write(path: Path, planes: np.ndarray) -> Path:
        given = {"photometric": "minisblack", **options}
        tifffile.imwrite(path.with_suffix(".tif"), planes, **given)
        return path.with_suffix(".tif")

    return write


def ome_tiff(path: Path, planes: np.ndarray) -> Path:
    path = path.with_suffix(".ome.tif")
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS.names)}}
    tifffile.imwrite(path, planes, metadata=metadata, photometric="minisblack")
    return path


def imagej(path: Path, planes: np.ndarray) -> Path:
    metadata = {"axes": "CYX", "Labels": list(CHANNELS.names)}
    tifffile.imwrite(path.with_suffix(".tif"), planes, imagej=True, metadata=metadata)
    return path.with_suffix(".tif")


def contiguous(path: Path, planes: np.ndarray) -> Path:
    return tiff(planarconfig="contig")(path, np.ascontiguousarray(np.moveaxis(planes, 0, -1)))


def zarr(path: Path, planes: np.ndarray) -> Path:
    return write_ome_zarr(path.with_suffix(".ome.zarr"), planes, labels=CHANNELS.names)


def twelve_bits(path: Path, planes: np.ndarray) -> Path:
    deep = planes.astype(np.uint16) << 4 | planes >> 4
    return ome_tiff(path, deep)


def floating(path: Path, planes: np.ndarray) -> Path:
    return ome_tiff(path, planes.astype(np.float32) / 255)


WRITERS = {
    "ome-tiff": (ome_tiff, EXACT),
    "imagej": (imagej, EXACT),
    "ome-zarr": (zarr, EXACT),
    "planar-tiff": (tiff(planarconfig="separate"), EXACT),
    "contiguous-tiff": (contiguous, EXACT),
    "12-bit-tiff": (twelve_bits, ROUNDED),
    "float-tiff": (floating, ROUNDED),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """The file of each channel of one image, by format."""
    folder = tmp_path_factory.mktemp("microscope")
    pixels = draw_pixels(99)
    write_image(folder, PLAIN, pixels)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    written = {name: write(folder / name, planes) for name, (write, _) in WRITERS.items()}
    found = {name: dict.fromkeys(CHANNELS.names, path) for name, path in written.items()}
    return {PLAIN: {c: channel_path(folder, PLAIN, c) for c in CHANNELS.names}, **found}


@pytest.fixture(scope="module")
def trained(files: dict[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after the pipeline, the image unlabelled in each format; its model champion."""
    folder = tmp_path_factory.mktemp("pipeline")
    rows = []
    for number, image_id in enumerate(IDS[:N_LABELLED]):
        write_image(folder / "own", image_id, draw_pixels(number))
        paths = [f"{image_id}_{channel}.png" for channel in CHANNELS.names]
        rows.append([image_id, target(number), *paths])
    rows += [[name, "", *(str(path) for path in each.values())] for name, each in files.items()]
    write_csv(folder / "own/table.csv", ["Id", "Target", *CHANNELS.names], rows)
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        document[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    stages = "fetch", "pack", "split", "train", "score", "threshold", "explain", "evaluate"
    for stage in stages:
        done = run_script(folder, stage)
        assert done.returncode == 0, done.stderr
    done = run_script(folder, "promote", read_json(folder / "reports/metrics.json")["run_id"])
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def scored(trained: Path) -> dict[str, np.ndarray]:
    """The probabilities that people see, by format, as the score stage gives them."""
    scores = Scores.read(trained / "scores/unlabelled.npz")
    thresholds, _ = read_thresholds(trained / "model/thresholds.json")
    return dict(zip(scores.ids.tolist(), thresholds.shown(scores.y_prob), strict=True))


def assert_same(found: dict[str, np.ndarray], plain: np.ndarray) -> None:
    """Require the probabilities of the four PNGs in every format, as exactly as its depth."""
    assert set(found) == {PLAIN, *WRITERS}
    for name, values in found.items():
        tolerance = WRITERS[name][1] if name in WRITERS else EXACT
        np.testing.assert_allclose(values, plain, atol=tolerance, rtol=0, err_msg=name)


def test_the_pipeline_scores_every_format_alike(scored: dict[str, np.ndarray]) -> None:
    assert scored[PLAIN].std() > 0.001
    assert_same(scored, scored[PLAIN])


def test_predict_names_the_same_labels_in_every_format(
    trained: Path, files: dict[str, dict[str, Path]], scored: dict[str, np.ndarray]
) -> None:
    folder = files[PLAIN][CHANNELS.names[0]].parent
    done = run_script(trained, "predict", str(folder), "--output", "answers.csv")
    assert done.returncode == 0, done.stderr
    found: dict[str, list[float]] = {}
    labels: dict[str, list[str]] = {}
    with (trained / "answers.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["image"], []).append(float(row["probability"]))
            labels.setdefault(row["image"], []).extend([row["label"]] * (row["present"] == "1"))
    assert_same({name: np.array(each) for name, each in found.items()}, scored[PLAIN])
    assert labels[PLAIN]
    assert all(each == labels[PLAIN] for each in labels.values())


def as_bytes(path: Path) -> bytes:
    return (zipped(path) if path.is_dir() else path).read_bytes()


def test_the_page_and_the_server_name_the_same_labels_in_every_format(
    trained: Path, files: dict[str, dict[str, Path]], scored: dict[str, np.ndarray]
) -> None:
    params = load_params(trained / "params.yaml")
    views = Views(Classifier(trained / "model"), params.serve, params.app)
    form, bodies = [], {}
    for name, paths in files.items():
        if name == PLAIN:
            bodies[name] = {c: path.read_bytes() for c, path in paths.items()}
            form += [(c, (path.name, bodies[name][c])) for c, path in paths.items()]
        else:
            path = next(iter(paths.values()))
            bodies[name] = {IMAGE_FILE: as_bytes(path)}
            suffix = ".zip" if path.is_dir() else ""
            form.append((IMAGE_FILE, (path.name + suffix, bodies[name][IMAGE_FILE])))
    with TestClient(make_app(views, [], None), base_url="http://127.0.0.1:8000") as page:
        answers = page.post("/api/predictions", files=form).json()["predictions"]
    found = {
        each["image"]: np.array([row["probability"] for row in each["classes"]]) for each in answers
    }
    assert_same(found, scored[PLAIN])
    assert len({tuple(each["labels"]) for each in answers}) == 1

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from serving import probabilities, served
    finally:
        sys.path.pop(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        with served("models:/hpa@champion") as (port, _):
            body = json.dumps(request(list(bodies.values()))).encode()
            told = dict(zip(bodies, map(np.array, probabilities(port, body)), strict=True))
    assert_same(told, scored[PLAIN])
