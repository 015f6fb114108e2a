"""All thresholds searched at once, to see that it cannot beat the sweep on the rows of the fit."""

import numpy as np
from scipy.special import expit, logit

from hpa.metrics.ranking import Ranking, just_above, sweep
from hpa.seeds import stream
from hpa.thresholds.optuna_search import climbing_sampler, maximise

N_TRIALS = 60


def searched(ranking: Ranking, seed: int) -> np.ndarray:
    """Search one threshold a class, all together, by macro F1 of the fit set; float64[C] in (0,1).

    Starts from the exact sweep, which is the best there is, so no trial can be better: other
    thresholds only come out where they tie. Between the lowest and highest score of each class.
    """
    start = logit(sweep(ranking)[0])
    low = np.minimum(logit(just_above(ranking.scores[:, -1])), start)
    high = np.maximum(logit(just_above(ranking.scores[:, 0])), start)
    bounds = {str(c): (float(low[c]), float(high[c])) for c in range(len(start))}
    settings, scores = maximise(
        lambda trial: float(ranking.f1_at(expit(list(trial.values()))).mean()),
        bounds,
        starts=[dict(zip(bounds, start.tolist(), strict=True))],
        n_trials=N_TRIALS,
        sampler=climbing_sampler(int(stream(seed, "joint search").integers(2**31))),
    )
    values = expit(list(settings[int(scores.argmax())].values()))
    return np.clip(values, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))
