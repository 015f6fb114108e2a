import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from hpa.config.params import load_params
from hpa.errors import UserError
from hpa.system import devices
from hpa.training import recipe
from hpa.vocabulary.hpa2018 import HPA_2018
from support.paths import ROOT

TRAINING = """
import json, sys
import numpy as np
from hpa.system.backends import prepare_backend
prepare_backend()
if sys.argv[1] == "tensorflow":
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from dataclasses import replace
from pathlib import Path
from hpa.config.params import load_params
from hpa.model import resnet
from hpa.model.optimizers import averaged_weights
from hpa.training.recipe import compiled_networks
from hpa.vocabulary.hpa2018 import HPA_2018
resnet.BLOCKS = (1, 1, 1, 1)  # every kind of layer, and a third of the time
params = load_params(Path("params.yaml"))
params = replace(params, model=replace(params.model, dropout=0.0))
rng = np.random.default_rng(4)
images = rng.integers(0, 256, (24, 32, 32, 4), dtype=np.uint8)
labels = (rng.random((24, 28)) < 0.3).astype("float32")
inputs = {"images": images, "turn": rng.integers(0, 8, 24).astype("int32")}
for n_devices in (1, 2):
    train = replace(params.train, n_devices=n_devices, n_steps=9, head_steps=1,
        depth_factors="0.1 0.33 1", average_momentum=0.5)
    keras.utils.set_random_seed(3)
    network, model = compiled_networks(replace(params, train=train), HPA_2018, 32, np.full(28, 0.1))
    history = model.fit(inputs, labels, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    kernel = keras.ops.convert_to_numpy(network.get_layer("logits").kernel)
    with averaged_weights(model):
        logits = network.predict(images, batch_size=8, verbose=0)
    found = {"loss": history["loss"], "logits": logits.tolist(), "kernel": kernel.tolist()}
    print(json.dumps(found))
"""


def trained_on_one_and_two(backend: str) -> list[dict[str, np.ndarray]]:
    """Train on one device, then on two, in a process that sees two."""
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, backend],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *sys.path]),
            "KERAS_BACKEND": backend,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = map(json.loads, done.stdout.splitlines()[-2:])
    return [{key: np.array(value) for key, value in each.items()} for each in results]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_learn_what_one_learns(backend: str) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    one, two = trained_on_one_and_two(backend)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-3)
    # Adam turns rounding of the smallest gradients into whole steps: compare all weights together.
    difference = np.linalg.norm(two["kernel"] - one["kernel"])
    assert 0 < difference < 2e-3 * np.linalg.norm(one["kernel"])
    np.testing.assert_allclose(two["logits"], one["logits"], atol=0.02)


def test_more_devices_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    with pytest.raises(UserError, match=r"has 2 device\(s\)[\s\S]*gpu:0, gpu:1[\s\S]*4"):
        devices.data_parallel(4)


def test_torch_trains_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UserError, match="the backend torch trains on one device"):
        devices.data_parallel(2)


@pytest.mark.parametrize(
    ("cpuinfo", "refused"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", True),
        ("flags\t\t: fpu avx512_bf16 avx2\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("", True),
    ],
)
def test_a_processor_that_only_emulates_bfloat16_is_refused(
    cpuinfo: str, refused: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\n{cpuinfo}")
    flags = devices._processor_flags(path)
    monkeypatch.setattr(devices, "_processor_flags", lambda: flags)
    monkeypatch.setattr(devices, "_accelerator", lambda: None)
    devices.require_precision("float32")
    if not refused:
        devices.require_precision("mixed_bfloat16")
        return
    with pytest.raises(UserError, match=r"emulated[\s\S]*mixed_bfloat16 on this .* processor"):
        devices.require_precision("mixed_bfloat16")


@pytest.mark.parametrize(
    ("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)]
)
def test_a_gpu_needs_compute_capability_8(
    capability: tuple[int, int], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_accelerator", lambda: devices._gpu("Card", capability))
    if not refused:
        devices.require_precision("mixed_bfloat16")
        return
    with pytest.raises(UserError, match=r"Card, compute capability 7\.5"):
        devices.require_precision("mixed_bfloat16")


def test_clipping_on_several_devices_of_tensorflow_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    params = load_params(ROOT / "params.yaml")
    params = replace(params, train=replace(params.train, n_devices=2, clip_norm=1.0))
    with pytest.raises(UserError, match=r"clip_norm[\s\S]*1\.0 with train\.n_devices 2"):
        recipe.compiled_networks(params, HPA_2018, 32, np.full(28, 0.1))
