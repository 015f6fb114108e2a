import ast
import base64
import csv
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

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
from hpa.labels import CHANNELS, LABELS
from hpa.serving.mlflow_model import REQUIRED, save_model
from support.model_folders import IMAGE_SIZE, write_model_folder
from support.paths import ROOT
from support.worlds import draw_pixels, write_image

SOURCE = ROOT / "src" / "hpa"
SERVE = replace(load_params(ROOT / "params.yaml").serve, max_images=3)


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
    """Probabilities float32[5,28] as the score stage makes them of packed pixels."""
    pixels = np.stack([read_image(images, f"cell{k}", IMAGE_SIZE) for k in range(5)])
    return sigmoid(Classifier(model_dir).network.predict(pixels, verbose=0))


@pytest.fixture(scope="module")
def served(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> mlflow.pyfunc.PyFuncModel:
    path = tmp_path_factory.mktemp("mlflow") / "model"
    save_model(path, model_dir, SERVE)
    return mlflow.pyfunc.load_model(str(path))


def texts(images: Path, number: int) -> dict[str, str]:
    return {
        name: base64.b64encode((images / f"cell{number}_{name}.png").read_bytes()).decode()
        for name in CHANNELS
    }


def probabilities(predictions: list[dict[str, dict[str, float]]]) -> np.ndarray:
    return np.array([[each["probabilities"][label] for label in LABELS] for each in predictions])


def test_base64_pngs_and_arrays_get_the_probabilities_of_the_score_stage(
    served: mlflow.pyfunc.PyFuncModel, images: Path, expected: np.ndarray
) -> None:
    table = pd.DataFrame([texts(images, 0), texts(images, 1)])
    np.testing.assert_allclose(probabilities(served.predict(table)), expected[:2], atol=1e-5)
    pixels = draw_pixels(2)
    table = pd.DataFrame([{name: pixels[..., k].tolist() for k, name in enumerate(CHANNELS)}])
    np.testing.assert_allclose(probabilities(served.predict(table)), expected[2:3], atol=1e-5)


@pytest.mark.parametrize(
    ("green", "said"),
    [("###", "no base64"), ("aGVsbG8=", "5 bytes that are no PNG"), ([[300]], "300"), (7, "int")],
)
def test_an_unfit_image_is_a_client_s_mistake(
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
def test_batch_size_changes_no_answer(
    model_dir: Path, images: Path, expected: np.ndarray, batch_size: int
) -> None:
    pixels = np.stack([read_image(images, f"cell{k}", IMAGE_SIZE) for k in range(5)])
    found = Classifier(model_dir).probabilities(pixels, batch_size=batch_size)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_folder_with_another_archive_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "model")
    content = bytearray((folder / "best.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "best.keras").write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        Classifier(folder)
    (folder / "thresholds.json").unlink()
    with pytest.raises(UserError, match=r"no thresholds\.json"):
        Classifier(folder)


@pytest.mark.slow
def test_predict_answers_good_files_and_lists_bad_ones(
    model_dir: Path, images: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    (images / "broken_green.png").write_bytes(b"no picture")
    output = tmp_path / "answers.csv"
    command = [sys.executable, str(ROOT / "src/predict.py"), str(images), "--output", str(output)]
    done = subprocess.run(
        [*command, "--model", str(model_dir), "--params", str(ROOT / "params.yaml")],
        env={**os.environ, "DVC_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    (images / "broken_green.png").unlink()
    assert done.returncode == 1, done.stderr
    assert "1 of 6 images could not be read" in done.stderr
    assert "broken: green: 10 bytes that are no PNG" in done.stderr
    with output.open() as file:
        rows = [float(row["probability"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(np.reshape(rows, (5, 28)), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no image at nowhere"),
        (["nowhere", "--output", "a.txt"], "says no format"),
        (["nowhere", "--gamma", "2"], "means nothing to this script"),
    ],
)
def test_predict_refuses_wrong_words_before_anything_is_loaded(
    arguments: list[str], said: str
) -> None:
    command = [sys.executable, str(ROOT / "src/predict.py"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_package_that_the_served_model_imports_is_required() -> None:
    """Followed from module to module: an environment made of the requirements has no other."""
    waiting, seen, packages = ["serving.model_from_code"], set(), set()
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        path = SOURCE / f"{name.replace('.', '/')}.py"
        if not path.is_file():  # a package's own __init__, or a name in a module
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
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
    assert "data.images.decoding" in seen
    required = {*REQUIRED, "starlette"}  # which fastapi is made of
    for package in imported:
        known = {name.lower().replace("_", "-") for name in packages_distributions()[package]}
        assert known & required, f"{package} is not required"
