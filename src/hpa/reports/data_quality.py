"""What the packed images are like, before any network sees them: drift, faults and copies."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.data.packed import read_index
from hpa.data.splits.assignment import HOLDOUT, SPLITS, UNLABELLED, read_assignment
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import label_counts
from hpa.errors import UserError
from hpa.labels import CHANNELS, LABELS
from hpa.thresholds.fitting import FEW_POSITIVES

ALL_SPLITS = (*SPLITS, HOLDOUT, UNLABELLED)
SATURATED = 0.01
"""A channel of whose pixels more than this share is pure white has lost its bright end."""
ALIKE, MAY_BE_CHANCE = "alike", "may be chance"
SIZES = ((0.5, "slightly"), (0.8, "clearly"))
MAX_SHOWN = 12
"""Images, or groups of duplicates, that the page shows; it always tells how many there are."""


@dataclass(frozen=True, eq=False)
class Quality:
    """What the page tells.

    Attributes:
        index: the packed index with the columns `split` and, of near-equal hashes, `picture`.
        counts: `label` and the images that carry it in train, val, test and, if any, holdout.
        drift: one row a split and channel; see `channel_drift`.
    """

    index: pd.DataFrame
    counts: pd.DataFrame
    drift: pd.DataFrame

    @property
    def blank(self) -> pd.DataFrame:
        """Images with a channel that shows nothing."""
        return self.index[self.index["blank"] != ""]

    @property
    def saturated(self) -> pd.DataFrame:
        """Images with a channel more than 1 % of whose pixels are white, the worst first."""
        worst = self.index[[f"{channel}_saturated" for channel in CHANNELS]].max(axis=1)
        return self.index.loc[worst[worst > SATURATED].sort_values(ascending=False).index]

    @property
    def duplicates(self) -> list[pd.DataFrame]:
        """Groups of images that show one picture, the largest first."""
        groups = [group for _, group in self.index.groupby("picture") if len(group) > 1]
        return sorted(groups, key=len, reverse=True)


def inspect(packed_dir: Path, split_dir: Path, *, hash_distance: int) -> Quality:
    """Gather what the page tells from the tables of the pack and split stages.

    Args:
        packed_dir, split_dir: what those stages wrote.
        hash_distance: bits of 256 in which hashes of one picture may differ.

    Raises:
        UserError: the tables are missing or do not belong together.
    """
    assignment, index = read_assignment(split_dir), read_index(packed_dir)
    if list(index["Id"]) != list(assignment["Id"]):
        raise UserError(
            f"{split_dir} does not belong to {packed_dir}",
            expected="the same images in the same order",
            received=f"{len(assignment)} and {len(index)} images, or another order",
            remedy="run: dvc repro split",
        )
    index["split"] = assignment["split"]
    index["picture"] = duplicate_groups(list(index["hash"]), hash_distance)
    return Quality(index, label_counts(index, assignment), channel_drift(index))


def channel_drift(index: pd.DataFrame) -> pd.DataFrame:
    """Compare the images' mean brightness of each split and channel with that of train.

    Returns:
        `split`, `channel`, `n_images`, `mean` and `std` of the images' means in grey levels,
        `pixel_std` within an image, `change` against train as a fraction of its mean, and
        `effect`: Cohen's d, the difference in standard deviations pooled over both splits (0.0
        where neither varies), and `chance`: how large an effect two samples of one population,
        of these sizes, reach in one of twenty cases.
    """
    rows = []
    train = index[index["split"] == "train"]
    for split in ALL_SPLITS:
        chosen = index[index["split"] == split]
        for channel in CHANNELS if len(chosen) else ():
            values, origin = (255 * part[f"{channel}_mean"] for part in (chosen, train))
            pooled = np.sqrt((values.var(ddof=0) + origin.var(ddof=0)) / 2)
            difference = values.mean() - origin.mean()
            rows.append(
                {
                    "split": split,
                    "channel": channel,
                    "n_images": len(chosen),
                    "mean": values.mean(),
                    "std": values.std(ddof=0),
                    "pixel_std": 255 * chosen[f"{channel}_std"].mean(),
                    "change": difference / origin.mean() if origin.mean() else 0.0,
                    "effect": difference / pooled if pooled else 0.0,
                    "chance": 2 * np.sqrt(1 / len(chosen) + 1 / max(len(train), 1)),
                }
            )
    return pd.DataFrame(rows)


def effect_in_words(effect: float, chance: float) -> str:
    """Say how large Cohen's d is; bounds of Cohen, "Statistical power analysis", 1988."""
    if abs(effect) < 0.2:
        return ALIKE
    if abs(effect) < chance:
        return MAY_BE_CHANCE
    size = next((word for bound, word in SIZES if abs(effect) < bound), "much")
    return f"{size} {'brighter' if effect > 0 else 'dimmer'}"


def findings(quality: Quality) -> list[str]:
    """Say in sentences what a person should know, the same on the page and on the terminal."""
    index, counts = quality.index, quality.counts
    sizes = index["split"].value_counts()
    named = [f"{sizes[split]:,} {split}" for split in ALL_SPLITS if split in sizes]
    lines = [f"{len(index):,} images: {', '.join(named)}."]
    few = counts["label"][counts["test"] < FEW_POSITIVES]
    lines.append(
        f"{len(few)} of {len(LABELS)} labels have fewer than {FEW_POSITIVES} test images, so their "
        f"scores will be luck{_listed(few)}."
    )
    lines += drift_findings(quality.drift)
    n_copies = sum(len(group) - 1 for group in quality.duplicates)
    across = sum(group["split"].nunique() > 1 for group in quality.duplicates)
    lines.append(
        f"{len(quality.blank)} images have a blank channel, {len(quality.saturated)} a saturated "
        f"one; {n_copies} are copies of another, {across} groups of copies on two sides of a split."
    )
    return lines


def drift_findings(drift: pd.DataFrame) -> list[str]:
    """Say which splits are brighter or dimmer than train beyond chance, or that none is."""
    lines = []
    for split, rows in drift.groupby("split", sort=False):
        moved = [
            f"{row['channel']} {effect_in_words(row['effect'], row['chance'])} "
            f"({100 * row['change']:+.0f} %)"
            for row in rows.to_dict("records")
            if abs(row["effect"]) >= max(0.2, row["chance"])
        ]
        if moved:
            lines.append(f"Brightness of {split} against train: {', '.join(moved)}.")
    return lines or ["No split is brighter or dimmer than train beyond chance."]


def cooccurrence(y_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares float64[C,C] and support int64[C] of y_true uint8[N,C].

    Row i, column j: of the images that carry i, the share that carries j; 0.0 where none does.
    """
    truth = y_true.astype(np.float64)
    support = y_true.sum(axis=0, dtype=np.int64)
    return truth.T @ truth / np.maximum(support, 1)[:, None], support


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return f" ({', '.join(names)})" if 0 < len(names) <= MAX_SHOWN else ""
