"""The one place of the scoring that knows Optuna: maximise a quick function of a few numbers."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import optuna

Setting = Mapping[str, float]


def maximise(
    score: Callable[[Setting], float],
    bounds: Mapping[str, tuple[float, float]],
    *,
    starts: Sequence[Setting],
    n_trials: int,
    sampler: "optuna.samplers.BaseSampler",
) -> tuple[list[Setting], np.ndarray]:
    """Return the settings tried, `starts` first, and the score of each, float64[n_trials]."""
    import optuna  # loads in half a second, and reading thresholds needs none of it

    def objective(trial: optuna.Trial) -> float:
        return score({name: trial.suggest_float(name, *bounds[name]) for name in bounds})

    with _quiet():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for start in starts:
            study.enqueue_trial(dict(start))
        study.optimize(objective, n_trials=n_trials)
    return [trial.params for trial in study.trials], np.array([t.value for t in study.trials])


def even_sampler(seed: int) -> "optuna.samplers.BaseSampler":
    """Cover the space evenly, whatever scores: so that an average over settings is one over space.

    Source: Sobol's sequence, scrambled, by SciPy; n_trials best a power of two.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)


def climbing_sampler(seed: int) -> "optuna.samplers.BaseSampler":
    """Go where scores were good.

    Source: TPE, Bergstra et al., "Algorithms for hyper-parameter optimization", 2011.
    """
    import optuna

    return optuna.samplers.TPESampler(seed=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Report no single trial: there are hundreds of them in a second."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
