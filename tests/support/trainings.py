"""Trainings of the small network, also in processes of their own: any backend, several devices."""

import argparse
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpa.config.params import Params, load_params
from hpa.config.sections import Augment
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.splits.splitting import write_split
from hpa.system.files import sha256
from hpa.training.checkpoints import Checkpoint, Checkpoints
from support.paths import ROOT


def split_in_order(packed_dir: Path, split_dir: Path, *, n_train: int) -> Path:
    """Let the first images train, as many validate, and the rest test."""
    index = read_index(packed_dir)
    split = np.repeat(["train", "val", "test"], [n_train, n_train, len(index) - 2 * n_train])
    split[~index["labelled"]] = "unlabelled"
    assignment = pd.DataFrame({"Id": index["Id"], "group": index.index, "split": split})
    write_split(split_dir, index, read_vocabulary(packed_dir).labels, assignment)
    return split_dir


def params(**train: Any) -> Params:
    whole = load_params(ROOT / "params.yaml")
    small = {"n_steps": 300, "validate_every": 20, "batch_size": 4, "checkpoint_every": 7}
    return replace(
        whole,
        augment=Augment(turn=True, rotation=10.0, zoom=0.1, blur=0.5, contrast=0.2),
        train=replace(whole.train, **({"oversampling": "square_root"} | small | train)),
    )


def train(
    packed_dir: Path, split_dir: Path, folder: Path, began: Any = None, **changes: Any
) -> None:
    """Train in this process; set the event `began` after each round."""
    from hpa.training.loop import fit
    from support.networks import compiled_small_networks

    fit(
        params(**changes),
        packed_dir=packed_dir,
        split_dir=split_dir,
        model_dir=folder / "model",
        on_round=lambda *_: began.set() if began else None,
        checkpoints=Checkpoints(folder / "checkpoints", {}),
        build_networks=compiled_small_networks,
    )


def ending(folder: Path) -> dict[str, object]:
    """Return all that a training left: weights, optimizer and random states, history."""
    checkpoint = Checkpoints(folder / "checkpoints", {}).newest()
    assert checkpoint is not None
    arrays = {name: (a.dtype, a.shape, a.tobytes()) for name, a in checkpoint.arrays.items()}
    history = sha256(folder / "model" / "history.csv")
    return {"step": checkpoint.step, "arrays": arrays, "history": history}


def train_and_log(packed_dir: Path, split_dir: Path, folder: Path, began: Any) -> None:
    """Train as `train` does, with stderr in `folder / "stderr"`."""
    folder.mkdir()
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    train(packed_dir, split_dir, folder, began)


def die_after(step: int) -> None:
    """Kill this process as soon as it has written the checkpoint of a step."""
    write = Checkpoints.write

    def write_and_die(self: Checkpoints, checkpoint: Checkpoint) -> None:
        write(self, checkpoint)
        if checkpoint.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.write = write_and_die  # type: ignore[method-assign]


def split_processor(n_devices: int) -> None:
    """Present one processor as several devices to the backend."""
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={n_devices}"  # for JAX
    if os.environ.get("KERAS_BACKEND") == "tensorflow" and n_devices > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * n_devices
        tf.config.set_logical_device_configuration(cpu, devices)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("packed_dir", "split_dir", "folder"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--n-devices", type=int, default=1)
    parser.add_argument("--die-after", type=int)
    arguments = parser.parse_args()
    split_processor(arguments.n_devices)
    if arguments.die_after:
        die_after(arguments.die_after)
    for name in ("killed",) if arguments.die_after else ("killed", "whole"):
        train(
            arguments.packed_dir,
            arguments.split_dir,
            arguments.folder / name,
            n_steps=40,
            n_devices=arguments.n_devices,
        )
