"""Quality of the packed images: brightness drift, faulty channels and duplicates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hpa.data.packed.assignment import HOLDOUT, SPLITS, UNLABELLED, read_assignment
from hpa.data.packed.packed_images import read_index
from hpa.data.packed.training_range import SATURATED
from hpa.data.packed.vocabulary import read_vocabulary
from hpa.data.splits.duplicates import duplicate_groups
from hpa.data.splits.splitting import label_counts
from hpa.errors import UserError
from hpa.thresholds.fitting import FEW_POSITIVES
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.document import Vocabulary

ALL_SPLITS = (*SPLITS, HOLDOUT, UNLABELLED)
ALIKE, MAY_BE_CHANCE = "alike", "may be chance"
SIZES = ((0.5, "slightly"), (0.8, "clearly"))
MAX_SHOWN = 12  # images, or groups of duplicates, that the page shows beside the total


@dataclass(frozen=True, eq=False)
class Quality:
    """Tables behind the page.

    Attributes:
        index: the packed index with `split` and `picture`, one number per group of duplicates.
        counts: `label` and its number of images in train, val, test and, if any, holdout.
        drift: one row per split and channel; see `channel_drift`.
        vocabulary: labels and channels of the images.
    """

    index: pd.DataFrame
    counts: pd.DataFrame
    drift: pd.DataFrame
    vocabulary: Vocabulary

    @property
    def blank(self) -> pd.DataFrame:
        """Images with a blank channel."""
        return self.index[self.index["blank"] != ""]

    @property
    def saturated(self) -> pd.DataFrame:
        """Images with a saturated channel, the worst first."""
        names = self.vocabulary.channels.names
        worst = self.index[[f"{channel}_saturated" for channel in names]].max(axis=1)
        return self.index.loc[worst[worst > SATURATED].sort_values(ascending=False).index]

    @property
    def duplicates(self) -> list[pd.DataFrame]:
        """Groups of duplicate images, the largest first."""
        groups = [group for _, group in self.index.groupby("picture") if len(group) > 1]
        return sorted(groups, key=len, reverse=True)


def inspect(packed_dir: Path, split_dir: Path, *, hash_distance: int) -> Quality:
    """Compare the tables of two stages; hashes of duplicates differ in `hash_distance` of 256 bits.

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
    vocabulary = read_vocabulary(packed_dir)
    counts = label_counts(index, vocabulary.labels, assignment)
    return Quality(index, counts, channel_drift(index, vocabulary.channels), vocabulary)


def channel_drift(index: pd.DataFrame, channels: Channels) -> pd.DataFrame:
    """Compare the brightness of each split with that of train, per channel.

    Returns:
        `split`, `channel`, `n_images`, `mean` and `std` of the image means in grey levels,
        `pixel_std` within an image, `change` from train as a fraction of its mean, `effect`
        (Cohen's d: the difference in pooled standard deviations, 0.0 if neither split varies) and
        `chance`: the effect that two samples of one population, of these sizes, exceed in one of
        twenty cases.
    """
    rows = []
    train = index[index["split"] == "train"]
    for split in ALL_SPLITS:
        chosen = index[index["split"] == split]
        for channel in channels.names if len(chosen) else ():
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
    """Describe Cohen's d, with the bounds of Cohen, "Statistical power analysis", 1988."""
    if abs(effect) < 0.2:
        return ALIKE
    if abs(effect) < chance:
        return MAY_BE_CHANCE
    size = next((word for bound, word in SIZES if abs(effect) < bound), "much")
    return f"{size} {'brighter' if effect > 0 else 'dimmer'}"


def findings(quality: Quality) -> list[str]:
    """Return the main findings as sentences, for the page and for the terminal."""
    index, counts = quality.index, quality.counts
    sizes = index["split"].value_counts()
    named = [f"{sizes[split]:,} {split}" for split in ALL_SPLITS if split in sizes]
    lines = [f"{len(index):,} images: {', '.join(named)}."]
    few = list(counts["label"][counts["test"] < FEW_POSITIVES])
    listed = f" ({', '.join(few)})" if len(few) <= MAX_SHOWN else ""
    subject = f"{len(few)} of {len(counts)} labels have" if len(counts) > 1 else "The label has"
    lines.append(
        f"{subject} fewer than {FEW_POSITIVES} test images, too few for reliable scores{listed}."
        if few
        else f"Every label has at least {FEW_POSITIVES} test images."
    )
    lines += drift_findings(quality.drift)
    n_duplicates = sum(len(group) - 1 for group in quality.duplicates)
    across = sum(group["split"].nunique() > 1 for group in quality.duplicates)
    lines.append(
        f"{len(quality.blank)} images have a blank channel, {len(quality.saturated)} a saturated "
        f"one. {n_duplicates} are duplicates of another image; {across} groups of duplicates are "
        "in more than one split."
    )
    return lines


def drift_findings(drift: pd.DataFrame) -> list[str]:
    """Return one sentence per split that is brighter or dimmer than train beyond chance."""
    lines = []
    for split, rows in drift.groupby("split", sort=False):
        moved = [
            f"{row['channel']} {effect_in_words(row['effect'], row['chance'])} "
            f"({row['change']:+.0%})"
            for row in rows.to_dict("records")
            if abs(row["effect"]) >= max(0.2, row["chance"])
        ]
        if moved:
            lines.append(f"Brightness of {split} compared with train: {', '.join(moved)}.")
    return lines or ["No split is brighter or dimmer than train beyond chance."]
