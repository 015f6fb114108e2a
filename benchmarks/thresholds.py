"""Compare the threshold rules on rows that they were not fitted to: real scores, simulated worlds.

    python benchmarks/thresholds.py scores.npz …             ten minutes per file of 6,000 rows
    python benchmarks/thresholds.py --worlds --draws 10      a quarter of an hour
    python benchmarks/thresholds.py scores.npz --draws 4     a first look
    python benchmarks/thresholds.py --speed                  half a minute

Each file is split into random halves: rules are fitted to one and evaluated on the other. Prints,
per rule: mean macro F1 on the test half; its difference from the exact sweep with standard error;
the optimism of the estimate (cross-fitted macro F1 on the fit half minus macro F1 on the test
half); CPU seconds per fit, cross-fitting included.

Worlds draw label frequencies from the real table, and scores whose classes lie 1 to 3.2 standard
deviations apart. Their probabilities are calibrated, warped (a monotone curve per class) or shifted
(calibrated for other label frequencies than those of the test rows: each frequency times a
log-normal number, sigma 0.5).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from sklearn.metrics import f1_score

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
from hpa.metrics.predictions import Scores
from hpa.metrics.ranking import best_macro_f1, rank_scores
from hpa.thresholds.blending import blend_rule
from hpa.thresholds.cross_fitting import cross_fitted_f1
from hpa.thresholds.fitting import fit_thresholds
from hpa.thresholds.rules import RULES
from hpa.vocabulary import hpa2018

WORLDS = ("calibrated", "warped", "shifted")
ROWS = (4_000, 6_000, 31_000)
TEST_ROWS = 12_000
N_IMAGES = 31_072
COUNTS = np.fromstring(
    "12885 1254 3621 1561 1858 2513 1008 2822 53 45 28 1093 688 537 "
    "1066 21 530 210 902 1482 172 3777 802 2965 322 8228 328 11",
    dtype=int,
    sep=" ",
)
"""Images per label among the 31,072 of the competition's train.csv."""

