"""Text of an inspection for the terminal, and its overlay of params.yaml."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hpa.data.images.depth import CAMERA_BITS, type_in_words
from hpa.data.images.opened import Description
from hpa.data.inspection.arrangement import ATLAS, FILES
from hpa.data.inspection.inspecting import Inspection
from hpa.data.inspection.label_counts import RARE
from hpa.data.inspection.measuring import Measured
from hpa.data.inspection.overlay import WIDTH, overlay_lines, overlay_text
from hpa.data.inspection.suggestions import pixel_sizes
from hpa.errors import first_names

INDENT = 14
MAX_LABELS, MAX_ROWS, N_NAMES = 12, 8, 3
"""Labels, kinds of refusals, and names that are listed; the page has more."""
NO_LABELS = (
    "none; to train, add a column Target to your table, or write a CSV with the columns Id, Target "
    "and file, or a column per channel (docs/data.md)"
)


def findings(inspection: Inspection) -> list[str]:
    """Return the lines that the terminal shows, the most important first."""
    facts = [line for term, texts in described(inspection) for line in _entry(term, texts)]
    odd = [
        line for kind, rows in inspection.faults.items() for line in _entry(kind, [_odd(rows)], 24)
    ]
    lines = [headline(inspection), verdict(inspection), "", *facts]
    lines += ["", "worth a look", *(f"  {line}" for line in odd)] if odd else []
    if refused := refusals(inspection):
        lines += ["", "would be refused", *(f"  {line}" for line in refused)]
    if inspection.settings:
        lines += ["", "params.yaml (--write FILE saves these lines)"]
        lines += list(overlay_lines(inspection.settings))[1:]
    return [*lines, ""]


def overlay(inspection: Inspection, path: Path) -> str:
    """Return the settings as an overlay for `apply_params.py`."""
    header = f"{headline(inspection)}\n\n  python src/apply_params.py {path} && dvc repro"
    return overlay_text(inspection.settings, header)


def headline(inspection: Inspection) -> str:
    """Say in a line what was read."""
    arrangement, n_channels = inspection.arrangement, len(inspection.rules.channels)
    if arrangement.kind == ATLAS:
        return f"{inspection.place}: {len(arrangement.targets):,} rows, {ATLAS}"
    return (
        f"{inspection.place}: {_counted(len(inspection.images), 'image')} of "
        f"{_counted(n_channels, 'channel')}; {_counted(inspection.n_files, 'file')} "
        f"({_megabytes(inspection.n_bytes)}) in {inspection.seconds:.1f} s"
    )


def verdict(inspection: Inspection) -> str:
    """Say in a line whether they can be used."""
    n_refused, kind = len(inspection.refused), inspection.arrangement.kind
    if inspection.arrangement.problems:
        also = f", and {_counted(n_refused, 'image')}" if n_refused else ""
        return f"fetch would refuse the whole{also}: see below"
    if n_refused:
        images = _counted(len(inspection.images), "image")
        return f"{n_refused:,} of {images} would be refused: see below"
    if kind == FILES:
        return "all can be predicted, but not trained on: there are no labels"
    return "the table can be fetched" if kind == ATLAS else "all can be used"


def described(inspection: Inspection) -> Iterator[tuple[str, list[str]]]:
    """Yield the facts by term, in lines."""
    arrangement, used = inspection.arrangement, inspection.used
    files = [each for image in inspection.images for each in image.files]
    yield "arrangement", [arrangement.kind]
    if files:
        kinds = Counter(description.kind for _, description in files)
        yield "files", [", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common())]
    if arrangement.passed_over:
        yield "passed over", [each.removeprefix("passed over ") for each in arrangement.passed_over]
    yield "channels", _channels(inspection, [description for _, description in files])
    if used:
        yield "size", [_sizes(used)]
        yield "depth", _depths(inspection)
        yield "pixel size", [_pixel_sizes(used)]
    if stacks := _stacks(description for _, description in files):
        yield "stacks", [stacks]
    if flags := Counter(flag for each in used for flag in each.flags):
        yield "conversion", [f"{flag} ({_counted(n, 'image')})" for flag, n in flags.most_common(4)]
    yield from _labels(inspection)
    if len(inspection.images) > 1:
        yield "near copies", [_copies(inspection)]


def refusals(inspection: Inspection) -> list[str]:
    """Return lines that say what would be refused: the whole, then images by reason."""
    lines = [line for each in inspection.arrangement.problems for line in each.splitlines()]
    reasons: dict[str, list[Measured]] = {}
    for each in inspection.refused:
        reason = (each.refusal or "").partition(": ")[2] or each.refusal or ""
        reasons.setdefault(re.sub(r"\d+", "#", reason), []).append(each)
    ordered = sorted(reasons.values(), key=lambda rows: -len(rows))
    for rows in ordered[:MAX_ROWS]:
        if len(rows) == 1:
            lines.append(f"{rows[0].name}: {rows[0].refusal}")
        else:
            names = first_names([each.name for each in rows], N_NAMES)
            lines.append(f"{len(rows):,} images ({names}), such as {rows[0].refusal}")
    if more := sum(map(len, ordered[MAX_ROWS:])):
        lines.append(f"… and {more} more images")
    if inspection.refused and inspection.arrangement.kind != FILES:
        lines.append("fetch stops at the first of them: repair them, or remove their rows")
    return lines


def _channels(inspection: Inspection, descriptions: Sequence[Description]) -> list[str]:
    rule = inspection.arrangement.channels
    roles = {"protein": " (protein)", "nucleus": " (nucleus)"}
    named = [f"{each.name}{roles.get(each.role, '')}" for each in rule.channels.channels]
    lines = [f"{', '.join(named)}: {rule.by}"]
    if rule.left_out:
        lines.append(f"{', '.join(rule.left_out)}: left out, as no stain shows in it")
    several = Counter(each.channel_names for each in descriptions if len(each.channel_names) > 1)
    for names, n in several.most_common(3):
        listed = ", ".join(name or "?" for name in names) if any(names) else "without names"
        lines.append(f"in {_counted(n, 'file')}: {len(names)} channels, {listed}")
    lacking = {
        name: sum(name not in sources for sources in inspection.arrangement.images.values())
        for name in rule.channels.names
    }
    lines += [f"{name} is absent in {_counted(n, 'image')}" for name, n in lacking.items() if n]
    return lines


def _sizes(used: Sequence[Measured]) -> str:
    shapes = Counter(each.planes_shape for each in used if each.planes_shape)
    ordered = sorted(shapes, key=lambda shape: shape[0] * shape[1])
    n_odd = sum(n for shape, n in shapes.items() if shape[0] != shape[1])
    square = f"{_counted(n_odd, 'image')} not square" if n_odd else "square"
    if len(shapes) > N_NAMES:
        between = " to ".join(f"{width}×{height}" for height, width in (ordered[0], ordered[-1]))
        return f"{len(shapes)} sizes, {between} pixels, {square}"
    texts = [
        f"{width}×{height}" + (f" ({_counted(n, 'image')})" if len(shapes) > 1 else "")
        for (height, width), n in shapes.most_common()
    ]
    return f"{', '.join(texts)} pixels, {square}"


def _depths(inspection: Inspection) -> list[str]:
    """Describe stored types, the bits that are used, and saturation."""
    used, names = inspection.used, inspection.rules.channels.names
    types = Counter(kind for each in used for kind in set(each.dtypes.values()))
    lines = []
    for stored, n in types.most_common():
        rows = {name: [e for e in used if e.dtypes.get(name) == stored] for name in names}
        highest = {name: max(e.brightest[name] for e in row) for name, row in rows.items() if row}
        brightest = ", ".join(f"{name} {value:,.6g}" for name, value in highest.items())
        among = f" in {_counted(n, 'image')}" if len(types) > 1 else ""
        bits = _bits(stored, max(highest.values()))
        lines.append(f"{type_in_words(stored)}{among}{bits}; brightest {brightest}")
    stated = {d.bits for each in used for _, d in each.files if d.bits}
    if stated:
        lines.append(f"the files state {' and '.join(map(str, sorted(stated)))} bits")
    white = [
        f"{name} {share:.2%}"
        for name in names
        if (share := sum(e.saturated.get(name, 0) for e in used) / len(used)) >= 0.0001
    ]
    if white:
        lines.append(f"saturated, of all pixels: {', '.join(white)}")
    return lines


def _bits(stored: str, brightest: float) -> str:
    """Say how many bits the brightest value takes, if the type has more."""
    n_bits = next((each for each in CAMERA_BITS if brightest < 2**each), None)
    is_whole = stored != "uint8" and "float" not in stored
    return f", of which {n_bits} bits are used" if is_whole and n_bits else ""


def _pixel_sizes(used: Sequence[Measured]) -> str:
    sizes, n_silent = pixel_sizes(used), sum(each.pixel_size_um is None for each in used)
    if not sizes:
        return "not stated by any file"
    text = f"{sizes[0]:.4g} µm" if len(sizes) == 1 else f"{sizes[0]:.4g} to {sizes[-1]:.4g} µm"
    return text + (f", not stated for {_counted(n_silent, 'image')}" if n_silent else "")


def _stacks(descriptions: Iterable[Description]) -> str:
    """Describe files of several slices, time points or scenes; "" without any."""
    counts: Counter[str] = Counter()
    for each in descriptions:
        for n, noun in (
            (each.n_slices, "slices in depth"),
            (each.n_times, "time points"),
            (each.n_scenes, "fields"),
        ):
            if n > 1:
                counts[f"{n} {noun}"] += 1
    return ", ".join(f"{text} in {_counted(n, 'file')}" for text, n in counts.most_common(6))


def _labels(inspection: Inspection) -> Iterator[tuple[str, list[str]]]:
    """Yield labels, what is odd about them, and groups."""
    labels = inspection.arrangement.labels
    if labels is None:
        yield "labels", [NO_LABELS]
        return
    named = [f"{name} {n:,}" for name, n in labels.counts]
    lines = [f"{len(named)}: {first_names(named, MAX_LABELS)}" if named else "none"]
    odd = "perhaps misspelt" if labels.setting else "unknown"
    lines += [
        f"{odd}: {word} ({_counted(n, 'image')}){f' – {hint}' if hint else ''}"
        for word, n, hint in labels.unknown[:MAX_ROWS]
    ]
    if labels.n_empty:
        lines.append(f"{_counted(labels.n_empty, 'image')} without a label")
    if rare := [name for name, n in labels.counts if n < RARE]:
        some = ", ".join(rare) if len(rare) <= N_NAMES else f"{len(rare)} of {len(named)}"
        lines.append(f"with fewer than {RARE} images: {some}")
    yield "labels", lines
    groups = Counter(inspection.arrangement.groups.values())
    if groups and len(groups) < len(inspection.arrangement.groups):
        name, n = groups.most_common(1)[0]
        share = f" ({n / sum(groups.values()):.0%})" if 20 * n > sum(groups.values()) else ""
        yield "groups", [f"{len(groups):,}; the largest, {name}, has {n:,} images{share}"]
    elif groups:
        yield "groups", ["none: each image is on its own"]


def _copies(inspection: Inspection) -> str:
    copies = inspection.copies
    if not copies:
        return "none"
    n_images = sum(len(each.names) for each in copies)
    n_together = sum(each.are_together for each in copies)
    together = (
        "the groups hold them together"
        if n_together == len(copies)
        else f"{len(copies) - n_together:,} in different groups, which the split joins"
    )
    first = " = ".join(copies[0].names[:N_NAMES])
    more = " = …" if len(copies[0].names) > N_NAMES else ""
    is_pairs = n_images == 2 * len(copies)
    counted = _counted(len(copies), "pair" if is_pairs else "set")
    images = "" if is_pairs else f" of {n_images:,} images"
    return f"{counted}{images} ({first}{more}); {together}"


def _odd(rows: Sequence[tuple[str, str]]) -> str:
    return f"{_counted(len(rows), 'image')}: " + first_names(
        [f"{name} ({detail})" for name, detail in rows], N_NAMES
    )


def _entry(term: str, texts: Sequence[str], indent: int = INDENT) -> list[str]:
    """Align lines behind a term, wrapped at the width of the page."""
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(
            text, WIDTH - indent, subsequent_indent="  ", break_on_hyphens=False
        )
        or [""]
    ]
    return [f"{term if not n else '':<{indent}}{line}" for n, line in enumerate(lines)]


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
