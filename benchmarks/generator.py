# ruff: noqa: E402
"""Compare speed and memory of the batch generator with tf.data over TFRecord.

    python benchmarks/generator.py           two minutes; 1.1 GB of temporary files

Speed is images per second on one core, by wall time and by CPU time (user and system). Both
readers read the same random pixels at 256²×4, shuffled, in batches of 32, from the page cache, in
alternating rounds; medians. tf.data reads raw pixels, so nothing is decoded; its shuffle buffer
holds 1,024 images, and both its pools have one thread.
Memory is the peak of a process that reads 200 batches from 1,000 rows and from 100,000 (sparse
files, whose holes read as zeros), each with an index as pack writes it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hpa.system.backends import prepare_backend

prepare_backend()  # before anything loads Keras

from hpa.config.sections import Augment
from hpa.data.batches.packed_batches import TrainingBatches
from hpa.data.packed.packed_images import PackedImages
from hpa.vocabulary.hpa2018 import CHANNELS, LABELS

SIZE_PX, BATCH_SIZE, N_BATCHES, N_ROUNDS = 256, 32, 200, 5
SHARD_ROWS = 8192
AUGMENT = Augment(turn=True, rotation=10.0, zoom=0.1, blur=0.5, contrast=0.2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-images", type=int, default=2000, help="images in the speed test")
    parser.add_argument("--walk", type=Path, help=argparse.SUPPRESS)  # the process measured
    arguments = parser.parse_args()
    if arguments.walk:
        exhaust(walk(arguments.walk))
        print(peak_bytes())
        return
    with TemporaryDirectory(prefix="hpa-generator-") as name:
        print_speed(Path(name), arguments.n_images)
        print_memory(Path(name))


def print_speed(folder: Path, n_images: int) -> None:
    """Time both readers alternately, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    packed, records = folder / "packed", folder / "images.tfrecord"
    write_packed(packed, n_images, fill=True)
    write_records(records, packed / "images-000.npy")
    exhaust(batches := walk(packed))
    first, ours, theirs = [], [], []
    for _ in range(N_ROUNDS):
        first.append(speed(walk(packed), n_batches=n_images // BATCH_SIZE))
        ours.append(speed(batches))
        theirs.append(speed(read_records(records)))
    print("images per second on one core              wall time      CPU time")
    for name, rounds in (
        ("packed rows, first epoch (CRC-32)", first),
        ("packed rows", ours),
        ("tf.data over TFRecord", theirs),
    ):
        print(
            f"{name:40s}{np.median(rounds, axis=0)[0]:12,.0f}{np.median(rounds, axis=0)[1]:14,.0f}"
        )
    ratio = np.median(ours, axis=0) / np.median(theirs, axis=0)
    print(f"{'ratio of the last two':40s}{ratio[0]:12.1f}{ratio[1]:14.1f}")


def print_memory(folder: Path) -> None:
    """Compare the peak memory of two processes."""
    peaks = []
    for n_images in (1_000, 100_000):
        write_packed(folder / str(n_images), n_images, fill=False)
        command = [sys.executable, __file__, "--walk", str(folder / str(n_images))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
        print(f"peak memory over {n_images:7,} rows: {peaks[-1] / 1e6:.0f} MB")
    print(f"ratio: {peaks[1] / peaks[0]:.3f}")


def walk(packed: Path) -> TrainingBatches:
    """Return training batches with every augmentation."""
    images = PackedImages(packed)
    y_true = np.zeros((len(images), len(LABELS)), np.uint8)
    return TrainingBatches(
        images,
        np.arange(len(images)),
        y_true,
        batch_size=BATCH_SIZE,
        seed=7,
        augment=AUGMENT,
        end=N_BATCHES,
    )


def exhaust(batches: TrainingBatches) -> None:
    """Read every batch; by default, more than an epoch."""
    for _ in batches:
        pass


def peak_bytes() -> int:
    """Return the peak resident size of this process; getrusage would include the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def speed(batches: Any, n_batches: int = N_BATCHES) -> tuple[float, float]:
    """Return images per second by wall time and by CPU time."""
    iterator = iter(batches)
    next(iterator)  # fills buffers and starts threads
    clock, cpu = time.perf_counter(), time.process_time()
    for _ in range(n_batches - 1):
        next(iterator)
    n_images = BATCH_SIZE * (n_batches - 1)
    return n_images / (time.perf_counter() - clock), n_images / (time.process_time() - cpu)


def write_packed(folder: Path, n_images: int, *, fill: bool) -> None:
    """Write shards, manifest and index; without `fill` the shards are sparse."""
    folder.mkdir()
    random, shards, checksums = np.random.default_rng(1), [], []
    empty = zlib.crc32(bytes(SIZE_PX * SIZE_PX * len(CHANNELS)))
    for number, first in enumerate(range(0, n_images, SHARD_ROWS)):
        n_rows = min(SHARD_ROWS, n_images - first)
        shape = (n_rows, SIZE_PX, SIZE_PX, len(CHANNELS))
        shard = open_memmap(folder / f"images-{number:03d}.npy", "w+", np.uint8, shape)
        shards.append({"file": f"images-{number:03d}.npy", "n_images": n_rows})
        for row in range(n_rows):
            if fill:
                shard[row] = random.integers(0, 256, shape[1:], dtype=np.uint8)
            checksums.append(zlib.crc32(shard[row].data) if fill else empty)
    (folder / "manifest.json").write_text(json.dumps({"shards": shards}))
    ids = [f"{row:08d}-0000-0000-0000-000000000000" for row in range(n_images)]
    index = pd.DataFrame({"Id": ids, "crc32": checksums})
    for column in ("mean", "std", "saturated"):
        for channel in CHANNELS.names:
            index[f"{channel}_{column}"] = 0.123456
    index.to_csv(folder / "index.csv", index=False)


def write_records(path: Path, shard_path: Path) -> None:
    """Write each row of a shard as a tf.train.Example of its raw bytes and 28 labels."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for pixels in np.load(shard_path, mmap_mode="r"):
            values = {"pixels": pixels.tobytes(), "labels": bytes(len(LABELS))}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def read_records(path: Path) -> Any:
    """Return the usual pipeline: shuffle, batch, parse whole batches, prefetch."""
    import tensorflow as tf

    kinds = {name: tf.io.FixedLenFeature([], tf.string) for name in ("pixels", "labels")}

    def parse(examples: Any) -> tuple[Any, Any]:
        parsed = tf.io.parse_example(examples, kinds)
        pixels = tf.io.decode_raw(parsed["pixels"], tf.uint8)
        labels = tf.io.decode_raw(parsed["labels"], tf.uint8)
        shape = (BATCH_SIZE, SIZE_PX, SIZE_PX, len(CHANNELS))
        return tf.reshape(pixels, shape), tf.cast(labels, tf.float32)

    records = tf.data.TFRecordDataset(str(path)).shuffle(1024, seed=1).repeat()
    dataset = records.batch(BATCH_SIZE, drop_remainder=True).map(parse).prefetch(2)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
