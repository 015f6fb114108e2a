"""What the packed images are like, before any network sees them: one page of HTML.

The page holds its figures inside itself, so it opens from a mail as well as from a disk.
"""

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from hpa.data.duplicates import duplicate_groups
from hpa.data.packing import PackedImages, read_index
from hpa.data.splitting import SPLITS, UNLABELLED, label_counts, read_assignment
from hpa.errors import UserError
from hpa.gallery import protein, pseudo_colour
from hpa.labels import CHANNELS, LABELS, indicator_matrix
from hpa.reporting import BLUE, FAINT, GREY, INK, ORANGE, house_style
from hpa.scoring.thresholds import FEW_POSITIVES

STAINS = dict(
    zip(CHANNELS, ("microtubules", "protein", "nucleus", "endoplasmic reticulum"), strict=True)
)
COLOURS = dict(zip((*SPLITS, UNLABELLED), (BLUE, GREY, ORANGE, INK), strict=True))
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
        counts: `label` and the images that carry it in train, val and test.
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
    try:
        index, assignment = read_index(packed_dir), read_assignment(split_dir)
    except FileNotFoundError as error:
        raise UserError(
            "there is nothing to inspect",
            expected=f"the tables of {packed_dir} and {split_dir}",
            received=str(error),
            remedy="run: dvc repro split",
        ) from error
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
    for split in (*SPLITS, UNLABELLED):
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
    named = [f"{sizes[split]:,} {split}" for split in COLOURS if split in sizes]
    lines = [f"{len(index):,} images: {', '.join(named)}."]
    totals = counts.set_index("label")[list(SPLITS)]
    few = totals.index[totals["test"] < FEW_POSITIVES]
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
            f"{row.channel} {effect_in_words(row.effect, row.chance)} ({100 * row.change:+.0f} %)"
            for row in rows.itertuples()
            if abs(row.effect) >= max(0.2, row.chance)
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


@house_style()
def plot_counts(counts: pd.DataFrame) -> Figure:
    """Draw each label's images in the three splits, the commonest on top."""
    order = counts[list(SPLITS)].sum(axis=1).sort_values(kind="stable").index
    table = counts.loc[order].reset_index(drop=True)
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    axes = figure.add_subplot()
    rows, left = np.arange(len(table)), np.zeros(len(table))
    for split in SPLITS:
        axes.barh(rows, table[split], left=left, color=COLOURS[split], height=0.72, label=split)
        left = left + table[split].to_numpy()
    for row, numbers in enumerate(table[list(SPLITS)].to_numpy()):
        text = " + ".join(f"{n:,}" for n in numbers)
        axes.text(left[row] + 0.006 * left.max(), row, text, va="center", size=8)
    axes.set_yticks(rows, table["label"])
    axes.set(ylim=(-0.7, len(table) - 0.3), xlim=(0, 1.16 * max(left.max(), 1)), xlabel="images")
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


def quality_page(quality: Quality, packed_dir: Path) -> str:
    """Return the whole page; it refers to nothing outside itself."""
    images = PackedImages(packed_dir)
    y_true = indicator_matrix(quality.index["Target"][quality.index["split"] != UNLABELLED])
    items = "".join(f"<li>{html.escape(line)}</li>" for line in findings(quality))
    sections = [
        ("Images a label", "Train + val + test, the commonest on top.",
         _figure(plot_counts(quality.counts), "images a label in each split")),
        ("Labels together", "Of the images with one label, how many carry another too, in %.",
         _figure(plot_cooccurrence(y_true), "co-occurrence of labels")),
        ("Brightness of each split",
         "Grey levels from 0 to 255. Drift is Cohen's d of the images' means against train: the "
         "difference in units of their spread, where 0.2 is small and 0.8 large.",
         _figure(plot_brightness(quality.index), "distribution of brightness")
         + _drift_table(quality.drift)),
        ("Blank channels", "A channel whose standard deviation is below one grey level.",
         _thumbnails(images, quality.blank, "blank")),
        ("Saturated channels", f"More than {SATURATED:.0%} of a channel's pixels are white.",
         _thumbnails(images, quality.saturated, "saturated")),
        ("Duplicates", "Groups whose perceptual hashes are nearly equal; a group is never split.",
         _duplicates(images, quality.duplicates)),
    ]  # fmt: skip
    body = "".join(
        f"<section><h2>{title}</h2><p>{html.escape(note)}</p>{content}</section>"
        for title, note, content in sections
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data quality</title>'
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head><body>'
        f"<h1>Data quality</h1><ul>{items}</ul>{body}</body></html>\n"
    )


CSS = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 1080px; margin: 2rem auto;
       padding: 0 1rem; }}
h1 {{ font-size: 1.8rem; margin-bottom: .5rem }} h2 {{ font-size: 1.2rem; margin: 2.5rem 0 0 }}
section > p {{ margin: .2rem 0 1rem; color: #5b6873 }} img {{ max-width: 100% }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0 }}
th, td {{ padding: .25rem .9rem .25rem 0; text-align: right }} th {{ font-weight: 600 }}
th.text, td.text {{ text-align: left }} tr.first td {{ border-top: 1px solid #e6eaee }}
td {{ white-space: nowrap }} td.drift {{ color: {ORANGE}; font-weight: 600 }}
.grid {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 1rem }}
.group {{ border-top: 1px solid #e6eaee; padding: .8rem 0 }}
figure {{ margin: 0 }} figure img {{ width: 100%; display: block }}
figcaption {{ font-size: 12px; overflow-wrap: anywhere; line-height: 1.35; margin-top: .3rem }}
"""


def _drift_table(drift: pd.DataFrame) -> str:
    rows = [
        '<tr><th class="text">channel</th><th class="text">split</th><th>images</th><th>mean</th>'
        "<th>spread over images</th><th>contrast within</th><th>against train</th><th>effect</th>"
        '<th class="text">in words</th></tr>'
    ]
    for channel in CHANNELS:
        for place, row in enumerate(drift[drift["channel"] == channel].itertuples()):
            words = "" if row.split == "train" else effect_in_words(row.effect, row.chance)
            kind = "text" if words in ("", ALIKE, MAY_BE_CHANCE) else "text drift"
            name = f"{channel}: {STAINS[channel]}" if place == 0 else ""
            against = (
                ("", "") if place == 0 else (f"{100 * row.change:+.0f} %", f"{row.effect:+.2f}")
            )
            rows.append(
                f'<tr class="{"first" if place == 0 else ""}"><td class="text">{name}</td>'
                f'<td class="text">{row.split}</td><td>{row.n_images:,}</td><td>{row.mean:.1f}</td>'
                f"<td>{row.std:.1f}</td><td>{row.pixel_std:.1f}</td><td>{against[0]}</td>"
                f'<td>{against[1]}</td><td class="{kind}">{words}</td></tr>'
            )
    return f"<table>{''.join(rows)}</table>"


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
    both = np.hstack([pseudo_colour(pixels), protein(pixels)])
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
    return _inline(content.getvalue(), caption)


def _figure(figure: Figure, caption: str) -> str:
    content = io.BytesIO()
    with house_style():
        figure.savefig(content, format="png", metadata={"Software": None})
    return _inline(content.getvalue(), caption)


def _inline(png: bytes, caption: str) -> str:
    encoded = base64.b64encode(png).decode("ascii")
    return f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{encoded}">'


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return f" ({', '.join(names)})" if 0 < len(names) <= MAX_SHOWN else ""
