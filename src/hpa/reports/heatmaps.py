"""Heatmaps of label pairs: co-occurrence and false predictions."""

import numpy as np
from matplotlib.figure import Figure

from hpa.reports.shown_classes import shortened, shown_classes
from hpa.reports.style import FAINT, INK, PALE, house_style
from hpa.thresholds.fitting import FEW_POSITIVES
from hpa.vocabulary.labels import Labels

SHOWN_FRACTION = 0.1  # cells from this fraction on show their number


@house_style()
def plot_false_predictions(y_true: np.ndarray, y_pred: np.ndarray, labels: Labels) -> Figure:
    """Draw, for images with label i (row), the share falsely predicted as label j (column)."""
    # The same scale in every run, so that the figures of two runs can be compared.
    figure = _plot_pairs(*pair_shares(y_true, y_pred > y_true), labels, highest=0.5)
    figure.axes[0].set(ylabel="true label (images)", xlabel="falsely predicted label")
    title = "False positives, in % of the images with the true label"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


@house_style()
def plot_cooccurrence(y_true: np.ndarray, labels: Labels) -> Figure:
    """Draw, for images with label i (row), the share that also carries label j (column)."""
    figure = _plot_pairs(*pair_shares(y_true, y_true), labels, highest=1.0)
    figure.axes[0].set(ylabel="images with this label (count)", xlabel="% that also carry")
    return figure


def pair_shares(y_true: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares float64[C,C] and support int64[C] of two tables of 0 and 1, [N,C] each.

    Row i, column j: of the images that carry i in `y_true`, the share with j in `other`; 0.0 if
    none carries i.
    """
    support = y_true.sum(axis=0, dtype=np.int64)
    pairs = y_true.T.astype(np.float64) @ other.astype(np.float64)
    return pairs / np.maximum(support, 1)[:, None], support


def most_paired(shares: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return the labels to show of `pair_shares`, ascending: those of most pairs with others."""
    pairs = shares * support[:, None]
    np.fill_diagonal(pairs, 0)
    return shown_classes(pairs.sum(axis=0) + pairs.sum(axis=1))


def _plot_pairs(
    shares: np.ndarray, support: np.ndarray, labels: Labels, *, highest: float
) -> Figure:
    """Draw shares [C,C] on a scale from 0 to `highest`, without the diagonal and empty rows.

    Of many labels, those of most pairs are drawn.
    """
    chosen = most_paired(shares, support)
    n, names = len(chosen), [shortened(labels.names[column]) for column in chosen]
    shares, support = shares[np.ix_(chosen, chosen)], support[chosen]
    n_high = max(n, 8)  # room for the names around a few cells
    figure = Figure(figsize=(4 + n_high / 4, 3.5 + 6 * n_high / 28), layout="constrained")
    axes = figure.add_subplot()
    shown = np.ma.masked_where(np.eye(n, dtype=bool) | (support == 0)[:, None], shares)
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=highest)
    axes.set_facecolor(PALE)
    for row, column in np.argwhere(shown.filled(0) >= SHOWN_FRACTION):
        share = shares[row, column]
        colour = "white" if share > 0.6 * highest else INK
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", size=7, color=colour)
    axes.set_yticks(range(n), [f"{name} ({k:,})" for name, k in zip(names, support, strict=True)])
    for tick, k in zip(axes.get_yticklabels(), support, strict=True):
        tick.set_color(INK if k >= FEW_POSITIVES else FAINT)
    axes.set_xticks(range(n), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, extend="max" if highest < 1 else "neither")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    bar.outline.set_visible(False)
    return figure
