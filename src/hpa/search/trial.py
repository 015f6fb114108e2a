"""Trials: train with suggested parameters and evaluate on val, each in a nested MLflow run."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError

from hpa.config.folders import PACKED_DIR, SPLIT_DIR
from hpa.config.params import Params, changed_params
from hpa.data.packed.assignment import read_assignment
from hpa.data.packed.packed_images import PackedImages, read_index
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.inference.models import BEST
from hpa.inference.prediction import predict_views, sigmoid
from hpa.metrics.counts import count_outcomes
from hpa.metrics.f1 import macro_f1
from hpa.search.decision_text import encode_decisions
from hpa.search.identity import DATA
from hpa.search.progress import report_steps
from hpa.search.space import SECTIONS, read_space, suggest, trial_params
from hpa.search.study import VALUE, Study
from hpa.search.twins import finished_twin, reuse
from hpa.system.devices import device_in_use
from hpa.system.files import write_json
from hpa.thresholds.blending import blend_rule
from hpa.thresholds.cross_fitting import cross_fitted_decisions
from hpa.thresholds.fitting import fit_thresholds
from hpa.thresholds.thresholds_file import thresholds_to_json
from hpa.tracking.stage_run import STUDY, log_artifacts, log_metrics, log_tags, stage_run
from hpa.training.checkpoints import Checkpoints, TrainingHeldError, checkpoints_root
from hpa.training.loop import Examples, examples_of, fit
from hpa.training.provenance import checkpoint_key
from hpa.training.recipe import NetworkBuilder, compiled_networks
from hpa.training.start import start_tags, started_from

LOGGED_SECTIONS = ("fetch", "pack", "split", *SECTIONS, "score", "threshold")
PRUNED_BY = "val/macro_f1"
OnRound = Callable[[int, dict[str, float]], None]


def search_trial(
    trial: optuna.Trial, study: Study, *, build_networks: NetworkBuilder = compiled_networks
) -> float:
    """Train with suggested parameters; return cross-fitted macro F1 on val.

    An equal trial that has finished is not trained again.

    Raises:
        TrialPruned: the trial is behind the others.
    """
    values = suggest(trial, read_space(study.params), study.params)
    params = trial_params(study.params, values)
    with _nested_run(trial, study, params):
        if twin := finished_twin(trial, study):
            return reuse(trial, twin)
        with _held_checkpoints(trial, study, params) as checkpoints:
            on_round = _pruning(trial, params.train.n_steps)
            val, y_prob = _train(trial, params, on_round, checkpoints, build_networks)
            labels, seed = read_vocabulary(PACKED_DIR).labels, params.threshold.seed
            groups = _groups(val)
            thresholds = fit_thresholds(val.y_true, y_prob, labels, seed=seed, groups=groups)
            value, folder = thresholds.cross_fitted_macro_f1, _model_dir(checkpoints)
            write_json(folder / "thresholds.json", thresholds_to_json(thresholds))
            log_metrics({VALUE: value}, params.train.n_steps)
            log_artifacts([folder / "thresholds.json", folder / "history.csv"])
            return value


def comparison_trial(
    trial: optuna.Trial, study: Study, *, build_networks: NetworkBuilder = compiled_networks
) -> float:
    """Train a candidate at full length with a seed; return macro F1 of cross-fitted decisions.

    The decisions on val are stored in the study.
    """
    candidates = study.candidates or {}
    name = trial.suggest_categorical("candidate", sorted(candidates))
    seed = trial.suggest_int("train.seed", 0, 2**32 - 1)
    params = changed_params(study.params, {**candidates[name], "train.seed": seed})
    with (
        _nested_run(trial, study, params, {"candidate": name}),
        _held_checkpoints(trial, study, params) as checkpoints,
    ):
        val, y_prob = _train(trial, params, _log_round, checkpoints, build_networks)
        seed, groups = params.threshold.seed, _groups(val)
        y_pred = cross_fitted_decisions(val.y_true, y_prob, groups, blend_rule(seed), seed=seed)
        value = macro_f1(count_outcomes(val.y_true, y_pred))
        log_metrics({VALUE: value}, params.train.n_steps)
        trial.set_user_attr("y_pred", encode_decisions(y_pred))
        return value


@contextmanager
def _nested_run(
    trial: optuna.Trial, study: Study, params: Params, tags: dict[str, str] | None = None
) -> Iterator[None]:
    """Track a trial in a run nested in its study's; a retried trial resumes its run."""
    with stage_run(
        "trial",
        params,
        sections=LOGGED_SECTIONS,
        upstream=trial.user_attrs.get("run_id"),
        parent=study.parent_run_id,
        tags={
            STUDY: study.name,
            "optuna.trial": str(trial.number),
            "device": device_in_use(),
            **start_tags(started_from(params, read_vocabulary(PACKED_DIR))),
            **(tags or {}),
        },
        name=f"trial {trial.number} of {study.name}",
        stops=(optuna.TrialPruned,),
    ) as run_id:
        trial.set_user_attr("run_id", run_id)
        try:
            yield
        except optuna.TrialPruned as pruned:
            log_tags({"optuna.pruned": str(pruned)})
            raise
        except Exception as error:
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr("failure", f"{type(error).__name__}: {error}")
            raise


