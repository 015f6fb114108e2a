import ast
import base64
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import load_params
from hpa.data.images.decoding import read_image
from hpa.errors import UserError
from hpa.inference.classifier import Classifier
from hpa.inference.prediction import sigmoid
from hpa.tracking.model_files import REQUIRED, save_model
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS
from support.model_folders import IMAGE_SIZE, write_model_folder
from support.paths import ROOT
from support.scoring import scoring_server
from support.worlds import draw_pixels, write_image

SOURCE = ROOT / "src" / "hpa"
SERVE = replace(load_params(ROOT / "params.yaml").serve, max_images=3, max_request_mb=1)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_folder(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(5):
        write_image(folder, f"cell{number}", draw_pixels(number))
    return folder


@pytest.fixture(scope="module")
def expected(model_dir: Path, images: Path) -> np.ndarray:
    """Probabilities float32[5,28] that the score stage computes from packed pixels."""
    pixels = np.stack(
        [read_image(images, f"cell{k}", CHANNELS.names, IMAGE_SIZE) for k in range(5)]
    )
    return sigmoid(Classifier(model_dir).networks[0].predict(pixels, verbose=0))


@pytest.fixture(scope="module")
def saved(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "model"
    save_model(path, model_dir, SERVE)
    return path


@pytest.fixture(scope="module")
def served(saved: Path) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(str(saved))


@pytest.fixture(scope="module")
def address(saved: Path) -> Iterator[str]:
    with scoring_server(saved) as address:
        yield address


def texts(images: Path, number: int) -> dict[str, str]:
    return {
        name: base64.b64encode((images / f"cell{number}_{name}.png").read_bytes()).decode()
        for name in CHANNELS.names
    }


def probabilities(predictions: list[dict[str, dict[str, float]]]) -> np.ndarray:
    return np.array(
        [[each["probabilities"][label] for label in LABELS.names] for each in predictions]
    )


def test_base64_pngs_and_arrays_get_the_probabilities_of_the_score_stage(
    served: mlflow.pyfunc.PyFuncModel, images: Path, expected: np.ndarray
) -> None:
    table = pd.DataFrame([texts(images, 0), texts(images, 1)])
    np.testing.assert_allclose(probabilities(served.predict(table)), expected[:2], atol=1e-5)
    pixels = draw_pixels(2)
    table = pd.DataFrame([{name: pixels[..., k].tolist() for k, name in enumerate(CHANNELS.names)}])
    np.testing.assert_allclose(probabilities(served.predict(table)), expected[2:3], atol=1e-5)


def test_mlflow_s_server_has_the_request_limits(
    address: str, images: Path, expected: np.ndarray
) -> None:
    with httpx.Client(timeout=60) as client:
        response = client.post(address, json={"dataframe_records": [texts(images, 0)]})
        found = probabilities(response.json()["predictions"])
        np.testing.assert_allclose(found, expected[:1], atol=1e-5)
        csv_body = {"content": b"green", "headers": {"content-type": "text/csv"}}
        assert client.post(address, **csv_body).status_code == 415  # type: ignore[arg-type]
        unknown = client.post(
            address, json={"dataframe_records": [texts(images, 0) | {"cyan": None}]}
        )
        assert unknown.status_code == 400
        assert unknown.json()["error"] == (
            "unknown channels 'cyan': the model has red, green, blue, yellow"
        )
        response = client.post(address, json="x" * 1_100_000)
        assert response.status_code == 413
        assert "at most 1 MB" in response.json()["error"]
        deep = client.post(
            address, content="[" * 50_000, headers={"content-type": "application/json"}
        )
        assert deep.status_code == 400


@pytest.mark.parametrize(
    ("green", "said"),
    [
        ("###", "not base64"),
        ("aGVsbG8=", "neither a picture"),
        ([[300]], "300"),
        (7, "int"),
    ],
)
def test_an_unreadable_image_is_a_client_error(
    served: mlflow.pyfunc.PyFuncModel, images: Path, green: object, said: str
) -> None:
    with pytest.raises(MlflowException, match=said) as caught:
        served.predict(pd.DataFrame([texts(images, 0) | {"green": green}]))
    assert caught.value.get_http_status_code() == 400


def test_more_images_than_allowed_are_refused(
    served: mlflow.pyfunc.PyFuncModel, images: Path
) -> None:
    with pytest.raises(MlflowException, match="4 images"):
        served.predict(pd.DataFrame([texts(images, 0)] * 4))


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_batch_size_changes_no_probability(
    model_dir: Path, images: Path, expected: np.ndarray, batch_size: int
) -> None:
    pixels = np.stack(
        [read_image(images, f"cell{k}", CHANNELS.names, IMAGE_SIZE) for k in range(5)]
    )
    found = Classifier(model_dir).probabilities(pixels, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_folder_with_another_archive_is_refused(model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    content = bytearray((folder / "best.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "best.keras").write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        Classifier(folder)
    (folder / "thresholds.json").unlink()
    with pytest.raises(UserError, match=r"no thresholds\.json"):
        Classifier(folder)


@pytest.mark.slow
def test_predict_reads_valid_files_and_lists_invalid_ones(
    model_dir: Path, images: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    (images / "broken_green.png").write_bytes(b"no picture")
    (images / "._broken_red.png").write_bytes(b"of macOS")
    output = tmp_path / "predictions.csv"
    command = [sys.executable, str(ROOT / "src/predict.py"), str(images), "--output", str(output)]
    done = subprocess.run(
        [*command, "--model", str(model_dir), "--params", str(ROOT / "params.yaml")],
        env={**os.environ, "DVC_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    (images / "broken_green.png").unlink()
    (images / "._broken_red.png").unlink()
    assert done.returncode == 1, done.stderr
    assert f"passed over (hidden): {images}/._broken_red.png" in done.stderr
    assert "1 of 6 images could not be read" in done.stderr
    assert "broken: green: neither a picture (PNG, TIFF, JPEG) nor a" in done.stderr
    assert "what to do: Export the image as OME-TIFF, or each channel as PNG" in done.stderr
    with output.open() as file:
        rows = [float(row["probability"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(np.reshape(rows, (5, 28)), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no image at nowhere"),
        (["nowhere", "--output", "a.txt"], "names no known format"),
        (["nowhere", "--gamma", "2"], "does not apply to this script"),
    ],
)
def test_predict_refuses_wrong_arguments_before_it_loads_a_model(
    arguments: list[str], said: str
) -> None:
    command = [sys.executable, str(ROOT / "src/predict.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_package_that_the_served_model_imports_is_required() -> None:
    """Follow the imports: an environment made from the requirements has no other package."""
    waiting, seen, packages = ["serving.model_from_code"], set(), set()
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        path = SOURCE / f"{name.replace('.', '/')}.py"
        if not path.is_file():  # a package, or a name in a module
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_lazy = name.startswith("data.images.")  # each format is imported when a file has it
        for node in ast.walk(tree) if is_lazy else tree.body:
            if isinstance(node, ast.Import):
                packages |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                first, _, rest = node.module.partition(".")
                if first == "hpa":
                    names = [each.name for each in node.names]
                    waiting += [rest, *names] if rest else names
                    waiting += [f"{rest}.{each}" for each in names if rest]
                else:
                    packages.add(first)
    imported = packages - set(sys.stdlib_module_names)
    assert {"data.images.tiff_files", "data.images.zarr_files"} <= seen
    for package in imported:
        known = {name.lower().replace("_", "-") for name in packages_distributions()[package]}
        assert known & set(REQUIRED), f"{package} is not required"
