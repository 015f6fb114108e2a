"""The page on the quality of the packed images: figures, tables and thumbnails in one HTML file.

It holds its pictures inside itself, so it opens from a mail as well as from a disk.
"""

import html
import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from hpa.data.images.rendering import protein, pseudo_colour
from hpa.data.packed import PackedImages
from hpa.data.splits.assignment import HOLDOUT, SPLITS, UNLABELLED
from hpa.labels import CHANNELS, LABELS, indicator_matrix
from hpa.reports.data_quality import (
    ALIKE,
    ALL_SPLITS,
    MAX_SHOWN,
    MAY_BE_CHANCE,
    SATURATED,
    Quality,
    cooccurrence,
    effect_in_words,
    findings,
)
from hpa.reports.figures import BLUE, FAINT, GREY, INK, ORANGE, house_style
from hpa.reports.html import inline_figure, inline_image, page, section
from hpa.thresholds.fitting import FEW_POSITIVES

STAINS = dict(
    zip(CHANNELS, ("microtubules", "protein", "nucleus", "endoplasmic reticulum"), strict=True)
)
PLUM = "#8a6fb0"
COLOURS = dict(zip(ALL_SPLITS, (BLUE, GREY, ORANGE, PLUM, INK), strict=True))


@house_style()
def plot_counts(counts: pd.DataFrame) -> Figure:
    """Draw each label's images in each split, the commonest on top."""
    splits = _labelled_splits(counts)
    order = counts[splits].sum(axis=1).sort_values(kind="stable").index
    table = counts.loc[order].reset_index(drop=True)
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    axes = figure.add_subplot()
    rows, left = np.arange(len(table)), np.zeros(len(table))
    for split in splits:
        axes.barh(rows, table[split], left=left, color=COLOURS[split], height=0.72, label=split)
        left = left + table[split].to_numpy()
    for row, numbers in enumerate(table[splits].to_numpy()):
        text = " + ".join(f"{n:,}" for n in numbers)
        axes.text(left[row] + 0.006 * left.max(), row, text, va="center", size=8)
    axes.set_yticks(rows, table["label"])
    width = (1.01 + 0.05 * len(splits)) * max(left.max(), 1)  # room for the numbers
    axes.set(ylim=(-0.7, len(table) - 0.3), xlim=(0, width), xlabel="images")
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")
    return figure


@house_style()
def plot_cooccurrence(y_true: np.ndarray) -> Figure:
    """Draw of the images that carry label i (row) the share that also carries label j (column)."""
    shares, support = cooccurrence(y_true)
    figure = Figure(figsize=(10.5, 9), layout="constrained")
    axes = figure.add_subplot()
    shown = np.ma.masked_where(np.eye(len(LABELS), dtype=bool) | (support == 0)[:, None], shares)
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=1)
    axes.set_facecolor("#eef1f4")
    for row, column in np.argwhere(shown.filled(0) >= 0.1):
        share = shares[row, column]
        colour = "white" if share > 0.6 else INK
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    names = [f"{label} ({n:,})" for label, n in zip(LABELS, support, strict=True)]
    axes.set_yticks(range(len(LABELS)), names)
    for name, n in zip(axes.get_yticklabels(), support, strict=True):
        name.set_color(INK if n >= FEW_POSITIVES else FAINT)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=60, ha="right", rotation_mode="anchor")
    axes.set(ylabel="of the images with this label (images)", xlabel="so many % carry this one too")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.5)
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    bar.outline.set_visible(False)
    return figure


