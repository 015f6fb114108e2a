"""What params.yaml may hold: one frozen dataclass a section, checked as a whole.

Units and reasons stand beside the values, in params.yaml; here stand types and ranges.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from hpa.config import validation
from hpa.config.validation import Between
from hpa.errors import UserError

Fraction = Annotated[float, Between(0, 1)]
Count = Annotated[int, Between(1)]
Seed = Annotated[int, Between(0, 2**32 - 1)]
DEPTH_FACTORS = r"((0(\.\d+)?|1(\.0+)?)( +|$)){3}"
HOSTS = r"([\w.-]+|\[[0-9a-fA-F:]+\])( ([\w.-]+|\[[0-9a-fA-F:]+\]))*"
LABEL = r"(1?\d|2[0-7])"  # 0 to 27
REPEATS = rf"{LABEL}x[1-9]\d{{0,2}}"
ALPHAS = rf"{LABEL}x0?\.(?!0+$)\d{{1,3}}"


@dataclass(frozen=True)
class Fetch:
    """Where the images come from."""

    source: Literal["synthetic", "kaggle", "hpa", "local"]
    path: str
    competition: str
    base_url: str
    n_connections: Annotated[int, Between(1, 16)]
    requests_per_second: Annotated[float, Between(0.01, 100)]
    skip_absent: bool
    missing_channels: Literal["yellow", "red", "red yellow"] | None
    sixteen_bit_white: Annotated[int, Between(255, 65535)] | None
    n_images: Annotated[int, Between(28)]
    n_unlabelled: Annotated[int, Between(0)]
    image_size: Annotated[int, Between(64, 2048)]
    tempering: Fraction
    seed: Seed


@dataclass(frozen=True)
class Pack:
    """How images become rows."""

    image_size: Annotated[int, Between(32, 2048, step=32)]
    shard_rows: Count
    odd_size: Literal["refuse", "pad", "crop"]
    max_unreadable_fraction: Annotated[float, Between(0, 0.5)]


@dataclass(frozen=True)
class Split:
    """Who learns, who chooses, who judges."""

    test_fraction: Annotated[float, Between(0.01, 0.8)]
    val_fraction: Annotated[float, Between(0.01, 0.8)]
    holdout_fraction: Annotated[float, Between(0, 0.8)]
    n_folds: Annotated[int, Between(1, 100)]
    hash_distance: Annotated[int, Between(0, 32)]
    seed: Seed


@dataclass(frozen=True)
class Model:
    """Where the network's weights come from, and what is put on top of its backbone."""

    weights: str
    fourth_channel: Literal["red_blue_mean", "red_copy", "random"]
    pooling: Literal["average", "average_max"]
    dropout: Annotated[float, Between(0, 0.95)]


@dataclass(frozen=True)
class Loss:
    """What training minimises."""

    name: Literal["focal", "binary_cross_entropy", "soft_macro_f1", "asymmetric"]
    gamma: Annotated[float, Between(0, 10)]
    alpha: Annotated[float, Between(0.001, 0.999)] | Literal["balanced"] | str | None
    gamma_negative: Annotated[float, Between(0, 10)]
    gamma_positive: Annotated[float, Between(0, 10)]
    margin: Annotated[float, Between(0, 0.5)]
    label_smoothing: Annotated[float, Between(0, 0.5)]


@dataclass(frozen=True)
class Augment:
    """How far training images are changed at random."""

    turn: bool
    rotation: Annotated[float, Between(0, 180)]
    zoom: Annotated[float, Between(0, 0.9)]
    brightness: Fraction


@dataclass(frozen=True)
class Train:
    """How training minimises it."""

    fold: Annotated[int, Between(0, 99)]
    n_steps: Count
    validate_every: Count
    best_by: Literal["loss", "macro_f1", "macro_average_precision"]
    patience: Count | None
    checkpoint_every: Count
    batch_size: Count
    oversampling: Literal["none", "square_root", "stated"]
    oversampling_threshold: Annotated[float, Between(1e-6, 1)]
    repeats: str | None
    learning_rate: Annotated[float, Between(1e-8, 10)]
    warmup_fraction: Fraction
    schedule: Literal["cosine", "cycles"]
    n_cycles: Annotated[int, Between(1, 50)]
    cycle_growth: Annotated[float, Between(1, 4)]
    cycle_decay: Annotated[float, Between(0.01, 1)]
    head_steps: Annotated[int, Between(0)]
    head_learning_rate: Annotated[float, Between(1e-8, 10)]
    depth_factors: str
    weight_decay: Fraction
    clip_norm: Annotated[float, Between(1e-6, 1e6)] | None
    average_momentum: Annotated[float, Between(0, 0.99999)] | None
    precision: Literal["float32", "mixed_bfloat16"]
    n_devices: Literal[1, 2, 4, 8, 16]
    seed: Seed


