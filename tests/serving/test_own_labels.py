"""Models of any labels and channels are served by their names, and never replace one another."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.serving.mlflow_model import unknown_channels
from hpa.serving.promotion import as_text, promote, roll_back
from hpa.serving.registry import Registry
from hpa.tracking.model_files import request, save_model
from hpa.tracking.registered_models import model_folder
from hpa.vocabulary.channels import IMAGE_FILE
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018
from hpa.vocabulary.labels import Labels
from support.model_folders import make_vocabulary, write_model_folder
from support.paths import ROOT
from support.promotion_runs import client, make_run
from support.worlds import draw_pixels

PARAMS = load_params(ROOT / "params.yaml", {"promote.n_draws": 100})
FEW = make_vocabulary(5, 3)


@pytest.mark.parametrize(("n_labels", "n_channels"), [(1, 1), (5, 3), (300, 6)])
def test_a_served_model_answers_by_its_own_names(
    tmp_path: Path, n_labels: int, n_channels: int
) -> None:
    words = make_vocabulary(n_labels, n_channels)
    save_model(tmp_path / "served", write_model_folder(tmp_path / "model", words), PARAMS.serve)
    info = mlflow.models.get_model_info(str(tmp_path / "served"))
    assert info.signature.inputs.input_names() == [*words.channels.names, IMAGE_FILE]
    served = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    assert list(served.input_example) == list(words.channels.names)
    [answer] = served.predict(served.input_example)
    for key in ("probabilities", "thresholds", "label_flags"):
        assert list(answer[key]) == list(words.labels.names)
    assert set(answer["labels"]) <= set(words.labels.names)

    pixels = draw_pixels(1, 32, n_channels)
    protein = {"GFP": pixels[..., -1]}
    body = pd.DataFrame(request([protein])["dataframe_records"])
    [answer] = served.predict(body)
    black = [f"the {name} channel shows nothing" for name in words.channels.names[:-1]]
    assert [flag for flag in answer["flags"] if "shows nothing" in flag] == black
    with pytest.raises(MlflowException, match="no GFP channel, which shows the protein"):
        served.predict(body.assign(GFP=None))


@pytest.mark.parametrize(
    "body",
    [
        '{"dataframe_records": [{"green": 1}, {"cyan": 1}]}',
        '{"dataframe_split": {"columns": ["green", "cyan"], "data": [[1, 2]]}}',
        '{"inputs": {"green": [1], "cyan": [2]}}',
        '{"instances": [{"green": 1, "cyan": 2}]}',
    ],
)
def test_an_unknown_channel_is_named_in_every_format_of_a_request(body: str) -> None:
    said = unknown_channels(CHANNELS, body.encode())
    assert said == "unknown channels 'cyan': the model has red, green, blue, yellow"
    for known in ("blue", IMAGE_FILE):
        assert unknown_channels(CHANNELS, body.replace("cyan", known).encode()) == ""


@pytest.mark.parametrize("body", ["", "7", "[" * 5000, '{"inputs": 3}', '{"dataframe_split": []}'])
def test_a_malformed_request_is_left_to_the_server(body: str) -> None:
    assert unknown_channels(CHANNELS, body.encode()) == ""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tracking store of its own."""
    folder = tmp_path_factory.mktemp("store")
    with patch.dict(os.environ, {"DVC_ROOT": str(folder)}):
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        yield folder


@pytest.fixture(scope="module")
def first(store: Path) -> str:
    """A run of the competition's labels."""
    return make_run(store / "first", 0.5)


@pytest.fixture
def registry(store: Path) -> Iterator[Registry]:
    yield Registry()
    for each in client().search_registered_models():
        client().delete_registered_model(each.name)


OTHER_NAMES = Vocabulary(
    Labels.named([*HPA_2018.labels.names[:-1], "Rods and rings"]), HPA_2018.channels
)


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (FEW, "channels DAPI-405.1, ch1, GFP instead of red, green, blue, yellow"),
        (OTHER_NAMES, "labels without 1: Rods & rings; in addition 1: Rods and rings"),
    ],
)
def test_a_champion_is_never_replaced_by_a_model_of_another_vocabulary(
    tmp_path: Path, registry: Registry, first: str, words: Vocabulary, difference: str
) -> None:
    promote(registry, first, PARAMS, None)
    other = make_run(tmp_path / "other", 0.9, vocabulary=words)
    for force in (None, "our own labels"):
        with pytest.raises(UserError, match="whose clients expect the same") as refused:
            promote(registry, other, PARAMS, force)
        assert difference in str(refused.value)
        assert "python src/promote.py RUN_ID --as NAME" in str(refused.value)
    assert registry.champion() == "1"
    assert len(client().search_model_versions("name = 'hpa'")) == 1

    own = Registry("mitosis")
    said = as_text(promote(own, other, PARAMS, None))
    assert "mlflow models serve -m models:/mitosis@champion" in said
    version = client().get_model_version_by_alias("mitosis", "champion")
    assert version.tags["channels"] == ", ".join(words.channels.names)
    assert version.tags["labels"].startswith(f"{len(words.labels)}: {words.labels.names[0]}")
    served = mlflow.pyfunc.load_model("models:/mitosis@champion")
    [answer] = served.predict(served.input_example)
    assert list(answer["probabilities"]) == list(words.labels.names)
    assert registry.champion() == "1"


@pytest.mark.slow
def test_models_of_own_labels_are_compared_and_rolled_back_under_their_name(
    tmp_path: Path, registry: Registry
) -> None:
    own = Registry("mitosis")
    for skill in (0.5, 0.9):
        promotion = promote(own, make_run(tmp_path / "runs", skill, vocabulary=FEW), PARAMS, None)
    assert promotion.judgement is not None
    assert promotion.judgement.comparison.difference > 0.1
    assert roll_back(own) == ("2", "1")
    assert registry.champion() is None
    with model_folder("models:/mitosis@champion") as folder:
        assert (folder / "best.keras").is_file()


def test_predictions_of_other_labels_than_the_model_s_are_refused(
    tmp_path: Path, registry: Registry
) -> None:
    """As many, but with other names."""
    run_id = make_run(tmp_path / "runs", 0.5)
    path = Path(client().get_run(run_id).info.artifact_uri.removeprefix("file://"))
    path = path / "reports/test_predictions.npz"
    with np.load(path) as arrays:
        stored = dict(arrays)
    np.savez_compressed(path, **stored | {"labels": np.array(OTHER_NAMES.labels.names)})
    with pytest.raises(UserError, match="of different vocabularies"):
        promote(registry, run_id, PARAMS, None)


@pytest.mark.slow
def test_the_command_says_the_difference_and_starts_another_registered_model(
    tmp_path: Path, registry: Registry, first: str
) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(ROOT / "src/promote.py"), *arguments]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)

    promote(registry, first, PARAMS, None)
    other = make_run(tmp_path / "other", 0.9, vocabulary=FEW)
    refused = command(other, "--force", "our own labels")
    assert refused.returncode == 2
    assert "received:   labels without 28: Nucleoplasm" in refused.stderr
    assert "--as NAME" in refused.stderr
    done = command(other, "--as", "mitosis")
    assert done.returncode == 0, done.stderr
    assert "version 1 is champion now, instead of none: models:/mitosis@champion" in done.stdout
    assert registry.champion() == "1"
