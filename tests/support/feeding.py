"""In which order `fit` takes batches, also in a process of its own, on any backend and devices."""

import sys
from pathlib import Path

import numpy as np


def brightness_in_fit(packed_dir: Path, n_devices: int = 1, workers: int = 2) -> np.ndarray:
    """Return float[2,12]: the mean pixel of each step's batch, as it is and as `fit` took it."""
    import keras

    from hpa.config.sections import Augment
    from hpa.data.batches.packed_batches import TrainingBatches
    from hpa.data.packed import PackedImages
    from hpa.system import devices

    images = PackedImages(packed_dir)
    batches = TrainingBatches(
        images,
        np.arange(len(images)),
        np.zeros((len(images), 28), np.uint8),
        batch_size=4,
        seed=7,
        augment=Augment(turn=False, rotation=0.0, zoom=0.0, brightness=0.0),
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

    split_processor(int(sys.argv[2]))
    np.savetxt(sys.stdout, brightness_in_fit(Path(sys.argv[1]), int(sys.argv[2])))
