"""One file of all channels in requests to the served model."""

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import load_params
from hpa.serving.mlflow_model import limits
from hpa.tracking.model_files import request, save_model
from hpa.vocabulary.channels import IMAGE_FILE
from hpa.vocabulary.hpa2018 import CHANNELS
from support.model_folders import write_model_folder
from support.page_forms import ome_tiff, png
from support.paths import ROOT
from support.scoring import scoring_server
from support.worlds import draw_pixels

SERVE = load_params(ROOT / "params.yaml").serve
PIXELS = draw_pixels(3)
BY_CHANNEL = {name: png(PIXELS[..., k]) for k, name in enumerate(CHANNELS.names)}
WHOLE = {IMAGE_FILE: ome_tiff(PIXELS)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    save_model(folder / "mlflow", write_model_folder(folder / "model"), SERVE)
    return folder / "mlflow"


@pytest.fixture(scope="module")
def served(saved: Path) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(str(saved))


def test_rows_of_both_kinds_get_the_same_probabilities(served: mlflow.pyfunc.PyFuncModel) -> None:
    texts = pd.DataFrame(request([BY_CHANNEL, WHOLE])["dataframe_records"])
    for table in (texts, pd.DataFrame([BY_CHANNEL, WHOLE])):
        first, second = (list(each["probabilities"].values()) for each in served.predict(table))
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_every_request_of_the_guide_is_answered(saved: Path, tmp_path: Path) -> None:
    """By curl, as its commands stand but for the port."""
    page = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
    page = page.partition("## Send requests")[2].partition("\n## ")[0]
    blocks = [each for each in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "curl" in each]
    for name, content in BY_CHANNEL.items():
        (tmp_path / f"a_{name}.png").write_bytes(content)
    (tmp_path / "a.ome.tif").write_bytes(WHOLE[IMAGE_FILE])
    found = []
    with scoring_server(saved) as address:
        for block in blocks:
            assert "http://127.0.0.1:5050/invocations" in block
            command = block.replace("http://127.0.0.1:5050/invocations", f"-sS {address}")
            done = subprocess.run(
                ["bash", "-ec", command], cwd=tmp_path, capture_output=True, text=True
            )
            [answer] = json.loads(done.stdout)["predictions"]
            found.append(list(answer["probabilities"].values()))
    by_channel, whole = found
    np.testing.assert_allclose(by_channel, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({IMAGE_FILE: None}, "no image_file, and no green channel, which shows the protein"),
        (BY_CHANNEL | WHOLE, "image_file and red, green, blue, yellow: send one or the other"),
        ({IMAGE_FILE: PIXELS[..., 0].tolist()}, "image_file: an array, not the base64 text"),
        ({IMAGE_FILE: "###"}, "image_file: text that is not base64"),
        ({IMAGE_FILE: BY_CHANNEL["green"]}, "the file: one channel, not the 4 of red, green"),
        ({IMAGE_FILE: ome_tiff(PIXELS[:5], "TYX")}, "a time series of 5 time points"),
    ],
)
def test_a_row_is_either_a_file_or_channels(
    served: mlflow.pyfunc.PyFuncModel, row: dict[str, object], said: str
) -> None:
    with pytest.raises(MlflowException, match=said) as refused:
        served.predict(pd.DataFrame([row]))
    assert refused.value.get_http_status_code() == 400


def test_limits_saved_by_an_earlier_version_still_count() -> None:
    new = ("pattern", "found_as", "z", "depth", "pixel_size_um")
    older = {key: value for key, value in asdict(SERVE).items() if key not in new}
    assert limits(older) == limits(older | {"sixteen_bit_white": None}) == SERVE
    assert limits(older | {"sixteen_bit_white": 4095}).depth == 4095
    assert limits(asdict(SERVE)) == SERVE