Draw = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    """Print one table per file or world."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path, nargs="*", metavar="FILE.npz")
    parser.add_argument("--draws", type=int, default=50, help="splits per file, draws per world")
    parser.add_argument("--worlds", action="store_true", help="simulate worlds")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="fit rows of a world")
    parser.add_argument("--rules", nargs="+", default=(*RULES, "selected"))
    parser.add_argument("--speed", action="store_true", help="time the sweep and the fit")
    arguments = parser.parse_args()
    rules = tuple(dict.fromkeys(("sweep", *arguments.rules)))
    for path in arguments.scores:
        print_table(path.stem, half_splits(Scores.read(path), arguments.draws), rules)
    if arguments.worlds:
        for n_rows in arguments.rows:
            for kind in WORLDS:
                draws = (draw(kind, n_rows, seed) for seed in range(arguments.draws))
                print_table(f"{kind}, {n_rows} rows", draws, rules)
    if arguments.speed:
        print_speed()


def half_splits(scores: Scores, n_splits: int) -> Iterator[Draw]:
    """Yield random splits into fit and test rows of equal size."""
    y_true, y_prob = scores.labelled(), scores.y_prob
    for seed in range(n_splits):
        order = np.random.default_rng([0, seed]).permutation(len(y_true))
        fit, test = np.array_split(order, 2)
        yield y_true[fit], y_prob[fit], y_true[test], y_prob[test]


def draw(kind: str, n_rows: int, seed: int) -> Draw:
    """Draw fit and test rows of a world."""
    random = np.random.default_rng([77, seed, n_rows, WORLDS.index(kind)])
    rates = COUNTS / N_IMAGES
    distance = random.uniform(1.0, 3.2, len(hpa2018.LABELS))
    scale, offset, bend = np.exp(random.normal(0, 0.4, 28)), *random.normal(0, 1, (2, 28))
    changed = np.minimum(rates * np.exp(random.normal(0, 0.5, len(hpa2018.LABELS))), 0.6)
    test_rates = changed if kind == "shifted" else rates
    arrays: list[np.ndarray] = []
    for n, each in ((n_rows, rates), (TEST_ROWS, test_rates)):
        y_true = (random.random((n, len(hpa2018.LABELS))) < each).astype(np.uint8)
        signal = distance * (y_true - 0.5) + random.normal(size=y_true.shape)
        logits = distance * signal + logit(rates)
        if kind == "warped":
            logits = scale * logits + offset + np.abs(bend) * np.tanh(logits + 2)
        arrays += [y_true, expit(logits).astype(np.float32)]
    return arrays[0], arrays[1], arrays[2], arrays[3]


def print_table(name: str, draws: Iterable[Draw], rules: tuple[str, ...]) -> None:
    """Fit every rule to every draw and print its macro F1 on the test rows."""
    reached: dict[str, list[float]] = {rule: [] for rule in rules}
    estimated: dict[str, list[float]] = {rule: [] for rule in rules}
    seconds = dict.fromkeys(rules, 0.0)
    for seed, (y_true, y_prob, test_true, test_prob) in enumerate(draws):
        test = rank_scores(test_true, test_prob)
        for rule in rules:
            started = time.process_time()
            values, cross_fitted = fit(rule, y_true, y_prob, seed)
            seconds[rule] += time.process_time() - started
            reached[rule].append(test.f1_at(values).mean())
            estimated[rule].append(cross_fitted.mean())
    n_draws = len(reached["sweep"])
    print(f"\n{name}, {n_draws} draws\n{'':12s} macro F1   less sweep      optimism  seconds")
    for rule in sorted(rules, key=lambda each: -np.mean(reached[each])):
        gain = np.subtract(reached[rule], reached["sweep"])
        error = gain.std() / max(n_draws - 1, 1) ** 0.5
        optimism = np.mean(estimated[rule]) - np.mean(reached[rule])
        print(
            f"{rule:12s} {np.mean(reached[rule]):.4f}   {gain.mean():+.4f} ± {error:.4f}  "
            f"{optimism:+.4f}  {seconds[rule] / n_draws:.2f}",
            flush=True,
        )


def fit(
    name: str, y_true: np.ndarray, y_prob: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a rule's thresholds and its cross-fitted F1, float64[28] each."""
    rule = blend_rule(seed) if name == "selected" else RULES[name]
    ranking = rank_scores(y_true, y_prob)
    return rule(ranking), cross_fitted_f1(ranking, rule, seed)


def print_speed() -> None:
    """Time the sweep against sorting and a grid search with scikit-learn, on 6,215 rows."""
    y_true, y_prob, _, _ = draw("calibrated", 6_215, 0)
    columns = np.ascontiguousarray(y_prob.T)
    grid = np.linspace(0.01, 0.99, 100)

    def search_grid() -> None:
        for truth, scores in zip(y_true.T, y_prob.T, strict=True):
            for value in grid:
                f1_score(truth, scores >= value, zero_division=0)

    sort = cpu_seconds(lambda: np.argsort(-columns, axis=1), 20)
    sweep = cpu_seconds(lambda: best_macro_f1(y_true, y_prob), 20)
    sklearn = cpu_seconds(search_grid, 1)
    whole = cpu_seconds(lambda: fit_thresholds(y_true, y_prob, hpa2018.LABELS), 1)
    print(f"\nsort {1e3 * sort:.1f} ms; exact sweep {1e3 * sweep:.1f} ms, {sweep / sort:.2f} sorts")
    print(f"scikit-learn, grid of 100: {sklearn:.1f} s, {sklearn / sweep:.0f} sweeps")
    print(f"fit_thresholds, cross-fitting included: {whole:.1f} s")


def cpu_seconds(function: Callable[[], object], n_times: int) -> float:
    """Return the shortest of n CPU times."""
    times = []
    for _ in range(n_times):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()