@house_style()
def plot_brightness(index: pd.DataFrame) -> Figure:
    """Draw the share of images dimmer than each grey level, a panel a channel, a line a split."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axes, channel in zip(figure.subplots(1, len(CHANNELS)), CHANNELS, strict=True):
        values = 255 * index[f"{channel}_mean"]
        for split, colour in COLOURS.items():
            chosen = values[index["split"] == split]
            if len(chosen):
                axes.ecdf(chosen, color=colour, linewidth=1.6, label=split)
        axes.set_title(f"{channel}: {STAINS[channel]}", fontsize=10)
        axes.set(xlim=(0, max(1.0, 1.02 * np.percentile(values, 99.5))), ylim=(0, 1))
        axes.set_xlabel("mean grey level of an image")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.tick_params(length=0, labelleft=channel == CHANNELS[0])
        axes.grid()
    figure.axes[0].set_ylabel("images at most so bright")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def quality_page(quality: Quality, images: PackedImages) -> str:
    """Return the whole page; it refers to nothing outside itself."""
    y_true = indicator_matrix(quality.index["Target"][quality.index["split"] != UNLABELLED])
    items = "".join(f"<li>{html.escape(line)}</li>" for line in findings(quality))
    sections = [
        ("Images a label", f"{' + '.join(_labelled_splits(quality.counts)).capitalize()}, the "
         "commonest on top.",
         inline_figure(plot_counts(quality.counts), "images a label in each split")),
        ("Labels together", "Of the images with one label, how many carry another too, in %.",
         inline_figure(plot_cooccurrence(y_true), "co-occurrence of labels")),
        ("Brightness of each split",
         "Grey levels from 0 to 255. Drift is Cohen's d of the images' means against train: the "
         "difference in units of their spread, where 0.2 is small and 0.8 large.",
         inline_figure(plot_brightness(quality.index), "distribution of brightness")
         + _drift_table(quality.drift)),
        ("Blank channels", "A channel whose standard deviation is below one grey level.",
         _thumbnails(images, quality.blank, "blank")),
        ("Saturated channels", f"More than {SATURATED:.0%} of a channel's pixels are white.",
         _thumbnails(images, quality.saturated, "saturated")),
        ("Duplicates", "Nearly equal perceptual hashes; the split keeps a group together.",
         _duplicates(images, quality.duplicates)),
    ]  # fmt: skip
    body = "".join(section(*each) for each in sections)
    return page("Data quality", f"<ul>{items}</ul>{body}")


def _labelled_splits(counts: pd.DataFrame) -> list[str]:
    return [split for split in (*SPLITS, HOLDOUT) if split in counts]


def _drift_table(drift: pd.DataFrame) -> str:
    names = ("images", "mean", "spread over images", "contrast within", "against train", "effect")
    header = '<th class="text">channel</th><th class="text">split</th>'
    header += "".join(f"<th>{name}</th>" for name in names) + '<th class="text">in words</th>'
    rows = [f"<tr>{header}</tr>"]
    for channel in CHANNELS:
        of_channel = drift[drift["channel"] == channel].to_dict("records")
        rows += [_drift_row(row, is_first=place == 0) for place, row in enumerate(of_channel)]
    return f"<table>{''.join(rows)}</table>"


def _drift_row(row: dict[Any, Any], *, is_first: bool) -> str:
    channel = f"{row['channel']}: {STAINS[row['channel']]}" if is_first else ""
    numbers = [f"{row['n_images']:,}", *(f"{row[key]:.1f}" for key in ("mean", "std", "pixel_std"))]
    words = ""
    if row["split"] == "train":
        numbers += ["", ""]
    else:
        numbers += [f"{100 * row['change']:+.0f} %", f"{row['effect']:+.2f}"]
        words = effect_in_words(row["effect"], row["chance"])
    cells = "".join(f"<td>{number}</td>" for number in numbers)
    kind = "text" if words in ("", ALIKE, MAY_BE_CHANCE) else "text drift"
    return (
        f'<tr class="{"first" if is_first else ""}"><td class="text">{channel}</td>'
        f'<td class="text">{row["split"]}</td>{cells}<td class="{kind}">{words}</td></tr>'
    )


def _thumbnails(images: PackedImages, chosen: pd.DataFrame, why: str) -> str:
    """Show images in pseudo-colour beside the protein, each with what is wrong with it."""
    if not len(chosen):
        return "<p>None.</p>"
    shown = chosen.head(MAX_SHOWN)
    tiles = (_tile(images, row, _fault(row, why)) for _, row in shown.iterrows())
    return f'{_how_many(len(shown), len(chosen), "images")}<div class="grid">{"".join(tiles)}</div>'


def _duplicates(images: PackedImages, groups: list[pd.DataFrame]) -> str:
    if not groups:
        return "<p>None.</p>"
    shown = groups[:MAX_SHOWN]
    blocks = []
    for group in shown:
        tiles = "".join(_tile(images, row, "") for _, row in group.head(4).iterrows())
        more = f"<p>… and {len(group) - 4} more</p>" if len(group) > 4 else ""
        blocks.append(f'<div class="group"><div class="grid">{tiles}</div>{more}</div>')
    return _how_many(len(shown), len(groups), "groups") + "".join(blocks)


def _how_many(n_shown: int, n_all: int, what: str) -> str:
    return f"<p>The first {n_shown} of {n_all:,} {what}:</p>" if n_shown < n_all else ""


def _tile(images: PackedImages, row: pd.Series, note: str) -> str:
    pixels = images.read(np.array([row.name]))[0]
    gap = np.full((len(pixels), max(1, len(pixels) // 48), 3), 255, np.uint8)
    both = np.hstack([pseudo_colour(pixels), gap, protein(pixels)])
    labels = ", ".join(LABELS[int(number)] for number in row["Target"].split()) or "no label"
    if row["split"] == UNLABELLED:
        labels = "label unknown"
    caption = f"<b>{html.escape(row['Id'])}</b> · {row['split']}<br>{html.escape(labels)}"
    caption += f"<br>{html.escape(note)}" if note else ""
    return f"<figure>{_embedded(both, caption='')}<figcaption>{caption}</figcaption></figure>"


def _fault(row: pd.Series, why: str) -> str:
    if why == "blank":
        return f"blank: {', '.join(row['blank'].split())}"
    shares = [(row[f"{channel}_saturated"], channel) for channel in CHANNELS]
    return ", ".join(f"{name} {share:.0%} white" for share, name in shares if share > SATURATED)


def _embedded(rgb: np.ndarray, caption: str) -> str:
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, format="png")
    return inline_image(content.getvalue(), caption)
