"""Coverage of the 95 % interval of macro F1 for rare and common classes.

python benchmarks/intervals.py     a minute; the share of samples whose interval holds the truth
python benchmarks/intervals.py --samples 1000

Each of 28 classes has a fixed number of positives, of which a share is found, and a number of false
positives drawn from Poisson's distribution. The share of intervals that hold the true macro F1
should be about 0.95. `reason` is what a report says instead of the interval, if anything.
"""

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.metrics.bootstrap import bootstrap_f1, interval, too_few
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1

N_CLASSES = 28
POSITIVES = (1, 2, 5, 10, 50)
SKILLS = ((0.1, 3.0), (0.5, 0.5), (0.9, 0.1))
"""Share of positives found, and false positives per positive."""


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200, help="per row (default: 200)")
    samples = parser.parse_args().samples
    print("| positives per class | found | false positives | macro F1 | covered | width | reason |")
    print("|---|---|---|---|---|---|---|")
    for n_positives, (found, false) in itertools.product(POSITIVES, SKILLS):
        covered, width, reason = coverage(n_positives, found, false, samples)
        truth = true_macro_f1(found, false)
        print(
            f"| {n_positives} | {found} | {false * n_positives:g} | {truth:.3f} | {covered:.3f} "
            f"| {width:.3f} | {reason} |"
        )


def true_macro_f1(found: float, false: float) -> float:
    """Return F1 of the expected counts, equal for all classes."""
    return 2 * found / (1 + found + false)


def coverage(
    n_positives: int, found: float, false: float, samples: int
) -> tuple[float, float, str]:
    """Return the share of intervals that hold the truth, their mean width, and the reason."""
    random = np.random.default_rng(0)
    n_rows = N_CLASSES * n_positives
    y_true = np.repeat(np.eye(N_CLASSES, dtype=np.uint8), n_positives, axis=0)
    hits, width, groups = 0, 0.0, np.arange(n_rows)
    rate = false * n_positives / (n_rows - n_positives)
    for sample in range(samples):
        hit = random.random(y_true.shape) < found
        invented = random.random(y_true.shape) < rate
        y_pred = np.where(y_true, hit, invented).astype(np.uint8)
        drawn = bootstrap_f1(y_true, y_pred, groups, seed=sample, n=400)
        score = macro_f1(count_outcomes(y_true, y_pred))
        low, high = interval(score, drawn.by_class.mean(axis=1))
        hits += low <= true_macro_f1(found, false) <= high
        width += (high - low) / samples
    return hits / samples, width, too_few(y_true, groups)


if __name__ == "__main__":
    main()
