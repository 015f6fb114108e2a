"""Data quality page: figures, tables and thumbnails of the packed images in one HTML file."""

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hpa.data.images.rendering import protein, pseudo_colour, side_by_side
from hpa.data.packed.assignment import HOLDOUT, SPLITS, UNLABELLED
from hpa.data.packed.packed_images import PackedImages
from hpa.labels import CHANNELS, LABELS, indicator_matrix, parse_target
from hpa.reports import data_quality
from hpa.reports.data_quality import ALL_SPLITS, SATURATED, Quality, effect_in_words, findings
from hpa.reports.heatmaps import plot_cooccurrence
from hpa.reports.html import figure_uri, image_uri, render
from hpa.reports.style import BLUE, GREY, INK, ORANGE, PLUM, house_style

STAINS = dict(
    zip(CHANNELS, ("microtubules", "protein", "nucleus", "endoplasmic reticulum"), strict=True)
)
COLOURS = dict(zip(ALL_SPLITS, (BLUE, GREY, ORANGE, PLUM, INK), strict=True))
MAX_COPIES = 4  # images shown of each group of duplicates


def quality_page(quality: Quality, images: PackedImages) -> str:
    """Return the page."""
    y_true = indicator_matrix(quality.index["Target"][quality.index["split"] != UNLABELLED])
    return render(
        "data_quality.html",
        title="Data quality",
        findings=findings(quality),
        splits=_labelled_splits(quality.counts),
        counts=figure_uri(plot_counts(quality.counts)),
        cooccurrence=figure_uri(plot_cooccurrence(y_true)),
        brightness=figure_uri(plot_brightness(quality.index)),
        drift=quality.drift,
        blank=quality.blank,
        saturated=quality.saturated,
        duplicates=quality.duplicates,
        picture=lambda row: _picture(images, row),
        labels=_labels,
        white=_white,
        effect_in_words=effect_in_words,
        STAINS=STAINS,
        UNREMARKABLE=(data_quality.ALIKE, data_quality.MAY_BE_CHANCE),
        MAX_SHOWN=data_quality.MAX_SHOWN,
        MAX_COPIES=MAX_COPIES,
        SATURATED=SATURATED,
    )


@house_style()
def plot_counts(counts: pd.DataFrame) -> Figure:
    """Draw the number of images per label and split, the most frequent label on top."""
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
def plot_brightness(index: pd.DataFrame) -> Figure:
    """Draw the cumulative distribution of image means, one panel per channel."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    for axes, channel in zip(figure.subplots(1, len(CHANNELS)), CHANNELS, strict=True):
        values = 255 * index[f"{channel}_mean"]
        for split, colour in COLOURS.items():
            chosen = values[index["split"] == split]
            if len(chosen):
                axes.ecdf(chosen, color=colour, linewidth=1.6, label=split)
        axes.set_title(f"{channel}: {STAINS[channel]}", fontsize=10)
        axes.set(xlim=(0, max(1.0, 1.02 * np.percentile(values, 99.5))), ylim=(0, 1))
        axes.set_xlabel("mean grey level of the image")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
        axes.tick_params(length=0, labelleft=channel == CHANNELS[0])
        axes.grid()
    figure.axes[0].set_ylabel("images up to this level")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _labelled_splits(counts: pd.DataFrame) -> list[str]:
    return [split for split in (*SPLITS, HOLDOUT) if split in counts]


def _picture(images: PackedImages, row: pd.Series) -> str:
    """Return all channels and the protein of an image as a data URI."""
    pixels = images.read(np.array([row.name]))[0]
    rgb = side_by_side(pseudo_colour(pixels), protein(pixels))
    _, content = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return image_uri(content.tobytes(), kind="png")


def _labels(row: pd.Series) -> str:
    if row["split"] == UNLABELLED:
        return "label unknown"
    return ", ".join(LABELS[number] for number in parse_target(row["Target"])) or "no label"


def _white(row: pd.Series) -> str:
    """Name the saturated channels of an image and how much of each is white."""
    shares = [(row[f"{channel}_saturated"], channel) for channel in CHANNELS]
    return ", ".join(f"{name} {share:.0%} white" for share, name in shares if share > SATURATED)
