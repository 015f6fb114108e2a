"""Sources whose images train and never judge a network."""

import numpy as np
import pandas as pd

from hpa.config.source_list import named_sources
from hpa.errors import UserError, did_you_mean


def may_judge(index: pd.DataFrame, group: np.ndarray, train_only: str | None) -> np.ndarray:
    """Tell which images may be in val, test or holdout, bool[N].

    An image may not if its group, which includes its copies, has a labelled image of a source that
    only trains: the network has learnt from it.

    Args:
        index: the packed index; `labelled`, and `source` if it is known.
        group: int[N], equal for images that share a split.
        train_only: names of sources, separated by spaces (or by semicolons if they hold spaces);
            None or "" for none.

    Raises:
        UserError: a name is not that of a source, or no other source or image is left.

    >>> index = pd.DataFrame({"source": ["atlas", "mine", "mine"], "labelled": True})
    >>> may_judge(index, np.array([0, 0, 1]), "atlas").tolist()
    [False, False, True]
    """
    named = named_sources(train_only)
    if not named:
        return np.ones(len(index), dtype=bool)
    sources = index.get("source", pd.Series("", index=index.index))
    _require_sources(named, sorted(set(sources[index["labelled"]])), " ".join(named))
    teaches = sources.isin(named).to_numpy() & index["labelled"].to_numpy(bool)
    judging = ~np.isin(group, group[teaches])
    _require_image(judging & index["labelled"].to_numpy(bool), " ".join(named))
    return judging


def taught(index: pd.DataFrame, judging: np.ndarray, train_only: str) -> str:
    """Describe the images that only train, in a line."""
    teaching = index["source"][index["labelled"].to_numpy(bool) & ~judging]
    own = int(teaching.isin(named_sources(train_only)).sum())
    others = (
        ""
        if own == len(teaching)
        else (f", and {len(teaching) - own} of other sources, which are in their groups or copies")
    )
    return f"{own} images of {', '.join(named_sources(train_only))} only train{others}"


def _require_image(judging: np.ndarray, received: str) -> None:
    if not judging.any():
        raise UserError(
            "split.train_only leaves no image for val and test",
            expected="images of other sources that are neither copies of those that only train "
            "nor in one group with them",
            received=f"{received}, of which all other images are copies or in groups with them",
            remedy="leave out at least one source, or correct the column group",
        )


def _require_sources(named: list[str], present: list[str], received: str) -> None:
    """Refuse names that no labelled image has, and names of all sources."""
    stated = [name for name in present if name]
    if not stated:
        raise UserError(
            "split.train_only names sources, but the images state none",
            expected="images with a column source in train.csv, as fetch.source=several writes it",
            received=received,
            remedy="fetch several sources (docs/data.md), or set split.train_only to null",
        )
    if unknown := [name for name in named if name not in stated]:
        raise UserError(
            "split.train_only names sources without a labelled image",
            expected=f"some of the sources that occur: {', '.join(stated)}",
            received=", ".join(f"{name}{did_you_mean(name, stated)}" for name in unknown),
            remedy="correct the names; they are separated by spaces",
        )
    if not set(present) - set(named):
        raise UserError(
            "split.train_only leaves no source for val and test",
            expected=f"not all of the sources that occur: {', '.join(stated)}",
            received=received,
            remedy="leave out at least one source, whose images judge the network",
        )