@dataclass(frozen=True)
class Score:
    """How probabilities are made."""

    models: str
    batch_size: Count
    augmentation: Literal["none", "dihedral"]
    merge: Literal["mean_logit", "max_probability"]


@dataclass(frozen=True)
class Threshold:
    """How probabilities become labels."""

    rule: Literal[
        "selected", "sweep", "bagged", "proportion", "expected", "global", "fixed", "joint"
    ]
    fixed: Annotated[float, Between(0.001, 0.999)]
    seed: Seed


@dataclass(frozen=True)
class Explain:
    """Which test images the report shows."""

    n_per_label: Annotated[int, Between(0, 8)]
    seed: Seed


@dataclass(frozen=True)
class Evaluate:
    """How sure the report is."""

    min_support: Count
    n_bootstrap: Annotated[int, Between(100, 100_000)]
    fill_empty: bool
    seed: Seed


@dataclass(frozen=True)
class Search:
    """What a study tries, how long, and where it is kept."""

    n_trials: Count
    study_name: str
    storage: str
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "halving", "none"]
    n_startup_trials: Count
    trial_steps: Count | None
    trial_rounds: Annotated[int, Between(1, 100)]
    n_seeds: Annotated[int, Between(1, 100)]
    space: dict[str, Any]
    seed: Seed


@dataclass(frozen=True)
class Promote:
    """When a model may take the champion's place."""

    macro_margin: Fraction
    class_margin: Fraction
    n_draws: Annotated[int, Between(100, 100_000)]
    seed: Seed


@dataclass(frozen=True)
class Serve:
    """What a trained model in use accepts."""

    batch_size: Annotated[int, Between(1, 1024)]
    tinted: bool
    sixteen_bit_white: Annotated[int, Between(255, 65535)] | None
    max_size_px: Annotated[int, Between(32, 8192)]
    max_request_mb: Annotated[int, Between(1, 1024)]
    max_images: Annotated[int, Between(1, 10_000)]


@dataclass(frozen=True)
class App:
    """Where the web page is, and what it shows."""

    host: str
    port: Annotated[int, Between(0, 65535)]
    allowed_hosts: str
    images_per_request: Annotated[int, Between(1, 64)]
    shown_px: Annotated[int, Between(64, 2048)]


@dataclass(frozen=True)
class Params:
    """All of params.yaml."""

    fetch: Fetch
    pack: Pack
    split: Split
    model: Model
    loss: Loss
    augment: Augment
    train: Train
    score: Score
    threshold: Threshold
    explain: Explain
    evaluate: Evaluate
    search: Search
    promote: Promote
    serve: Serve
    app: App

    def flat(self) -> dict[str, Any]:
        """Return every value under its dotted key, such as `loss.gamma`."""
        return {
            f"{section}.{key}": value
            for section, values in asdict(self).items()
            for key, value in values.items()
        }


KEYS = tuple(validation.field_hints(Params))
"""Every dotted key of params.yaml."""


