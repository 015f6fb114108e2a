"""Inspection page: facts of a user's files and a contact sheet, in one HTML file."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hpa.data.images.opened import InvalidImageError
from hpa.data.images.reading import read_planes, read_stored
from hpa.data.images.rendering import pseudo_colour
from hpa.data.inspection.findings import described, headline, refusals, verdict
from hpa.data.inspection.inspecting import Inspection
from hpa.data.inspection.overlay import overlay_lines
from hpa.errors import first_names
from hpa.reports.html import image_uri, render

THUMBNAIL_PX, JPEG_QUALITY = 224, 85
N_PER_LABEL, MAX_LABELS, N_UNLABELLED = 3, 28, 24
N_PER_KIND, N_REFUSED, N_COPIES, N_IN_COPIES = 6, 12, 8, 4
"""Images that the contact sheet shows of each label, fault, refusal and set of copies."""


@dataclass(frozen=True)
class Picture:
    """Thumbnail with its caption; no `uri` if nothing of the image can be shown."""

    name: str
    uri: str | None
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """Titled row of pictures, and how many there are in all."""

    title: str
    pictures: list[Picture]
    n_images: int


def inspection_page(inspection: Inspection) -> str:
    """Return the page; the images that it shows are read again."""
    channels = inspection.rules.channels
    places = [Path(each).name or each for each in inspection.paths]
    return render(
        "inspection.html",
        title=f"Inspection of {first_names(places, 3)}",
        headline=headline(inspection),
        verdict=verdict(inspection),
        is_usable=inspection.is_usable,
        facts=list(described(inspection)),
        refusals=refusals(inspection),
        settings="\n".join(overlay_lines(inspection.settings)).strip(),
        channels=channels.channels,
        sheets={
            "Would be refused": _refused(inspection),
            "Worth a look": _odd(inspection),
            "Near copies": _copies(inspection),
            "Images by label" if inspection.arrangement.targets else "Images": _sample(inspection),
        },
    )


def _refused(inspection: Inspection) -> list[Sheet]:
    refused = inspection.refused
    shown = [
        Picture(each.name, _thumbnail(inspection, each.name), each.refusal or "")
        for each in refused[:N_REFUSED]
    ]
    return [Sheet("", shown, len(refused))] if shown else []


def _odd(inspection: Inspection) -> list[Sheet]:
    return [
        Sheet(kind, _pictures(inspection, rows[:N_PER_KIND]), len(rows))
        for kind, rows in inspection.faults.items()
    ]


def _copies(inspection: Inspection) -> list[Sheet]:
    return [
        Sheet(
            "" if each.are_together else "in different groups",
            _pictures(inspection, [(name, "") for name in each.names[:N_IN_COPIES]]),
            len(each.names),
        )
        for each in inspection.copies[:N_COPIES]
    ]


def _sample(inspection: Inspection) -> list[Sheet]:
    """Show evenly spaced images of each label, the most frequent first."""
    used = [each.name for each in inspection.used]
    by_label: dict[str, list[str]] = defaultdict(list)
    for name in used:
        for label in filter(None, inspection.arrangement.targets.get(name, "").split("; ")):
            by_label[label].append(name)
    if not by_label:
        chosen = _spaced(used, N_UNLABELLED)
        return [Sheet("", _pictures(inspection, [(name, "") for name in chosen]), len(used))]
    ordered = sorted(by_label.items(), key=lambda each: -len(each[1]))
    return [
        Sheet(
            label,
            _pictures(inspection, [(name, "") for name in _spaced(names, N_PER_LABEL)]),
            len(names),
        )
        for label, names in ordered[:MAX_LABELS]
    ] + [Sheet(f"… and {len(ordered) - MAX_LABELS} rarer labels", [], 0)] * (
        len(ordered) > MAX_LABELS
    )


def _spaced(names: Sequence[str], n: int) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(n, len(names))).astype(int)
    return [names[place] for place in places]


def _pictures(inspection: Inspection, rows: Iterable[tuple[str, str]]) -> list[Picture]:
    return [Picture(name, _thumbnail(inspection, name), note) for name, note in rows]


def _thumbnail(inspection: Inspection, name: str) -> str | None:
    """Draw an image in the colours of its channels; a refused one by what can be read of it."""
    planes = _planes(inspection, name)
    if not planes:
        return None
    height, width = planes[0].shape
    factor = min(1.0, THUMBNAIL_PX / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in planes]
    rgb = pseudo_colour(np.dstack(small), inspection.rules.channels)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    return image_uri(content.tobytes(), kind="jpeg")


def _planes(inspection: Inspection, name: str) -> list[np.ndarray]:
    """Read an image; of one that is refused, the channels that are readable and of one size."""
    sources, rules = inspection.arrangement.images[name], inspection.rules
    try:
        return read_planes(sources, rules).planes
    except (InvalidImageError, OSError):
        found: dict[str, np.ndarray] = {}
        for channel, path in sources.items():
            try:
                stored = read_stored({channel: path}, rules)
                found |= {key: each.pixels for key, each in stored.to_grey(rules.depth).items()}
            except (InvalidImageError, OSError):
                continue
    if not found:
        return []
    height, width = next(iter(found.values())).shape
    black = np.zeros((height, width), np.uint8)
    alike = {key: each for key, each in found.items() if each.shape == black.shape}
    return [alike.get(channel, black) for channel in rules.channels.names]
