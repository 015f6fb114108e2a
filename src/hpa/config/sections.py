"""Sections of params.yaml: one frozen dataclass each, with types and ranges.

Units and reasons are in params.yaml, beside the values.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from hpa.config.field_types import (
    FROM_TEXT,
    WHOLE,
    Address,
    ChannelList,
    Count,
    DepthFactors,
    DepthName,
    FilePattern,
    Flag,
    FoundAs,
    Fraction,
    Hosts,
    LabelAlphas,
    LabelRepeats,
    Number,
    Percentiles,
    PixelSize,
    Seed,
    SliceRule,
    Slug,
    SourceList,
    Text,
    Whole,
)


class Section:
    """Refuse unknown keys, NaN and infinity."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Fetch(Section):
    """Source of the images."""

    source: Literal["synthetic", "kaggle", "hpa", "local", "several"]
    path: Text
    sources: SourceList | None
    competition: Slug
    base_url: Address
    n_connections: Annotated[Whole, Field(ge=1, le=16)]
    requests_per_second: Annotated[Number, Field(ge=0.01, le=100)]
    skip_absent: Flag
    labels: Text
    channels: Literal["hpa2018"] | ChannelList
    label_map: Text | None
    missing_channels: Text | None
    pattern: FilePattern | None
    found_as: FoundAs | None
    z: SliceRule
    depth: DepthName
    percentiles: Percentiles
    pixel_size_um: PixelSize | None
    n_images: Annotated[Whole, Field(ge=28)]
    n_unlabelled: Annotated[Whole, Field(ge=0)]
    image_size: Annotated[Whole, Field(ge=64, le=2048)]
    tempering: Fraction
    seed: Seed


@dataclass(frozen=True)
class Pack(Section):
    """Conversion of image files to arrays."""

    image_size: Annotated[Whole, Field(ge=32, le=2048, multiple_of=32)]
    shard_rows: Count
    odd_size: Literal["refuse", "pad", "crop", "tiles"]
    framing: Literal["none", "content"]
    pixel_size_um: PixelSize | None
    max_unreadable_fraction: Annotated[Number, Field(ge=0, le=0.5)]


@dataclass(frozen=True)
class Split(Section):
    """Assignment of images to train, val and test."""

    test_fraction: Annotated[Number, Field(ge=0.01, le=0.8)]
    val_fraction: Annotated[Number, Field(ge=0.01, le=0.8)]
    holdout_fraction: Annotated[Number, Field(ge=0, le=0.8)]
    n_folds: Annotated[Whole, Field(ge=1, le=100)]
    hash_distance: Annotated[Whole, Field(ge=0, le=32)]
    train_only: Text | None
    seed: Seed


@dataclass(frozen=True)
class Model(Section):
    """Initial weights of the network, and its head."""

    weights: Text
    fourth_channel: Literal["red_blue_mean", "red_copy", "random"]
    pooling: Literal["average", "average_max"]
    dropout: Annotated[Number, Field(ge=0, le=0.95)]


@dataclass(frozen=True)
class Loss(Section):
    """Training loss."""

    name: Literal["focal", "binary_cross_entropy", "soft_macro_f1", "asymmetric"]
    gamma: Annotated[Number, Field(ge=0, le=10)]
    alpha: Annotated[
        Annotated[float, Field(strict=True, ge=0.001, le=0.999)]
        | Literal["balanced"]
        | LabelAlphas
        | None,
        FROM_TEXT,
    ]
    gamma_negative: Annotated[Number, Field(ge=0, le=10)]
    gamma_positive: Annotated[Number, Field(ge=0, le=10)]
    margin: Annotated[Number, Field(ge=0, le=0.5)]
    label_smoothing: Annotated[Number, Field(ge=0, le=0.5)]


@dataclass(frozen=True)
class Augment(Section):
    """Random augmentation of training images."""

    turn: Flag
    rotation: Annotated[Number, Field(ge=0, le=180)]
    zoom: Annotated[Number, Field(ge=0, le=0.9)]
    blur: Annotated[Number, Field(ge=0, le=1.5)]
    contrast: Annotated[Number, Field(ge=0, le=2)]