@contextmanager
def _held_checkpoints(trial: optuna.Trial, study: Study, params: Params) -> Iterator[Checkpoints]:
    """Yield the trial's checkpoints: those of its earlier attempt, if there was one.

    If that was taken for dead and still trains, the trial gets a folder of its own. A trial that is
    complete, pruned or failed leaves none; an interrupted one does.
    """
    key = {**checkpoint_key(params, DATA), "study": study.name}
    what, root = f"trial {trial.number} of {study.name}", checkpoints_root()
    with ExitStack() as stack:
        checkpoints = Checkpoints(root, key, what=what)
        try:
            stack.enter_context(checkpoints.held())
        except TrainingHeldError:
            checkpoints = Checkpoints(root, {**key, "trial": trial.number}, what=what)
            stack.enter_context(checkpoints.held())
        try:
            yield checkpoints
        except Exception:
            checkpoints.remove()
            raise


def _model_dir(checkpoints: Checkpoints) -> Path:
    """Return a folder that is removed with the checkpoints, also those of a killed trial."""
    return checkpoints.folder / "model"


def _train(
    trial: optuna.Trial,
    params: Params,
    on_round: OnRound,
    checkpoints: Checkpoints,
    build_networks: NetworkBuilder,
) -> tuple[Examples, np.ndarray]:
    """Train, or resume; return val and the best weights' probabilities for it."""
    model_dir = _model_dir(checkpoints)
    try:
        fit(
            params,
            packed_dir=PACKED_DIR,
            split_dir=SPLIT_DIR,
            model_dir=model_dir,
            on_round=on_round,
            on_step=report_steps(trial, params.train.n_steps),
            checkpoints=checkpoints,
            build_networks=build_networks,
            announce=False,
        )
        return _predict_val(params, model_dir / BEST)
    finally:
        keras.backend.clear_session()  # or it keeps the networks of all trials


def _predict_val(params: Params, path: Path) -> tuple[Examples, np.ndarray]:
    index = read_index(PACKED_DIR)
    labels = read_vocabulary(PACKED_DIR).labels
    split = read_assignment(SPLIT_DIR, params.train.fold)["split"]
    val = examples_of(index, split, "val", labels)
    network = keras.saving.load_model(path, compile=False, safe_mode=True)
    n_at_once = min(params.score.batch_size, params.train.batch_size)  # fits into the memory
    score = replace(params.score, batch_size=n_at_once)
    logits = predict_views(network, PackedImages(PACKED_DIR), val.rows, score)
    return val, sigmoid(logits)


def _groups(val: Examples) -> np.ndarray:
    return read_assignment(SPLIT_DIR)["group"].to_numpy(np.int64)[val.rows]


def _log_round(step: int, metrics: dict[str, float]) -> None:
    log_metrics(metrics, step)


def _pruning(trial: optuna.Trial, n_steps: int) -> OnRound:
    """Return a callback that logs and reports each round, and prunes."""
    rounds = itertools.count(1)

    def on_round(step: int, metrics: dict[str, float]) -> None:
        log_metrics(metrics, step)
        trial.report(metrics[PRUNED_BY], next(rounds))
        if step < n_steps and trial.should_prune():
            raise optuna.TrialPruned(f"{PRUNED_BY} {metrics[PRUNED_BY]:.4f} after step {step}")

    return on_round
