"""Order of the batches in `fit`, also in another process, on any backend and number of devices."""

import json
import sys
from pathlib import Path

import numpy as np


def brightness_in_fit(packed_dir: Path, n_devices: int = 1, workers: int = 2) -> np.ndarray:
    """Return the mean pixel of each step's batch, as read and as `fit` received it: float[2,12]."""
    import keras

    from hpa.config.sections import Augment
    from hpa.data.batches.packed_batches import TrainingBatches
    from hpa.data.packed.packed_images import PackedImages
    from hpa.system import devices

    images = PackedImages(packed_dir)
    batches = TrainingBatches(
        images,
        np.arange(len(images)),
        np.zeros((len(images), 28), np.uint8),
        batch_size=4,
        seed=7,
        augment=Augment(turn=False, rotation=0.0, zoom=0.0, blur=0.0, contrast=0.0),
        end=12,
        workers=workers,
    )
    with devices.data_parallel(n_devices):
        pixels = keras.Input(images.row_shape, dtype="uint8", name="images")
        means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1.0)(pixels))
        still = keras.layers.Dense(1, kernel_initializer="ones")(means)
        model = keras.Model({"images": pixels}, still)
        model.compile(
            optimizer=keras.optimizers.SGD(0.0),
            loss=lambda _, sums: keras.ops.mean(sums, axis=-1) / 4,
            jit_compile=devices.jit_compile(n_devices),
        )
    sums: list[float] = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: sums.append(logs["loss"] * (batch + 1))
    )
    model.fit(batches.feed(), shuffle=False, verbose=0, callbacks=[note])
    expected = [inputs["images"].mean() for inputs, _ in batches]
    return np.array([expected, np.diff(sums, prepend=0.0)])


if __name__ == "__main__":
    from support.trainings import split_processor

    packed_dir, *numbers = sys.argv[1:]
    split_processor(max(map(int, numbers)))
    found = [brightness_in_fit(Path(packed_dir), int(n_devices)).tolist() for n_devices in numbers]
    print(json.dumps(found))