@dataclass(frozen=True)
class Train(Section):
    """Training loop and optimizer."""

    backend: Literal["tensorflow", "jax", "torch"]
    fold: Annotated[Whole, Field(ge=0, le=99)]
    n_steps: Count
    validate_every: Count
    best_by: Literal["loss", "macro_f1", "macro_average_precision"]
    patience: Count | None
    checkpoint_every: Count
    batch_size: Count
    oversampling: Literal["none", "square_root", "stated"]
    oversampling_threshold: Annotated[Number, Field(ge=1e-6, le=1)]
    repeats: LabelRepeats | None
    learning_rate: Annotated[Number, Field(ge=1e-8, le=10)]
    warmup_fraction: Fraction
    schedule: Literal["cosine", "cycles"]
    n_cycles: Annotated[Whole, Field(ge=1, le=50)]
    cycle_growth: Annotated[Number, Field(ge=1, le=4)]
    cycle_decay: Annotated[Number, Field(ge=0.01, le=1)]
    head_steps: Annotated[Whole, Field(ge=0)]
    head_learning_rate: Annotated[Number, Field(ge=1e-8, le=10)]
    depth_factors: DepthFactors
    weight_decay: Fraction
    clip_norm: Annotated[Number, Field(ge=1e-6, le=1e6)] | None
    average_momentum: Annotated[Number, Field(ge=0, le=0.99999)] | None
    precision: Literal["float32", "mixed_bfloat16"]
    n_devices: Annotated[Literal[1, 2, 4, 8, 16], WHOLE]
    seed: Seed


@dataclass(frozen=True)
class Score(Section):
    """Prediction of probabilities for val and test."""

    models: Text
    batch_size: Count
    augmentation: Literal["none", "dihedral"]
    merge: Literal["mean_logit", "max_probability"]


@dataclass(frozen=True)
class Threshold(Section):
    """Choice of the thresholds that turn probabilities into labels."""

    rule: Literal[
        "selected", "sweep", "bagged", "proportion", "expected", "global", "fixed", "joint"
    ]
    fixed: Annotated[Number, Field(ge=0.001, le=0.999)]
    fill_empty: Flag
    seed: Seed


@dataclass(frozen=True)
class Explain(Section):
    """Test images shown in the report."""

    n_per_label: Annotated[Whole, Field(ge=0, le=8)]
    seed: Seed


@dataclass(frozen=True)
class Evaluate(Section):
    """Metrics on the test set, and their intervals."""

    min_support: Count
    n_bootstrap: Annotated[Whole, Field(ge=100, le=100_000)]
    seed: Seed
    image_side_um: Annotated[Number, Field(gt=0, le=100_000)] | None


@dataclass(frozen=True)
class Search(Section):
    """Hyperparameter search: space, length and storage."""

    n_trials: Count
    study_name: Text
    storage: Text
    sampler: Literal["tpe", "random"]
    pruner: Literal["median", "halving", "none"]
    n_startup_trials: Count
    trial_steps: Count | None
    trial_rounds: Annotated[Whole, Field(ge=1, le=100)]
    n_seeds: Annotated[Whole, Field(ge=1, le=100)]
    space: dict[str, Any]
    seed: Seed


@dataclass(frozen=True)
class Promote(Section):
    """Conditions under which a model may become the champion."""

    macro_margin: Fraction
    class_margin: Fraction
    n_draws: Annotated[Whole, Field(ge=100, le=100_000)]
    seed: Seed


@dataclass(frozen=True)
class Serve(Section):
    """Limits and conversions of the images that a trained model accepts."""

    batch_size: Annotated[Whole, Field(ge=1, le=1024)]
    tinted: Flag
    pattern: FilePattern | None
    found_as: FoundAs | None
    z: SliceRule | None
    depth: DepthName | None
    pixel_size_um: PixelSize | None
    max_size_px: Annotated[Whole, Field(ge=32, le=8192)]
    max_request_mb: Annotated[Whole, Field(ge=1, le=1024)]
    max_images: Annotated[Whole, Field(ge=1, le=10_000)]


@dataclass(frozen=True)
class App(Section):
    """Address and display of the web page."""

    host: Text
    port: Annotated[Whole, Field(ge=0, le=65535)]
    allowed_hosts: Hosts
    images_per_request: Annotated[Whole, Field(ge=1, le=64)]
    shown_px: Annotated[Whole, Field(ge=64, le=2048)]
