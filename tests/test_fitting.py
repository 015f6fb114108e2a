from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from hpa import config, fitting
from hpa.data.packed import PackedImages, read_index
from hpa.data.splitting import write_split
from hpa.errors import UserError
from hpa.model.losses import make_loss
from hpa.model.weights import weights_sha256
from hpa.prediction import predict_logits

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def split_dir(packed_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first eight images learn, the next eight choose, the rest judges."""
    index = read_index(packed_world)
    split = np.repeat(["train", "val", "test"], [8, 8, len(index) - 16])
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": index.index, "split": split})
    folder = tmp_path_factory.mktemp("split") / "split"
    write_split(folder, index, assignment)
    return folder


def params(**train: object) -> config.Params:
    whole = config.load(ROOT / "params.yaml")
    small = {"n_steps": 5, "validate_every": 2, "batch_size": 4, "warmup_fraction": 0.0}
    return replace(
        whole,
        augment=config.Augment(turn=True, rotation=10.0, zoom=0.1, brightness=0.2),
        train=replace(whole.train, **(small | train)),  # type: ignore[arg-type]
    )


def fit(
    packed_dir: Path, split_dir: Path, model_dir: Path, **train: object
) -> tuple[str, list[int], pd.DataFrame]:
    """Train; returns the digest of the best weights, the steps seen by on_round, the history."""
    steps: list[int] = []
    digest = fitting.fit(
        params(**train),
        packed_dir=packed_dir,
        split_dir=split_dir,
        model_dir=model_dir,
        on_round=lambda step, _: steps.append(step),
    )
    return digest, steps, pd.read_csv(model_dir / "history.csv")


def test_two_trainings_end_bit_identical(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    (first, steps, history), (second, _, again) = (
        fit(packed_world, split_dir, tmp_path / name, oversampling="square_root")
        for name in ("first", "second")
    )
    assert first == second
    columns = ["step", "train/loss", "val/loss", "val/macro_f1"]
    pd.testing.assert_frame_equal(history[columns], again[columns], check_exact=True)
    last = [keras.saving.load_model(tmp_path / name / "last.keras") for name in ("first", "second")]
    assert weights_sha256(last[0]) == weights_sha256(last[1])

    # what is saved takes an image and nothing else: it changes none
    assert last[0].input.shape == (None, 32, 32, 4)
    assert not {layer.name for layer in last[0].layers} & {"turn_images", "warp_images"}

    assert steps == list(history["step"]) == [2, 4, 5]  # the last round is what is left


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    digest, _, history = fit(packed_world, split_dir, tmp_path, n_steps=4, learning_rate=0.5)
    model = keras.saving.load_model(tmp_path / "best.keras", compile=False)
    assert weights_sha256(model) == digest

    index = read_index(packed_world)
    val = fitting.examples_of(index, pd.read_csv(split_dir / "assignment.csv")["split"], "val")
    logits = predict_logits(model, PackedImages(packed_world), val.rows, batch_size=8)
    loss = make_loss(params().loss, np.full(28, 0.1))
    assert float(loss(val.y_true, logits)) == pytest.approx(history["val/loss"].min(), rel=1e-4)


def test_another_seed_gives_other_weights(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    digests = {
        fit(packed_world, split_dir, tmp_path / str(seed), n_steps=1, seed=seed)[0]
        for seed in (1, 2)
    }
    assert len(digests) == 2


def test_it_learns_eight_images_by_heart(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    unchanged = config.Augment(turn=False, rotation=0.0, zoom=0.0, brightness=0.0)
    fitting.fit(
        replace(params(n_steps=60, validate_every=60, batch_size=8), augment=unchanged),
        packed_dir=packed_world,
        split_dir=split_dir,
        model_dir=tmp_path,
        on_round=lambda *_: None,
    )
    model = keras.saving.load_model(tmp_path / "last.keras", compile=False)
    index = read_index(packed_world)
    train = fitting.examples_of(index, pd.read_csv(split_dir / "assignment.csv")["split"], "train")
    logits = predict_logits(model, PackedImages(packed_world), train.rows, batch_size=8)
    np.testing.assert_array_equal(logits > 0, train.y_true.astype(bool))


def test_whoever_watches_can_end_a_training(
    packed_world: Path, split_dir: Path, tmp_path: Path
) -> None:
    def stop(step: int, metrics: dict[str, float]) -> None:
        raise StopIteration(f"enough after {step} steps at {metrics['val/loss']:.1f}")

    with pytest.raises(StopIteration, match="enough after 2 steps"):
        fitting.fit(
            params(),
            packed_dir=packed_world,
            split_dir=split_dir,
            model_dir=tmp_path,
            on_round=stop,
        )


def test_a_diverged_training_stops_and_says_what_to_do(
    packed_world: Path, split_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"train/loss": float("nan")}
    monkeypatch.setattr(fitting, "_train", lambda *_: nothing)
    with pytest.raises(UserError, match=r"diverged before step 2[\s\S]*train/loss nan"):
        fit(packed_world, split_dir, tmp_path)
