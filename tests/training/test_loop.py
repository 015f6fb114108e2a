import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from hpa.config.params import Params, load_params
from hpa.config.sections import Augment
from hpa.data.batches.packed_batches import TrainingBatches
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.errors import UserError
from hpa.inference.prediction import predict_logits, remembered
from hpa.model import resnet
from hpa.model.losses import make_loss
from hpa.model.weights import weights_sha256
from hpa.training import loop
from hpa.training.checkpoints import Checkpoint, Checkpoints
from hpa.training.recipe import NetworkBuilder, compiled_networks
from hpa.training.state import Training, save_model
from hpa.vocabulary.hpa2018 import LABELS
from support.networks import compiled_small_networks
from support.paths import ROOT
from support.trainings import split_in_order


@pytest.fixture(scope="module")
def split_dir(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_in_order(packed_world, tmp_path_factory.mktemp("split") / "split", n_train=8)


@pytest.fixture(autouse=True)
def shallow_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block per stack: every kind of layer, and a third of the time."""
    monkeypatch.setattr(resnet, "BLOCKS", (1, 1, 1, 1))


@pytest.fixture(autouse=True)
def free_memory() -> Iterator[None]:
    """Free the networks of each test, which Keras would keep."""
    yield
    keras.backend.clear_session()


def params(**train: object) -> Params:
    whole = load_params(ROOT / "params.yaml")
    small = {"n_steps": 5, "validate_every": 2, "batch_size": 4, "warmup_fraction": 0.0}
    return replace(
        whole,
        augment=Augment(turn=True, rotation=10.0, zoom=0.1, blur=0.5, contrast=0.2),
        train=replace(whole.train, **(small | train)),  # type: ignore[arg-type]
    )


def fit(
    packed_dir: Path,
    split_dir: Path,
    model_dir: Path,
    checkpoints: Checkpoints | None = None,
    build_networks: NetworkBuilder = compiled_networks,
    **train: object,
) -> tuple[str, list[int], pd.DataFrame]:
    """Train; return the digest of the best weights, the steps seen by on_round, the history."""
    steps: list[int] = []
    digest = loop.fit(
        params(**train),
        build_networks=build_networks,
        packed_dir=packed_dir,
        split_dir=split_dir,
        model_dir=model_dir,
        on_round=lambda step, _: steps.append(step),
        checkpoints=checkpoints,
    )
    return digest, steps, pd.read_csv(model_dir / "history.csv")


fit_small = partial(fit, build_networks=compiled_small_networks)


@pytest.mark.parametrize("train", [fit_small, pytest.param(fit, marks=pytest.mark.slow)])
def test_two_trainings_end_bit_identical(
    packed_world: Path, split_dir: Path, tmp_path: Path, train: Callable[..., Any]
) -> None:
    (first, steps, history), (second, _, again) = (
        train(packed_world, split_dir, tmp_path / name, oversampling="square_root")
        for name in ("first", "second")
    )
    assert first == second
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    last = [keras.saving.load_model(tmp_path / name / "last.keras") for name in ("first", "second")]
    assert weights_sha256(last[0]) == weights_sha256(last[1])

    # the saved model takes images alone, and does not augment them
    assert last[0].input.shape == (None, 32, 32, 4)
    assert not {layer.name for layer in last[0].layers} & {"turn_images", "warp_images"}

    assert steps == list(history["step"]) == [2, 4, 5]  # the last round has the remaining step


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    digest, _, history = fit(packed_world, split_dir, tmp_path, n_steps=4, learning_rate=0.5)
    model = keras.saving.load_model(tmp_path / "best.keras", compile=False)
    assert weights_sha256(model) == digest

    index = read_index(packed_world)
    val = loop.examples_of(index, pd.read_csv(split_dir / "assignment.csv")["split"], "val", LABELS)
    logits = predict_logits(model, PackedImages(packed_world), val.rows, batch_size=8)
    loss = make_loss(params().loss, np.full(28, 0.1), LABELS)
    assert float(loss(val.y_true, logits)) == pytest.approx(history["val/loss"].min(), rel=1e-4)


def test_each_step_is_reported_also_of_a_round_that_is_cut_short(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    seen: list[int] = []
    loop.fit(
        params(n_steps=5, validate_every=2),
        packed_dir=packed_world,
        split_dir=split_dir,
        model_dir=tmp_path,
        on_round=lambda *_: None,
        on_step=seen.append,
        build_networks=compiled_small_networks,
    )
    assert len(seen) == max(seen) == 5  # two threads may count both their steps


def test_another_seed_gives_other_weights(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    digests = {
        fit_small(packed_world, split_dir, tmp_path / str(seed), n_steps=1, seed=seed)[0]
        for seed in (1, 2)
    }
    assert len(digests) == 2


@pytest.mark.slow
def test_it_learns_eight_images_by_heart(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    unchanged = Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0)
    loop.fit(
        replace(params(n_steps=60, validate_every=60, batch_size=8), augment=unchanged),
        packed_dir=packed_world,
        split_dir=split_dir,
        model_dir=tmp_path,
        on_round=lambda *_: None,
    )
    model = keras.saving.load_model(tmp_path / "last.keras", compile=False)
    index = read_index(packed_world)
    train = loop.examples_of(
        index, pd.read_csv(split_dir / "assignment.csv")["split"], "train", LABELS
    )
    logits = predict_logits(model, PackedImages(packed_world), train.rows, batch_size=8)
    np.testing.assert_array_equal(logits > 0, train.y_true.astype(bool))


def test_on_round_can_end_a_training(packed_world: Path, split_dir: Path, tmp_path: Path) -> None:
    def stop(step: int, metrics: dict[str, float]) -> None:
        raise StopIteration(f"enough after {step} steps at {metrics['val/loss']:.1f}")

    with pytest.raises(StopIteration, match="enough after 2 steps"):
        loop.fit(
            params(),
            build_networks=compiled_small_networks,
            packed_dir=packed_world,
            split_dir=split_dir,
            model_dir=tmp_path,
            on_round=stop,
        )


def test_a_loss_that_is_not_finite_names_its_images_and_keeps_the_last_good_state(
    packed_world: Path, split_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TrainingBatches.read
    poisoned: list[str] = []

    def read_poisoned(self: TrainingBatches, index: int) -> tuple[Any, ...]:
        images, y_true = read(self, index)
        if self._first + index == 2:  # the third step, within a round
            poisoned.extend(read_index(packed_world)["Id"].iloc[self._rows[self.chosen(2)]])
            y_true[0, 0] = np.nan
        return images, y_true

    monkeypatch.setattr(TrainingBatches, "read", read_poisoned)
    checkpoints = Checkpoints(tmp_path / "checkpoints", {})
    with pytest.raises(UserError, match=r"diverged in step 3\n[\s\S]*received: +a loss") as caught:
        fit_small(
            packed_world, split_dir, tmp_path, checkpoints, checkpoint_every=1, validate_every=1
        )
    assert len(set(poisoned)) == 4
    assert all(image_id in str(caught.value) for image_id in poisoned)
    last_good = checkpoints.newest()
    assert last_good is not None
    assert last_good.step == 2
    assert all(np.isfinite(array).all() for array in last_good.arrays.values())
    assert keras.saving.load_model(tmp_path / "best.keras", compile=False)


def test_weights_that_are_not_finite_are_never_written(
    packed_world: Path, split_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loss of a step is that of the weights before it, so it does not show the damage.
    train = loop._train

    def ruin(training: Training, *rest: Any) -> None:
        train(training, *rest)
        training.model.optimizer.variables[-1].assign(np.full(28, np.inf, np.float32))

    monkeypatch.setattr(loop, "_train", ruin)
    checkpoints = Checkpoints(tmp_path / "checkpoints", {})
    with pytest.raises(UserError, match=r"diverged in step 1\n[\s\S]*received: +a weight"):
        fit_small(packed_world, split_dir, tmp_path, checkpoints, checkpoint_every=1)
    assert checkpoints.newest() is None


class StopError(Exception):
    """Raised by a test to end a training."""


@pytest.mark.parametrize("cut", [3, 4])  # within a round, and after its validation
def test_a_training_that_was_cut_resumes_to_the_same_end(
    packed_world: Path, split_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    whole, broken = (Checkpoints(tmp_path / name / "all", {}) for name in ("whole", "broken"))
    steps = {"n_steps": 6, "validate_every": 4, "checkpoint_every": 1}
    digest, _, _ = fit_small(packed_world, split_dir, tmp_path / "whole", whole, **steps)

    write = Checkpoints.write

    def write_and_stop(self: Checkpoints, checkpoint: Checkpoint) -> None:
        write(self, checkpoint)
        if checkpoint.step == cut:
            raise StopError

    monkeypatch.setattr(Checkpoints, "write", write_and_stop)
    with pytest.raises(StopError):
        fit_small(packed_world, split_dir, tmp_path / "broken", broken, **steps)
    monkeypatch.setattr(Checkpoints, "write", write)
    (tmp_path / "broken/best.keras").unlink(missing_ok=True)  # as DVC does
    resumed, rounds, _ = fit_small(packed_world, split_dir, tmp_path / "broken", broken, **steps)

    assert resumed == digest
    assert rounds == [4, 6]  # on_round also sees the rounds before the stop
    assert state(broken) == state(whole)
    history = (tmp_path / name / "history.csv" for name in ("whole", "broken"))
    assert len({path.read_bytes() for path in history}) == 1
    assert len({weights_of(tmp_path / n / "best.keras") for n in ("whole", "broken")}) == 1


def state(checkpoints: Checkpoints) -> tuple[dict[str, bytes], object]:
    """Return every array of the newest checkpoint, and its history."""
    newest = checkpoints.newest()
    assert newest is not None
    arrays = {name: array.tobytes() for name, array in newest.arrays.items()}
    return arrays, newest.history


def weights_of(path: Path) -> str:
    return weights_sha256(keras.saving.load_model(path, compile=False))


def test_training_ends_early_after_rounds_without_a_better_one(
    packed_world: Path, split_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 4.0, 4.5, 4.0, 1.0])
    monkeypatch.setattr(
        loop, "_validate", lambda *_: {"val/loss": next(losses), "val/macro_f1": 0.0}
    )
    _, steps, history = fit_small(
        packed_world, split_dir, tmp_path, n_steps=5, validate_every=1, patience=2
    )
    assert steps == [1, 2, 3, 4]  # 4.5 and 4.0 are not better than 4.0
    assert list(history["val/loss"]) == [5.0, 4.0, 4.5, 4.0]


@pytest.mark.parametrize(
    ("best_by", "best"), [("loss", 1), ("macro_f1", 0), ("macro_average_precision", 2)]
)
def test_best_by_selects_the_best_round(best_by: str, best: int) -> None:
    rows = [(0.3, 0.9, 0.5), (0.2, 0.1, 0.5), (0.2, 0.9, 0.6)]
    names = ("val/loss", "val/macro_f1", "val/macro_average_precision")
    history = [dict(zip(names, row, strict=True)) for row in rows]
    assert loop._best_round(history, best_by) == best


def sized_network(n_units: int) -> keras.Model:
    features = keras.Input((64,))
    return keras.Model(features, keras.layers.Dense(n_units)(features))


def test_a_full_disk_leaves_the_older_best_weights_as_they_were(small_disk: Path) -> None:
    path = small_disk / "best.keras"
    save_model(sized_network(8), path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"the disk is full: .*best\.keras"):
        save_model(sized_network(1000), path)  # 256 kB
    assert path.read_bytes() == before
    assert [each.name for each in small_disk.iterdir()] == ["best.keras"]


def test_a_read_only_model_folder_is_refused_before_the_first_step(
    packed_world: Path, split_dir: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "best.keras").write_text("older")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    monkeypatch.setattr(loop, "_train", lambda *_: pytest.fail("a step was done"))
    with pytest.raises(UserError, match=r"disk could not be written[\s\S]*Read-only"):
        fit_small(packed_world, split_dir, small_disk)
    assert (small_disk / "best.keras").read_text() == "older"


def test_a_disk_too_small_for_the_model_is_refused_before_the_first_step(
    packed_world: Path, split_dir: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "filler").write_bytes(bytes(126_000))
    monkeypatch.setattr(loop, "_train", lambda *_: pytest.fail("a step was done"))
    with pytest.raises(UserError, match="not enough free disk for the model"):
        fit_small(packed_world, split_dir, small_disk / "model")


def test_a_damaged_image_is_named_as_it_was_read(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(packed_world, tmp_path / "packed")
    shard = next(iter(sorted(broken.glob("*.npy"))))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match=r"^the packed image cell-\d+ \(row 15\) is damaged"):
        fit_small(broken, split_dir, tmp_path / "model")


@pytest.mark.parametrize(("batch_size", "n_at_once"), [(2, 4), (4, 8), (100, 64)])
def test_a_validation_takes_at_most_twice_as_many_images_a_pass_as_a_step(
    packed_world: Path,
    split_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int,
    n_at_once: int,
) -> None:
    """Where a step fits into the device's memory with all activations, such a pass does."""
    asked: list[int] = []

    def recorded(*arguments: Any, batch_size: int) -> np.ndarray:
        asked.append(batch_size)
        return predict_logits(*arguments, batch_size=batch_size)

    monkeypatch.setattr(loop, "predict_logits", recorded)
    fit_small(packed_world, split_dir, tmp_path, n_steps=2, batch_size=batch_size)
    assert asked == [n_at_once]


def test_a_short_training_says_its_epochs_and_the_steps_of_ten(
    packed_world: Path,
    split_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """8 images, 4 a step: 5 steps are 2.5 epochs, ten epochs are 20 steps; 6 steps are enough."""
    _, _, history = fit_small(packed_world, split_dir, tmp_path / "short", n_steps=5)
    said = capsys.readouterr()
    assert "training: 5 steps of 4 images, 2.5 epochs of 8 images of 32 x 32 pixels" in said.out
    assert "warning: train.n_steps 5 is only 2.5 epochs of these 8 images" in said.err
    assert "10 epochs are train.n_steps=20" in said.err
    assert "step 5/5  loss" in said.out
    assert list(history["train/epochs"]) == [1.0, 2.0, 2.5]
    fit_small(packed_world, split_dir, tmp_path / "long", n_steps=6)
    assert "warning" not in capsys.readouterr().err


def test_the_rounds_of_a_short_training_reach_the_callback_with_their_epochs(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    seen: dict[int, float] = {}
    loop.fit(
        params(n_steps=4),
        packed_dir=packed_world,
        split_dir=split_dir,
        model_dir=tmp_path,
        on_round=lambda step, metrics: seen.update({step: metrics["train/epochs"]}),
        build_networks=compiled_small_networks,
    )
    assert seen == {2: 1.0, 4: 2.0}


def test_the_logits_of_the_best_weights_are_remembered_as_scoring_computes_them(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    """The first of two rounds is the best, so it is not simply the last that is kept."""
    best_by = "macro_average_precision"
    digest, _, history = fit_small(packed_world, split_dir, tmp_path, n_steps=4, best_by=best_by)
    assert history[f"val/{best_by}"].idxmax() == 0
    images, index = PackedImages(packed_world), read_index(packed_world)
    rows = loop.examples_of(
        index, pd.read_csv(split_dir / "assignment.csv")["split"], "val", LABELS
    ).rows
    network = keras.saving.load_model(tmp_path / "best.keras", compile=False)
    known = remembered(digest, images, rows, 8)
    assert known is not None
    assert known.tobytes() == predict_logits(network, images, rows, batch_size=8).tobytes()
    assert remembered("0" * 64, images, rows, 8) is None
    assert remembered(digest, images, rows[1:], 8) is None
    assert remembered(digest, images, rows, 4) is None
