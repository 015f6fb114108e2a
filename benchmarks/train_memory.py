"""Peak memory of training, on the packed images and on ten times as many.

    python benchmarks/train_memory.py        two minutes, after make repro

The larger folder holds ten links to each of the same shards, so that only the number of rows
differs. Prints both peaks and their ratio; a ratio of 1 means that memory does not grow with the
number of images.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

ROOT = Path(__file__).parents[1]
STEPS = ["--n_steps", "20", "--validate_every", "10"]


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10, help="how many times the rows")
    times = parser.parse_args().times
    with TemporaryDirectory(prefix="hpa-memory-") as name:
        peaks = [peak_bytes(Path(name) / str(each), each) for each in (1, times)]
    for each, peak in zip((1, times), peaks, strict=True):
        print(f"{each:3d} × the rows: {peak / 1e9:.2f} GB at the peak")
    print(f"ratio: {peaks[1] / peaks[0]:.3f}")


def peak_bytes(folder: Path, times: int) -> int:
    """Train in a folder with the rows repeated; return the peak resident size of the process."""
    repeat_rows(folder, times)
    shutil.copy(ROOT / "params.yaml", folder)
    code = (
        "import resource, subprocess, sys; "
        "code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    train = [sys.executable, str(ROOT / "src" / "train.py"), *STEPS]
    done = subprocess.run(
        [sys.executable, "-c", code, *train],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "DVC_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return 1024 * int(done.stdout.split()[-1])


def repeat_rows(folder: Path, times: int) -> None:
    """Write data/packed and data/split with each shard `times` times."""
    packed, split = folder / "data" / "packed", folder / "data" / "split"
    packed.mkdir(parents=True)
    split.mkdir()
    manifest = json.loads((ROOT / "data/packed/manifest.json").read_text())
    shards = []
    for number in range(times):
        for shard in manifest["shards"]:
            name = f"images-{number:03d}-{shard['file']}"
            (packed / name).symlink_to(ROOT / "data" / "packed" / shard["file"])
            shards.append({**shard, "file": name})
    manifest |= {"shards": shards, "n_images": times * manifest["n_images"]}
    (packed / "manifest.json").write_text(json.dumps(manifest))
    for source, target in (
        (ROOT / "data/packed/index.csv", packed / "index.csv"),
        (ROOT / "data/split/assignment.csv", split / "assignment.csv"),
    ):
        table = pd.read_csv(source, keep_default_na=False, dtype=str)
        pd.concat([table] * times).to_csv(target, index=False)


if __name__ == "__main__":
    main()