def load_params(path: Path, overrides: Mapping[str, Any] | None = None) -> Params:
    """Read and check a params.yaml; `overrides` maps dotted keys to values that replace its own.

    Raises:
        UserError: no such file, no YAML, or any problem with any key, all in one error.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist",
            expected="a file with all parameters",
            received=f"no file in {Path.cwd()}",
            remedy="run from the repository root, or name the file with --params",
        ) from error
    except OSError as error:
        raise UserError(
            f"{path} cannot be read",
            expected="a file with all parameters",
            received=str(error.strerror),
            remedy="name a readable file with --params",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is no YAML",
            expected="sections of `key: value` lines",
            received=str(error),
            remedy="mend the line named above",
        ) from error
    return _checked(_overridden(document, overrides or {}), str(path))


def changed_params(params: Params, overrides: Mapping[str, Any]) -> Params:
    """Return parameters with other values under some dotted keys, checked as if from a file.

    Raises:
        UserError: any problem with any key, all in one error.
    """
    return _checked(_overridden(asdict(params), overrides), "the parameters")


def params_from_document(document: Any) -> Params:
    """Check what `dataclasses.asdict` made of parameters somewhere else."""
    return _checked(document, "the parameters")


def full_key(name: str) -> str:
    """Resolve a dotted key or its unique short form: `gamma` is `loss.gamma`.

    Raises:
        UserError: no key is called so, or several are.
    """
    found = [key for key in KEYS if name in (key, key.partition(".")[2])]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"--{name} is {'ambiguous' if found else 'no parameter'}",
        expected="a dotted key of params.yaml, or its last word where only one key has it",
        received=f"--{name}{validation.nearest(name, KEYS) if not found else ''}",
        remedy=f"write one of {', '.join(f'--{key}' for key in found)}"
        if found
        else "see --help for the keys",
    )


def short_key(key: str) -> str:
    """Return the last word of a dotted key where only one key has it, else the key itself."""
    name = key.partition(".")[2]
    return name if sum(each.partition(".")[2] == name for each in KEYS) == 1 else key


def _overridden(document: Any, overrides: Mapping[str, Any]) -> Any:
    """Replace values; a document or section of another shape stays, for validation to refuse."""
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        if isinstance(document, Mapping) and isinstance(document.get(section, {}), Mapping):
            document = {**document, section: {**document.get(section, {}), name: value}}
    return document


def _checked(document: Any, source: str) -> Params:
    return _consistent(validation.build(Params, document, source), source)


def _consistent(params: Params, source: str) -> Params:
    """Refuse values that are each allowed but contradict one another."""
    problems = []
    if params.fetch.source == "local" and params.fetch.path.lower().endswith(".md"):
        problems.append(
            "fetch.path: expected a folder or a table (.csv) where fetch.source is 'local', "
            f"received {params.fetch.path!r}"
        )
    if params.fetch.source == "hpa" and not params.fetch.path.lower().endswith(".csv"):
        problems.append(
            "fetch.path: expected a table (.csv) where fetch.source is 'hpa', "
            f"received {params.fetch.path!r}"
        )
    if not params.fetch.base_url.startswith(("http://", "https://")):
        problems.append(
            "fetch.base_url: expected an address that begins with http:// or https://, "
            f"received {params.fetch.base_url!r}"
        )
    if not re.fullmatch(r"[a-z0-9-]+", params.fetch.competition):
        problems.append(
            "fetch.competition: expected small letters, digits and hyphens, "
            f"received {params.fetch.competition!r}"
        )
    if not re.fullmatch(HOSTS, params.app.allowed_hosts):
        problems.append(
            "app.allowed_hosts: expected names or addresses separated by blanks, without port, "
            f"received {params.app.allowed_hosts!r}"
        )
    split = params.split
    if (shares := split.test_fraction + split.val_fraction + split.holdout_fraction) >= 1:
        problems.append(
            "split.test_fraction + split.val_fraction + split.holdout_fraction: "
            f"expected less than 1, received {shares:g}"
        )
    if params.train.fold >= params.split.n_folds:
        problems.append(
            f"train.fold: expected less than split.n_folds ({params.split.n_folds}), "
            f"received {params.train.fold}"
        )
    if not _names_labels_once(params.train.repeats or "", REPEATS):
        problems.append(
            "train.repeats: expected LABELxTIMES separated by blanks, such as '27x8 15x4', each "
            f"label from 0 to 27 once at most, received {params.train.repeats!r}"
        )
    if (params.train.oversampling == "stated") != bool(params.train.repeats):
        problems.append(
            "train.repeats: expected a text where train.oversampling is 'stated', else null, "
            f"received {params.train.repeats!r}"
        )
    problems += _training_problems(params.loss, params.train)
    if problems:
        raise UserError(
            "parameters contradict one another",
            expected=f"values in {source} that fit together",
            received="\n    ".join(["", *problems]),
            remedy="change one of the keys of each line above",
        )
    return params


def _training_problems(loss: Loss, train: Train) -> list[str]:
    problems = []
    if loss.name != "focal" and loss.alpha is not None:
        problems.append(
            f"loss.alpha: expected null where loss.name is not 'focal', received {loss.alpha!r}"
        )
    if isinstance(loss.alpha, str) and not (
        loss.alpha == "balanced" or (loss.alpha.strip() and _names_labels_once(loss.alpha, ALPHAS))
    ):
        problems.append(
            "loss.alpha: expected 'balanced', or LABELxALPHA separated by blanks, such as "
            "'27x0.9 15x0.75', each label from 0 to 27 once at most, alphas from 0.001 to 0.999, "
            f"received {loss.alpha!r}"
        )
    if train.head_steps >= train.n_steps:
        problems.append(
            f"train.head_steps: expected less than train.n_steps ({train.n_steps}), "
            f"received {train.head_steps}"
        )
    if not re.fullmatch(DEPTH_FACTORS, train.depth_factors):
        problems.append(
            "train.depth_factors: expected three factors from 0 to 1 separated by blanks, such as "
            f"'0.1 0.33 1', received {train.depth_factors!r}"
        )
    if train.batch_size % train.n_devices:
        problems.append(
            f"train.batch_size: expected a multiple of train.n_devices ({train.n_devices}), "
            f"received {train.batch_size}"
        )
    return problems


def _names_labels_once(text: str, word: str) -> bool:
    """Tell whether each word of a text has the form `LABELxNUMBER`, and no label comes twice."""
    words = text.split()
    labels = [each.partition("x")[0] for each in words]
    return all(re.fullmatch(word, each) for each in words) and len(set(labels)) == len(labels)
