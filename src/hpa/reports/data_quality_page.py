"""Data quality page: figures, tables and thumbnails of the packed images in one HTML file."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hpa.data.images.rendering import protein, pseudo_colour, side_by_side
from hpa.data.packed.assignment import HOLDOUT, SPLITS, UNLABELLED
from hpa.data.packed.packed_images import PackedImages
from hpa.data.packed.training_range import SATURATED
from hpa.errors import first_names
from hpa.reports import data_quality
from hpa.reports.data_quality import ALL_SPLITS, Quality, effect_in_words, findings
from hpa.reports.heatmaps import plot_cooccurrence
from hpa.reports.html import figure_uri, image_uri, render
from hpa.reports.run_facts import RunFacts, bar_share, bar_um
from hpa.reports.shown_classes import describe_part, shortened
from hpa.reports.style import BLUE, GREY, INK, ORANGE, PLUM, height_of, house_style
from hpa.vocabulary.channels import Channels
from hpa.vocabulary.labels import Labels

COLOURS = dict(zip(ALL_SPLITS, (BLUE, GREY, ORANGE, PLUM, INK), strict=True))
MAX_COPIES = 4  # images shown of each group of duplicates


def quality_page(quality: Quality, images: PackedImages, facts: RunFacts) -> str:
    """Return the page."""
    labels, channels = quality.vocabulary.labels, quality.vocabulary.channels
    side_um = facts.image_side_um
    y_true = labels.indicators(quality.index["Target"][quality.index["split"] != UNLABELLED])
    return render(
        "data_quality.html",
        title="Data quality",
        facts=facts,
        findings=findings(quality),
        splits=_labelled_splits(quality.counts),
        counts=figure_uri(plot_counts(quality.counts)),
        cooccurrence=figure_uri(plot_cooccurrence(y_true, labels)) if len(labels) > 1 else None,
        part=describe_part(len(labels), "that occur together most"),
        brightness=figure_uri(plot_brightness(quality.index, channels)),
        drift=quality.drift,
        blank=quality.blank,
        saturated=quality.saturated,
        duplicates=quality.duplicates,
        colours=lambda row: _picture(_colours(_pixels(images, row), channels), side_um),
        planes=lambda row: _picture(_planes(_pixels(images, row)), side_um),
        highest=lambda row: _highest(_pixels(images, row), channels),
        um=bar_um(side_um) if side_um else None,
        labels=lambda row: _labels(row, labels),
        white=lambda row: _white(row, channels),
        effect_in_words=effect_in_words,
        channels=channels.channels,
        UNREMARKABLE=(data_quality.ALIKE, data_quality.MAY_BE_CHANCE),
        MAX_SHOWN=data_quality.MAX_SHOWN,
        MAX_COPIES=MAX_COPIES,
        planes_note=_planes_note(channels.names),
        SATURATED=SATURATED,
    )


@house_style()
def plot_counts(counts: pd.DataFrame) -> Figure:
    """Draw the number of images per label and split, the most frequent label on top."""
    splits = _labelled_splits(counts)
    order = counts[splits].sum(axis=1).sort_values(kind="stable").index
    table = counts.loc[order].reset_index(drop=True)
    figure = Figure(figsize=(9, height_of(7.5, len(table))), layout="constrained")
    axes = figure.add_subplot()
    rows, left = np.arange(len(table)), np.zeros(len(table))
    for split in splits:
        axes.barh(rows, table[split], left=left, color=COLOURS[split], height=0.72, label=split)
        left = left + table[split].to_numpy()
    for row, numbers in enumerate(table[splits].to_numpy()):
        text = " + ".join(f"{n:,}" for n in numbers)
        axes.text(left[row] + 0.006 * left.max(), row, text, va="center", size=8)
    axes.set_yticks(rows, [shortened(name) for name in table["label"]])
    width = (1.01 + 0.05 * len(splits)) * max(left.max(), 1)  # room for the numbers
    axes.set(ylim=(-0.7, len(table) - 0.3), xlim=(0, width), xlabel="images")
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    if describe_part(len(table)):  # the end of a long chart is out of sight
        figure.legend(loc="outside upper right", ncols=len(splits))
    else:
        axes.legend(loc="lower right")
    return figure


@house_style()
def plot_brightness(index: pd.DataFrame, channels: Channels) -> Figure:
    """Draw the cumulative distribution of image means, one panel per channel, four in a row."""
    n_columns = min(len(channels), 4)
    n_rows = -(-len(channels) // n_columns)
    figure = Figure(figsize=(2.75 * max(n_columns, 2), 3.2 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes in panels[len(channels) :]:
        axes.set_visible(False)
    for place, channel in enumerate(channels.names):
        axes, shows = panels[place], channels.channels[place].shows
        values = 255 * index[f"{channel}_mean"]
        for split, colour in COLOURS.items():
            chosen = values[index["split"] == split]
            if len(chosen):
                axes.ecdf(chosen, color=colour, linewidth=1.6, label=split)
        axes.set_title(f"{channel}: {shows}" if shows else channel, fontsize=10)
        axes.set(xlim=(0, max(1.0, 1.02 * np.percentile(values, 99.5))), ylim=(0, 1))
        axes.set_xlabel("mean grey level of the image")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
        axes.tick_params(length=0, labelleft=place % n_columns == 0)
        axes.grid()
    figure.axes[0].set_ylabel("images up to this level")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return figure


def _labelled_splits(counts: pd.DataFrame) -> list[str]:
    return [split for split in (*SPLITS, HOLDOUT) if split in counts]


def _pixels(images: PackedImages, row: pd.Series) -> np.ndarray:
    return images.read(np.array([row.name]))[0]


def _colours(pixels: np.ndarray, channels: Channels) -> np.ndarray:
    """Draw all channels and the protein of uint8[S,S,K], contrast-stretched, as RGB."""
    return side_by_side(pseudo_colour(pixels, channels), protein(pixels, channels))


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Draw each channel of uint8[S,S,K] at its own grey levels, as RGB."""
    return side_by_side(
        *(np.repeat(plane[..., None], 3, -1) for plane in np.moveaxis(pixels, -1, 0))
    )


