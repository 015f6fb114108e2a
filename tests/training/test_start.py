"""Trainings that start from an older model: found, verified, recorded, and refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from hpa.config.params import Params, load_params
from hpa.errors import UserError
from hpa.model import resnet
from hpa.model.archive_origin import embed_provenance
from hpa.model.pretrained import find_weights
from hpa.model.resnet import BACKBONE, HEAD
from hpa.model.weights import weights_sha256
from hpa.system.files import read_json, sha256, write_json
from hpa.training import provenance, start
from hpa.training.checkpoints import Checkpoints
from hpa.training.loop import fit
from hpa.training.recipe import compiled_networks
from hpa.training.start import require_kept, start_of, start_tags, started_from
from hpa.vocabulary.channels import PROTEIN, Channel, Channels
from hpa.vocabulary.document import Vocabulary
from hpa.vocabulary.hpa2018 import CHANNELS, HPA_2018, LABELS
from hpa.vocabulary.labels import Labels
from support.older_models import SMALL, random_network, write_older_model
from support.paths import ROOT
from support.trainings import split_in_order

PARAMS = load_params(ROOT / "params.yaml")
OWN = Vocabulary(Labels.named(["Axoneme", "Cytosol"]), CHANNELS)


@pytest.fixture(autouse=True)
def small_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sizes in SMALL.items():
        monkeypatch.setattr(resnet, name, sizes)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def older(root: Path) -> keras.Model:
    """The network of the model folder `pretrained/base`."""
    network = random_network(HPA_2018, 1)
    write_older_model(root / "pretrained/base", network, HPA_2018)
    return network


def from_weights(weights: str, **model: object) -> Params:
    return replace(PARAMS, model=replace(PARAMS.model, weights=weights, **model))  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", ["pretrained/base", "pretrained/base/best.keras"])
def test_a_training_starts_from_a_folder_or_a_file(older: keras.Model, weights: str) -> None:
    params = from_weights(weights)
    network, _ = compiled_networks(params, OWN, 64, np.array([0.1, 0.3]))
    rows, bias = network.get_layer(HEAD).get_weights()
    old_rows, old_bias = older.get_layer(HEAD).get_weights()
    np.testing.assert_array_equal(rows[:, 1], old_rows[:, LABELS.column("Cytosol")])
    assert bias[1] == old_bias[LABELS.column("Cytosol")]
    assert not rows[:, 0].any()
    np.testing.assert_allclose(bias[0], np.log(0.1 / 0.9), rtol=1e-6)


def test_provenance_and_tags_state_the_origin(older: keras.Model) -> None:
    params = from_weights("pretrained/base")
    made = provenance.model_provenance(
        params, run_id="r", weights_sha256="w", inputs=[], vocabulary=OWN, lineage={}, made_with={}
    )
    archive = sha256(Path("pretrained/base/best.keras"))
    assert made["started_from"] == {
        "source": "pretrained/base",
        "run_id": "old",
        "weights_sha256": weights_sha256(older),
        "sha256": archive,
        "taken": "backbone; 4 of 4 channels; 1 of 2 head rows",
        "channels": ["red", "green", "blue", "yellow"],
        "labels": ["Cytosol"],
    }
    assert made["lineage"]["started_from"] == "pretrained/base"
    assert start_tags(made["started_from"])["started_from.sha256"] == archive
    assert "started_from" not in provenance.model_provenance(
        PARAMS, run_id="r", weights_sha256="w", inputs=[], vocabulary=OWN, lineage={}, made_with={}
    )
    assert start_tags(None) == {}


def test_checkpoints_follow_the_archive_not_its_name(older: keras.Model, root: Path) -> None:
    shutil.copytree(root / "pretrained/base", root / "pretrained/copy")
    write_older_model(root / "pretrained/other", random_network(HPA_2018, 2), HPA_2018)
    names = ("base", "copy", "other")
    keys = [
        provenance.checkpoint_key(from_weights(f"pretrained/{name}"), [])["pretrained"]
        for name in names
    ]
    assert keys[0] == keys[1] != keys[2]


def test_an_older_model_without_a_vocabulary_has_that_of_the_competition(root: Path) -> None:
    write_older_model(root / "old", random_network(HPA_2018, 1), None)
    origin = started_from(from_weights("old"), HPA_2018)
    assert origin
    assert origin["taken"] == "backbone; 4 of 4 channels; 28 of 28 head rows"


def test_a_lone_archive_is_verified_by_the_provenance_inside_it(
    older: keras.Model, root: Path
) -> None:
    (root / "lone").mkdir()
    lone = shutil.copy(root / "pretrained/base/best.keras", root / "lone")
    origin = started_from(from_weights("lone"), HPA_2018)
    assert origin
    assert origin["run_id"] == "old"
    other = random_network(HPA_2018, 5)
    write_older_model(root / "other", other, HPA_2018)
    inside = read_json(root / "other/provenance.json") | {"weights_sha256": "0" * 64}
    shutil.copy(root / "other/best.keras", lone)
    embed_provenance(Path(lone), {k: v for k, v in inside.items() if k != "archives"})
    start._start_of.cache_clear()
    with pytest.raises(UserError, match="not those of its provenance"):
        started_from(from_weights("lone"), HPA_2018)


def test_a_damaged_archive_and_a_foreign_digest_are_refused(older: keras.Model, root: Path) -> None:
    folder = root / "pretrained/base"
    content = bytearray((folder / "best.keras").read_bytes())
    content[len(content) // 2] ^= 1
    shutil.copytree(folder, root / "flipped")
    (root / "flipped/best.keras").write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        started_from(from_weights("flipped"), HPA_2018)
    shutil.copytree(folder, root / "foreign")
    known = read_json(folder / "provenance.json")
    write_json(root / "foreign/provenance.json", known | {"archives": {"best.keras": "0" * 64}})
    with pytest.raises(UserError, match="SHA-256 0000"):
        started_from(from_weights("foreign"), HPA_2018)


def test_a_network_of_another_kind_is_refused(root: Path) -> None:
    images = keras.Input((32, 32, 4))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    write_older_model(root / "other", keras.Model(images, keras.layers.Dense(28)(pooled)), HPA_2018)
    with pytest.raises(UserError, match="no layer backbone, head_normalisation, logits"):
        started_from(from_weights("other"), HPA_2018)


def test_weights_of_other_channels_are_refused_with_the_difference(older: keras.Model) -> None:
    other = Vocabulary(LABELS, Channels((Channel("GFP", PROTEIN, "green"),)))
    with pytest.raises(UserError, match="weights of other channels without a rule") as caught:
        started_from(from_weights("pretrained/base"), other)
    assert "red, green, blue, yellow" in str(caught.value)
    assert "GFP in the data" in str(caught.value)


def test_another_pooling_is_told_from_the_archive(older: keras.Model) -> None:
    origin = started_from(from_weights("pretrained/base", pooling="average"), OWN)
    assert origin
    assert (origin["labels"], origin["channels"]) == ([], list(CHANNELS.names))
    assert "a fresh head" in origin["taken"]


@pytest.mark.parametrize("weights", ["model", "model/best.keras", "model/last.keras", "./model/"])
def test_the_folder_that_the_training_replaces_is_refused(root: Path, weights: str) -> None:
    with pytest.raises(UserError, match="cp -r model pretrained/NAME"):
        require_kept(weights, Path("model"))
    require_kept(weights, Path("elsewhere"))
    for other in ("none", "imagenet", "runs:/abcd", "models:/hpa@champion", "pretrained/model"):
        require_kept(other, Path("model"))


def test_a_folder_without_a_network_is_refused_and_other_weights_are_no_older_model(
    root: Path,
) -> None:
    assert [start_of(weights) for weights in ("none", "imagenet", "absent")] == [None] * 3
    with pytest.raises(UserError, match=r"a folder with best\.keras, runs:/ID"):
        find_weights("absent")
    with pytest.raises(UserError, match="holds no model"):
        start_of("absent/best.keras")


@pytest.mark.slow
def test_a_training_from_an_older_model_resumes_to_the_same_bits(
    older: keras.Model, packed_world: Path, root: Path
) -> None:
    """The backbone stays as it was: its learning rate is 0, and head and statistics learn."""
    small = {"n_steps": 3, "validate_every": 2, "batch_size": 4, "checkpoint_every": 1}
    slow = {"head_steps": 1, "depth_factors": "0 0 1"}
    params = from_weights("pretrained/base")
    params = replace(params, train=replace(params.train, **small, **slow))
    split_dir = split_in_order(packed_world, root / "split", n_train=8)

    def train(folder: str) -> Checkpoints:
        kept = Checkpoints(root / folder, {})
        where = {"packed_dir": packed_world, "split_dir": split_dir, "model_dir": root / folder}
        fit(params, **where, on_round=lambda *_: None, checkpoints=kept, announce=False)
        return kept

    whole = train("whole").newest()
    train("cut")
    shutil.rmtree(max((root / "cut").rglob("step-*")))  # as if killed in the last step
    again = train("cut").newest()
    assert whole
    assert again
    assert whole.history == again.history
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    network = keras.saving.load_model(root / "cut/last.keras", compile=False)
    kernels, first = (
        each.get_layer(BACKBONE).get_layer("conv1_conv").get_weights()[0]
        for each in (network, older)
    )
    np.testing.assert_array_equal(kernels, first)
    rows, old_rows = (each.get_layer(HEAD).get_weights()[0] for each in (network, older))
    assert np.abs(rows - old_rows).max() > 0


def test_the_folder_of_an_ensemble_is_refused_with_the_runs_of_its_networks(tmp_path: Path) -> None:
    networks = [{"path": f"fold-{k}/best.keras", "run_id": f"{k}" * 32} for k in range(3)]
    write_json(tmp_path / "provenance.json", {"networks": networks})
    with pytest.raises(UserError, match="is an ensemble of 3 networks") as caught:
        start_of(str(tmp_path))
    assert f"fold-2/best.keras of run {'2' * 32}" in str(caught.value)
