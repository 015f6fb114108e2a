"""Optuna studies: create, resume and join them.

Everything that a worker needs is stored in the study: a storage URL and a name suffice to join.
"""

import itertools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hpa.config.params import Params, params_from_document
from hpa.errors import UserError
from hpa.search.identity import here_as, identity, require_same
from hpa.search.space import current, read_space, trial_params
from hpa.search.storage import lock_study, open_storage, storage_url
from hpa.seeds import stream

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
VALUE = "val/macro_f1_cross_fitted"
SHARED = ("fixed", "params", "n_trials")
"""User attributes that a worker reads when it joins."""
FIRST_ROUND = 2
"""First round that may prune: before it the learning rate is still warming up."""

SAMPLERS: Mapping[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda seed, n: TPESampler(seed=seed, n_startup_trials=n),
    "random": lambda seed, _: RandomSampler(seed=seed),
}
PRUNERS: Mapping[str, Callable[[int], BasePruner]] = {
    "median": lambda n: MedianPruner(n_startup_trials=n, n_warmup_steps=FIRST_ROUND),
    "halving": lambda _: SuccessiveHalvingPruner(min_resource=1),
    "none": lambda _: NopPruner(),
}


@dataclass(frozen=True)
class Study:
    """An Optuna study with its parameters.

    Attributes:
        optuna: the Optuna study.
        storage: its storage.
        params: all parameters; trials change some of them.
        n_trials: complete and pruned trials to reach.
    """

    optuna: optuna.Study
    storage: RDBStorage
    params: Params
    n_trials: int

    @property
    def name(self) -> str:
        """Name of the study in its storage."""
        return self.optuna.study_name

    @property
    def parent_run_id(self) -> str | None:
        """MLflow run in which the runs of the trials are nested."""
        found: str | None = self.optuna.user_attrs.get("run_id")
        return found

    @property
    def candidates(self) -> dict[str, dict[str, Any]] | None:
        """Parameter sets by name, values by dotted key, in a study that compares; else None."""
        found: dict[str, dict[str, Any]] | None = self.optuna.user_attrs.get("candidates")
        return found

    @property
    def unit(self) -> str:
        """Word for one of its trials."""
        return "training" if self.candidates else "trial"

    def trials(self) -> list[FrozenTrial]:
        """Return all trials."""
        return self.optuna.get_trials(deepcopy=False)

    def n_done(self) -> int:
        """Count complete and pruned trials."""
        return sum(trial.state in DONE for trial in self.trials())

    def prepare_sampler(self) -> None:
        """Seed sampler and pruner by the number of trials, so that a restart repeats none."""
        search = self.params.search
        seed = int(stream(search.seed, "trial", len(self.trials())).integers(2**31))
        self.optuna.sampler = SAMPLERS[search.sampler](seed, search.n_startup_trials)
        self.optuna.pruner = PRUNERS[search.pruner](search.n_startup_trials)


def begin_study(params: Params) -> Study:
    """Create or resume the study that the parameters name.

    The first trial uses the current parameters.

    Raises:
        UserError: space or storage are invalid, data are missing, or the study was created for
            other data, parameters, code or versions.
    """
    space = read_space(params)
    trial_params(params, current(space, params))  # fail now rather than in every trial
    fixed = identity(params, space)
    storage = open_storage(storage_url(params.search.storage))
    name = params.search.study_name
    with lock_study(storage, name):
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        other = f"python src/search.py --study_name {shlex.quote(_unused_name(storage, name))}"
        require_same(study, fixed, instead=f"begin another study: {other}")
        study.set_user_attr("fixed", fixed)
        study.set_user_attr("params", asdict(params))
        study.set_user_attr("n_trials", params.search.n_trials)
        study.set_metric_names([VALUE])
        study.enqueue_trial(current(space, params), skip_if_exists=True)
    return Study(study, storage, params, params.search.n_trials)


def _unused_name(storage: RDBStorage, name: str) -> str:
    used = optuna.get_all_study_names(storage)
    return next(each for n in itertools.count(2) if (each := f"{name}-{n}") not in used)


def begin_comparison(study: Study, candidates: dict[str, dict[str, Any]], name: str) -> Study:
    """Create or resume a study that trains each candidate once per seed."""
    seeds = range(study.params.train.seed, study.params.train.seed + study.params.search.n_seeds)
    n_trials = len(candidates) * len(seeds)
    with lock_study(study.storage, name):
        comparison = optuna.create_study(
            storage=study.storage, study_name=name, direction="maximize", load_if_exists=True
        )
        comparison.set_user_attr("fixed", study.optuna.user_attrs["fixed"])
        comparison.set_user_attr("params", asdict(study.params))
        comparison.set_user_attr("candidates", candidates)
        comparison.set_user_attr("n_trials", n_trials)
        comparison.set_user_attr("run_id", study.parent_run_id)
        for seed, each in itertools.product(seeds, candidates):
            comparison.enqueue_trial({"candidate": each, "train.seed": seed}, skip_if_exists=True)
    return Study(comparison, study.storage, study.params, n_trials)


def load_study(url: str, name: str) -> Study:
    """Open a study that another process, maybe on another machine, has created.

    Raises:
        UserError: there is no such study, it is not ready, or it was created for other data.
    """
    storage = open_storage(url)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise UserError(
            f"there is no study {name!r}",
            expected="a study that another process has created",
            received=f"in {url}: {', '.join(optuna.get_all_study_names(storage)) or 'none'}",
            remedy="create it without --join, or fix search.study_name and search.storage",
        ) from error
    stated = study.user_attrs
    if absent := [key for key in SHARED if key not in stated]:
        raise UserError(
            f"the study {name!r} cannot be joined",
            expected="a study created by this program",
            received=f"a study without {', '.join(absent)}",
            remedy="retry in a moment, or name another study: search.study_name",
        )
    there = "make this machine equal to the one that created it"
    require_same(study, stated["fixed"] | here_as(stated["fixed"]), instead=there)
    return Study(study, storage, params_from_document(stated["params"]), stated["n_trials"])
