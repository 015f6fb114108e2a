"""Read damaged image files and metadata that lie, drawn by a seed, within bounds.

    python benchmarks/malformed_files.py --minutes 10 --seed 1

Each file must give pixels or `InvalidImageError`, in 2 CPU seconds and 300 MB, without a word on
the terminal. Prints files per kind and their outcomes; a file that fails is saved in a folder, its
error printed, and the exit status is 1. A file that hangs ends the run after 30 seconds and is the
folder's `last`.
"""

import argparse
import collections
import faulthandler
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
from support.odd_files import (  # noqa: E402 (the path is set above)
    Files,
    damage,
    lying_files,
    read_everything,
    whole_files,
)

MAX_CPU_S, MAX_MB, HANGS_S = 2, 300, 30


def main() -> int:
    """Read until the time is over; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "malformed")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    whole, draw = whole_files(), random.Random(arguments.seed)
    outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    n_failed, end = 0, time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="hpa-malformed-") as folder:
        for files in [*whole.values(), *whole.values()]:  # imports, and memory of the largest
            read_everything(files, Path(folder))
        queue = list(lying_files().items())
        while time.monotonic() < end:
            kind, files = queue.pop() if queue else draw.choice(list(whole.items()))
            odd = files if kind not in whole else damage(draw, files)
            save(arguments.keep / "last", odd)
            problem, outcome = attempt(odd, Path(folder))
            outcomes[kind][outcome] += 1
            if problem:
                n_failed += 1
                print(f"{n_failed} {kind}: {problem}", flush=True)
                save(arguments.keep / str(min(n_failed, 50)), odd)
    for kind, found in sorted(outcomes.items()):
        print(f"{kind}: {', '.join(f'{number} {outcome}' for outcome, number in found.items())}")
    n_files = sum(sum(each.values()) for each in outcomes.values())
    print(f"{n_files} files, {n_failed} failed")
    return 1 if n_failed else 0


def attempt(files: Files, folder: Path) -> tuple[str, str]:
    """Read an image; return what is wrong with the reader, if anything, and the outcome."""
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    before, started = peak_mb(), time.process_time()
    problem = ""
    try:
        outcome = "pixels" if read_everything(files, folder) == "pixels" else "refused"
    except Exception:
        problem, outcome = traceback.format_exc(), "failed"
    if (seconds := time.process_time() - started) > MAX_CPU_S:
        problem += f"{seconds:.1f} CPU seconds"
    if (grown := peak_mb() - before) > MAX_MB:
        problem += f"{grown:.0f} MB more"
    return problem, outcome


def peak_mb() -> float:
    """Return the highest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def save(folder: Path, files: Files) -> None:
    """Save an image of one or several files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