def _highest(pixels: np.ndarray, channels: Channels) -> str:
    """Name the highest grey level of each channel of uint8[S,S,K]."""
    levels = zip(channels.names, pixels.max(axis=(0, 1)), strict=True)
    return ", ".join(f"{channel} {level}" for channel, level in levels)


def _planes_note(names: Sequence[str]) -> str:
    """Explain `_planes`."""
    shown = f"From left to right {', '.join(names)} at their" if names[1:] else f"{names[0]} at its"
    levels = "own grey levels: 0 is black, 255 is white. The highest level of each is stated."
    return f"{shown} {levels}"


def _picture(rgb: np.ndarray, side_um: float | None) -> dict[str, Any]:
    """Return a row of panels as a data URI, and the share of its width that a scale bar takes."""
    is_grey = (rgb == rgb[..., :1]).all()  # a third of the bytes
    shown = rgb[..., 0] if is_grey else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".png", shown)
    return {"uri": image_uri(content.tobytes(), kind="png"), "bar": bar_share(rgb, side_um)}


def _labels(row: pd.Series, labels: Labels) -> str:
    if row["split"] == UNLABELLED:
        return "label unknown"
    names = [labels.names[column] for column in labels.parse(row["Target"])]
    return first_names(names) or "no label"


def _white(row: pd.Series, channels: Channels) -> str:
    """Name the saturated channels of an image and how much of each is white."""
    shares = [(row[f"{channel}_saturated"], channel) for channel in channels.names]
    return ", ".join(f"{name} {share:.0%} white" for share, name in shares if share > SATURATED)
