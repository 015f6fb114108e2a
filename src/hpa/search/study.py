"""A study: what its trials share, how many there may be, and which of them is free to take.

All that a worker must know is in the study itself, so a storage address and a name are enough to
join it from anywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.params import Params, params_from_document
from hpa.errors import UserError
from hpa.search.space import SECTIONS, Space, current, read_space, trial_params
from hpa.search.storage import open_storage, storage_url, turn
from hpa.seeds import stream
from hpa.system.backends import chosen_backend
from hpa.system.files import sha256

DATA = [PACKED_DIR / "manifest.json", PACKED_DIR / "index.csv", SPLIT_DIR / "assignment.csv"]
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
VALUE = "val/macro_f1_cross_fitted"
TOLD = ("fixed", "params", "n_trials")
"""What a study tells those who join it."""
FIRST_ROUND = 2
"""The first one pruned after: earlier, the learning rate has only just risen."""

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
    """A study of Optuna with what it was begun for.

    Attributes:
        optuna: the study itself.
        params: all parameters, of which trials change some.
        n_trials: complete or pruned trials in all.
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
        """The run below which those of the trials are nested."""
        found: str | None = self.optuna.user_attrs.get("run_id")
        return found

    @property
    def candidates(self) -> dict[str, dict[str, Any]] | None:
        """Values by dotted key of each name that trials choose from, where they search nothing."""
        found: dict[str, dict[str, Any]] | None = self.optuna.user_attrs.get("candidates")
        return found

    def trials(self) -> list[FrozenTrial]:
        """Return all trials as they stand."""
        return self.optuna.get_trials(deepcopy=False)

    def n_done(self) -> int:
        """Count complete and pruned trials."""
        return sum(trial.state in DONE for trial in self.trials())

    def best(self) -> FrozenTrial:
        """Return the complete trial of the highest value, the first of equal ones."""
        return self.optuna.best_trial

    def prepare_sampler(self) -> None:
        """Seed what the next trial draws by how many there are: a restart repeats nothing."""
        search = self.params.search
        seed = int(stream(search.seed, "trial", len(self.trials())).integers(2**31))
        self.optuna.sampler = SAMPLERS[search.sampler](seed, search.n_startup_trials)
        self.optuna.pruner = PRUNERS[search.pruner](search.n_startup_trials)


def begin_study(params: Params) -> Study:
    """Begin the study that the parameters name, or go on with it.

    The parameters as they are become the first trial of it.

    Raises:
        UserError: a wrong space or storage, no data, or a study that was begun for something else.
    """
    space = read_space(params)
    trial_params(params, current(space, params))  # refused now rather than in every trial
    fixed = _fixed(params, space)
    storage = open_storage(storage_url(params.search.storage))
    name = params.search.study_name
    with turn(storage, name):
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        _require_same(study, fixed)
        study.set_user_attr("fixed", fixed)
        study.set_user_attr("params", asdict(params))
        study.set_user_attr("n_trials", params.search.n_trials)
        study.set_metric_names([VALUE])
        study.enqueue_trial(current(space, params), skip_if_exists=True)
    return Study(study, storage, params, params.search.n_trials)


def begin_comparison(study: Study, candidates: dict[str, dict[str, Any]], name: str) -> Study:
    """Begin a study, or go on with it, that trains each candidate once a seed."""
    seeds = range(study.params.train.seed, study.params.train.seed + study.params.search.n_seeds)
    with turn(study.storage, name):
        made = optuna.create_study(
            storage=study.storage, study_name=name, direction="maximize", load_if_exists=True
        )
        made.set_user_attr("fixed", study.optuna.user_attrs["fixed"])
        made.set_user_attr("params", asdict(study.params))
        made.set_user_attr("candidates", candidates)
        made.set_user_attr("n_trials", len(candidates) * len(seeds))
        made.set_user_attr("run_id", study.parent_run_id)
        for seed in seeds:
            for each in candidates:
                made.enqueue_trial({"candidate": each, "train.seed": seed}, skip_if_exists=True)
    return Study(made, study.storage, study.params, len(candidates) * len(seeds))


def load_study(url: str, name: str) -> Study:
    """Open a study that another process has begun, perhaps on another machine.

    Raises:
        UserError: the storage has none of that name that is ready, or the data here are others.
    """
    storage = open_storage(url)
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise UserError(
            f"there is no study {name!r}",
            expected="a study that another process has begun, to join it",
            received=f"in {url}: {', '.join(optuna.get_all_study_names(storage)) or 'none'}",
            remedy="begin it without --join, or mend search.study_name and search.storage",
        ) from error
    stated = study.user_attrs
    if absent := [key for key in TOLD if key not in stated]:
        raise UserError(
            f"the study {name!r} cannot be joined",
            expected="a study of this program, begun a moment ago or earlier",
            received=f"one that does not tell its {', '.join(absent)}",
            remedy="give the command again in a moment, or name another study: search.study_name",
        )
    _require_same(study, stated["fixed"] | _here())
    return Study(study, storage, params_from_document(stated["params"]), stated["n_trials"])


def _fixed(params: Params, space: Space) -> dict[str, Any]:
    """Return what all trials of a study must share, or their values mean different things."""
    flat = params.flat()
    own = ("search.trial_steps", "search.trial_rounds", "search.space")
    keys = [key for key in flat if key.partition(".")[0] in (*SECTIONS, "score") or key in own]
    return {key: flat[key] for key in keys if key not in space} | _here()


def _here() -> dict[str, str]:
    """Return what a machine brings along: data and backend."""
    try:
        digests = {str(path): sha256(path) for path in DATA}
        return digests | {"keras.backend": chosen_backend()[0]}
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} does not exist",
            expected="packed images and their split",
            received=f"no such file in {Path.cwd()}",
            remedy="make them: dvc repro split",
        ) from error


def _require_same(study: optuna.Study, fixed: dict[str, Any]) -> None:
    before = study.user_attrs.get("fixed", fixed)
    differing = [
        f"{key}: {before.get(key)!r} then, {fixed.get(key)!r} now"
        for key in {**before, **fixed}
        if before.get(key) != fixed.get(key)
    ]
    if differing:
        raise UserError(
            f"the study {study.study_name!r} was begun for something else",
            expected="what all of its trials share, as it was",
            received="\n    ".join(["", *differing]),
            remedy="change it back, or name a new study: search.study_name",
        )
