"""Rule "joint": search all thresholds together, to show that it cannot beat the exact sweep."""

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking, just_above, sweep
from hpa.seeds import stream

N_TRIALS = 60


def search_jointly(ranking: Ranking, seed: int) -> np.ndarray:
    """Search all thresholds at once for the best macro F1 of the fit set, float64[C] in (0,1).

    Starts from the exact sweep, which is optimal on the fit set, and stays between the lowest and
    highest score of each class.

    Source: TPE, Bergstra et al., "Algorithms for hyper-parameter optimization", 2011.
    """
    import optuna  # takes half a second to load, and only this rule needs it

    start = logit(sweep(ranking)[0])
    low = np.minimum(logit(just_above(ranking.scores[:, -1])), start).tolist()
    high = np.maximum(logit(just_above(ranking.scores[:, 0])), start).tolist()
    names = list(map(str, range(len(start))))

    def objective(trial: optuna.Trial) -> float:
        logits = [trial.suggest_float(*each) for each in zip(names, low, high, strict=True)]
        return float(ranking.f1_at(expit(logits)).mean())

    sampler = optuna.samplers.TPESampler(seed=int(stream(seed, "joint search").integers(2**31)))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial(dict(zip(names, start.tolist(), strict=True)))
        study.optimize(objective, n_trials=N_TRIALS)
    finally:
        optuna.logging.set_verbosity(verbosity)
    values = expit([study.best_params[name] for name in names])
    return np.clip(values, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))
