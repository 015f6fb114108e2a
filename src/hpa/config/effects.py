"""Parameters without effect beside the others: gamma without the focal loss, say."""

from collections.abc import Mapping
from typing import Any

ONLY_IF: dict[str, tuple[str, tuple[Any, ...]]] = {
    **dict.fromkeys(
        ("fetch.n_images", "fetch.n_unlabelled", "fetch.image_size", "fetch.tempering"),
        ("fetch.source", ("synthetic",)),
    ),
    "fetch.seed": ("fetch.source", ("synthetic",)),
    "fetch.competition": ("fetch.source", ("kaggle",)),
    **dict.fromkeys(
        (
            "fetch.path",
            "fetch.labels",
            "fetch.label_map",
            "fetch.missing_channels",
            "fetch.depth",
            "fetch.percentiles",
            "fetch.pixel_size_um",
        ),
        ("fetch.source", ("local", "hpa")),
    ),
    **dict.fromkeys(
        ("fetch.channels", "fetch.pattern", "fetch.found_as", "fetch.z"),
        ("fetch.source", ("local",)),
    ),
    "fetch.sources": ("fetch.source", ("several",)),
    "fetch.base_url": ("fetch.source", ("hpa",)),
    "fetch.skip_absent": ("fetch.source", ("hpa",)),
    "loss.gamma": ("loss.name", ("focal",)),
    "loss.alpha": ("loss.name", ("focal",)),
    "loss.gamma_negative": ("loss.name", ("asymmetric",)),
    "loss.gamma_positive": ("loss.name", ("asymmetric",)),
    "loss.margin": ("loss.name", ("asymmetric",)),
    "train.oversampling_threshold": ("train.oversampling", ("square_root",)),
    "train.repeats": ("train.oversampling", ("stated",)),
    "train.n_cycles": ("train.schedule", ("cycles",)),
    "train.cycle_growth": ("train.schedule", ("cycles",)),
    "train.cycle_decay": ("train.schedule", ("cycles",)),
    "score.merge": ("score.augmentation", ("dihedral",)),
    "threshold.fixed": ("threshold.rule", ("fixed",)),
}
"""Another parameter, and the values of it beside which a parameter has an effect."""
UNLESS: dict[str, tuple[str, Any]] = {
    "model.fourth_channel": ("model.weights", "none"),
    "train.fold": ("split.n_folds", 1),
    "train.head_learning_rate": ("train.head_steps", 0),
    "explain.seed": ("explain.n_per_label", 0),
}
"""Another parameter, and the value of it beside which a parameter has none."""
OF_SEVERAL = tuple(
    f"fetch.{key}" for key in ("source", "sources", "labels", "label_map", "channels")
)
"""Keys of section fetch that decide the set of several sources; others act by these."""
NO_RESULT = (
    "fetch.n_connections",
    "fetch.requests_per_second",
    "pack.shard_rows",
    "train.checkpoint_every",
    "score.batch_size",
)
"""Parameters that decide time and memory, and no result."""


def has_effect(key: str, values: Mapping[str, Any]) -> bool:
    """Tell whether a parameter decides a result beside the other values, by dotted key."""
    if key.startswith("fetch.") and values["fetch.source"] == "several":
        return key in OF_SEVERAL or any(
            has_effect(key, {**values, "fetch.source": entry["source"]})
            for entry in values["fetch.sources"]
            if key.removeprefix("fetch.") not in entry
        )
    if key in ONLY_IF:
        other, allowed = ONLY_IF[key]
        return values[other] in allowed
    if key in UNLESS:
        other, excluded = UNLESS[key]
        return bool(values[other] != excluded)
    return key not in NO_RESULT
