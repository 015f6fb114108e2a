"""Trainings of any number of labels and channels: a few steps, resumed to the same bits."""

import shutil
from pathlib import Path

import keras
import pytest

from hpa.data.packed.vocabulary import vocabulary_of
from hpa.system.files import read_json
from hpa.training import loop
from support.model_folders import make_vocabulary
from support.networks import compiled_small_networks
from support.trainings import ending, params, split_in_order, train
from support.worlds import pack_small, write_world

SIZES = [(1, 1), (5, 3), (300, 8)]


@pytest.fixture(
    scope="module", params=SIZES, ids=lambda size: "{} labels, {} channels".format(*size)
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed images of a laboratory, with their split."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "raw", make_vocabulary(*request.param))
    pack_small(folder / "raw", folder / "packed")
    split_in_order(folder / "packed", folder / "split", n_train=12)
    return folder


@pytest.mark.slow
def test_a_network_has_the_channels_and_labels_of_the_data_and_resumes_to_the_same_bits(
    world: Path, tmp_path: Path
) -> None:
    vocabulary = vocabulary_of({"vocabulary": read_json(world / "packed/vocabulary.json")})
    data = world / "packed", world / "split"
    train(*data, tmp_path / "whole", n_steps=5, validate_every=2, checkpoint_every=1)
    train(*data, tmp_path / "cut", n_steps=5, validate_every=2, checkpoint_every=1)
    steps = sorted((tmp_path / "cut/checkpoints").rglob("step-*"))
    shutil.rmtree(steps[-1])  # as if it was killed in the last step
    train(*data, tmp_path / "cut", n_steps=5, validate_every=2, checkpoint_every=1)
    assert ending(tmp_path / "whole") == ending(tmp_path / "cut")
    network = keras.saving.load_model(tmp_path / "cut/model/best.keras", compile=False)
    assert network.input_shape[3] == len(vocabulary.channels)
    assert network.output_shape == (None, len(vocabulary.labels))


def test_values_by_label_name_any_label_of_the_data(world: Path, tmp_path: Path) -> None:
    stated = params(oversampling="stated", repeats='A&B <b>"x"</b> x3', n_steps=1)
    data = loop.TrainingData.read(stated, world / "packed", world / "split")
    assert (data.factors == 1 + 2 * data.train.y_true[:, 0]).all()
    assert data.label_rates.shape == (len(data.vocabulary.labels),)
    compiled_small_networks(stated, data.vocabulary, data.size, data.label_rates)
