"""Draw docs/architecture.svg, the rooms of src/hpa and their imports, from the code itself.

    python docs/draw_rooms.py            draw the picture; two seconds
    python docs/draw_rooms.py --check    exit 1 if the picture is out of date

A room stands one floor above the highest room that it imports. An import that follows from others
has no arrow. The picture depends on imports and sizes alone, so equal code gives equal bytes;
`--check` accepts sizes that have changed by less than a quarter.
"""

import argparse
import ast
import itertools
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import grimp
import yaml

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/architecture.svg"
LINES_PER_WINDOW = 100
WIDTH, MARGIN = 800, 28
NOTE_STEP = 26  # distance of two lines of small text, px
WINDOW, PITCH, PAD = 13, 19, 16  # side of a window, distance of two, space inside a box; px
NAME_PX, NOTE_PX = 25, 20
STOREY_GAP, PASSAGE = 62, 20  # height between two floors, width left for arrows that pass a floor
ROW = 34  # height of a row of the table
FLOOR_COLOURS = ["#51627a", "#3f6fb5", "#2b83a8", "#1f8f8c", "#3a9a5f", "#8a9a2f", "#c08a1e"]
STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1d2733 }
  .paper { fill: #fbfaf7 }
  .name { font-size: 25px; font-weight: 650 }
  .note { font-size: 20px; fill: #5b6673 }
  .wall { fill: #fff; stroke-width: 2.5 }
  .arrow { fill: none; stroke: #8893a1; stroke-width: 2.2 }
  .head { fill: #8893a1 }
  .rule { stroke: #dcd9d1; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8edf3 }
    .paper { fill: #12171e }
    .note { fill: #a3aebb }
    .wall { fill: #1b232d }
    .rule { stroke: #2d3742 }
  }
"""

Floors = list[list[str]]  # room names from left to right; a passage is "|" and the room it leads to


@dataclass(frozen=True)
class Architecture:
    """Rooms with their parts, windows (hundreds of lines), imports, and the stages' imports."""

    parts: dict[str, list[str]]
    windows: dict[str, int]
    imports: dict[str, set[str]]
    stages: dict[str, tuple[set[str], set[str]]]  # rooms imported by the script, and by these


@dataclass
class Box:
    """Place of a room or a passage, in px."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> float:
        """Horizontal centre."""
        return self.x + self.width / 2

    @property
    def foot(self) -> float:
        """Vertical end: the floor that the box stands on."""
        return self.y + self.height


def main() -> None:
    """Draw the picture, or compare it with the code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--output", type=Path, default=PICTURE, metavar="FILE")
    arguments = parser.parse_args()
    architecture = read_architecture()
    if not arguments.check:
        arguments.output.write_text(draw(architecture), encoding="utf-8")
        print(arguments.output)
    elif not is_current(architecture, arguments.output):
        sys.exit(
            f"error: {arguments.output} is out of date\n  what to do: python docs/draw_rooms.py"
        )


def is_current(architecture: Architecture, path: Path) -> bool:
    """Compare a picture with the code, sizes loosely."""
    drawn = path.read_text(encoding="utf-8") if path.is_file() else ""
    found = re.findall(r'data-room="(\w+)" data-windows="(\d+)"', drawn)
    sizes = {room: int(n_windows) for room, n_windows in found}
    if sizes.keys() != architecture.windows.keys():
        return False
    for room, n_windows in architecture.windows.items():
        if abs(n_windows - sizes[room]) > max(1, n_windows / 4):
            return False
    return drawn == draw(replace(architecture, windows=sizes))


# Reading


def read_architecture() -> Architecture:
    """Read rooms, imports and stages from src/ and dvc.yaml."""
    sys.path.insert(0, str(ROOT / "src"))
    graph = grimp.build_graph("hpa", cache_dir=None)
    stages = {}
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]:
        direct = imported_modules(ROOT / f"src/{stage}.py") & graph.modules
        below = set().union(*(graph.find_upstream_modules(module) for module in direct))
        stages[stage] = (rooms_of(direct), rooms_of(below))
    imports = {room: set() for room in rooms_of(graph.modules)}
    for module in graph.modules - {"hpa"}:
        imports[room_of(module)] |= rooms_of(graph.find_modules_directly_imported_by(module))
    folders = {room: ROOT / "src/hpa" / room for room in imports}
    return Architecture(
        {room: room_parts(room, folder) for room, folder in folders.items()},
        {room: count_windows(room, folder) for room, folder in folders.items()},
        {room: found - {room} for room, found in imports.items()},
        stages,
    )


def imported_modules(script: Path) -> set[str]:
    """Return every module that a script may name in its imports of the package."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def room_of(module: str) -> str:
    """Return a module's room; the modules of the package itself are the room `root`."""
    room = module.split(".")[1]
    return room if (ROOT / "src/hpa" / room).is_dir() else "root"


def rooms_of(modules: Iterable[str]) -> set[str]:
    """Return the rooms of modules."""
    return {room_of(module) for module in modules if module != "hpa"}


def room_parts(room: str, folder: Path) -> list[str]:
    """Return the names of the packages in a room, or of the modules of `root`."""
    if room == "root":
        return sorted(path.stem for path in (ROOT / "src/hpa").glob("[!_]*.py"))
    return sorted(path.parent.name for path in folder.glob("*/__init__.py"))


def count_windows(room: str, folder: Path) -> int:
    """Return the hundreds of lines of Python in a room, at least one."""
    paths = (ROOT / "src/hpa").glob("*.py") if room == "root" else folder.rglob("*.py")
    n_lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
    return max(1, round(n_lines / LINES_PER_WINDOW))


# Arranging


def reduce_imports(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each import that follows from others."""
    reached: dict[str, set[str]] = {}

    def reach(room: str) -> set[str]:
        if room not in reached:
            reached[room] = set().union(imports[room], *(reach(each) for each in imports[room]))
        return reached[room]

    return {
        room: below.difference(*(reach(each) for each in below)) for room, below in imports.items()
    }


def floor_numbers(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return each room's floor, counted from 0: one above the highest room that it imports."""
    floors: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in floors:
            floors[room] = max((floor(below) + 1 for below in imports[room]), default=0)
        return floors[room]

    for room in imports:
        floor(room)
    return floors


def add_passages(
    imports: dict[str, set[str]], floors: dict[str, int]
) -> tuple[Floors, set[tuple[str, str]]]:
    """Return the nodes of each floor, and arrows that lead from one floor to the next.

    Arrows to one room share the passages of the floors between.
    """
    nodes: Floors = [[] for _ in range(max(floors.values()) + 1)]
    for room, number in sorted(floors.items()):
        nodes[number].append(room)
    arrows = set()
    for room in sorted(imports):
        for target in sorted(imports[room]):
            upper = room
            for number in range(floors[room] - 1, floors[target], -1):
                passage = f"|{target}|{number}"
                if passage not in nodes[number]:
                    nodes[number].append(passage)
                arrows.add((upper, passage))
                upper = passage
            arrows.add((upper, target))
    return nodes, arrows


def place(nodes: Floors, architecture: Architecture) -> dict[str, Box]:
    """Return the place of each node: boxes spread evenly, each standing on its floor."""
    boxes = {}
    y = 112.0
    for floor in reversed(nodes):
        rooms = [node for node in floor if not node.startswith("|")]
        spare = WIDTH - 2 * MARGIN - PASSAGE * (len(floor) - len(rooms)) - 22 * (len(floor) - 1)
        sizes = fit_sizes(rooms, architecture, spare)
        if floor is nodes[0] and len(rooms) == 1:
            sizes[rooms[0]] = (WIDTH - 2 * MARGIN, sizes[rooms[0]][1])  # the foundation
        ceiling = max(height for _, height in sizes.values())
        taken = sum(sizes.get(node, (PASSAGE, 0))[0] for node in floor)
        gap = (WIDTH - 2 * MARGIN - taken) / (len(floor) + 1)
        x = MARGIN + gap
        for node in floor:
            width, height = sizes.get(node, (PASSAGE, ceiling))
            boxes[node] = Box(round(x, 1), y + ceiling - height, width, height)
            x += width + gap
        y += ceiling + STOREY_GAP
    return boxes


def part_lines(parts: list[str]) -> list[str]:
    """Return the names of a room's parts, up to three in a line."""
    n_lines = math.ceil(len(parts) / 3)
    size = math.ceil(len(parts) / max(1, n_lines))
    return [" · ".join(parts[first : first + size]) for first in range(0, len(parts), size or 1)]


def fit_sizes(
    rooms: list[str], architecture: Architecture, spare: float
) -> dict[str, tuple[int, int]]:
    """Return widths and heights of a floor's boxes: as few rows of windows as fit its width."""
    sizes = {}
    for n_rows in range(2, 50):
        for room in rooms:
            notes = part_lines(architecture.parts[room])
            texts = [0.7 * NAME_PX * len(room), *(0.54 * NOTE_PX * len(note) for note in notes)]
            n_columns = math.ceil(architecture.windows[room] / n_rows)
            width = round(max(*texts, n_columns * PITCH, 4 * PITCH))
            n_filled = math.ceil(architecture.windows[room] / (width // PITCH))
            height = NAME_PX + 10 + NOTE_STEP * len(notes) + n_filled * PITCH
            sizes[room] = (2 * PAD - PITCH + WINDOW + width, 2 * PAD - PITCH + WINDOW + height)
        if sum(width for width, _ in sizes.values()) <= spare:
            break
    return sizes


def arrange(
    nodes: Floors, arrows: set[tuple[str, str]], architecture: Architecture
) -> tuple[Floors, dict[str, Box]]:
    """Order each floor so that few arrows cross and none is longer than it must be."""

    def cost(candidate: Floors) -> tuple[float, Floors]:
        boxes = place(candidate, architecture)
        lines = [(boxes[upper], boxes[lower]) for upper, lower in sorted(arrows)]
        crossings = sum(
            a.foot == c.foot and (a.centre - c.centre) * (b.centre - d.centre) < 0
            for (a, b), (c, d) in itertools.combinations(lines, 2)
        )
        distance = sum(abs(a.centre - b.centre) for a, b in lines)
        return crossings * 300 + distance, candidate

    best = cost(nodes)
    for _ in range(6):
        before = best[0]
        for number in range(len(nodes)):
            options = (
                [*best[1][:number], list(order), *best[1][number + 1 :]]
                for order in itertools.permutations(sorted(best[1][number]))
            )
            best = min(best, min(map(cost, options)))
        if best[0] == before:
            break
    return best[1], place(best[1], architecture)


# Drawing


def draw(architecture: Architecture) -> str:
    """Return the picture as SVG."""
    imports = reduce_imports(architecture.imports)
    numbers = floor_numbers(imports)
    nodes, arrows = add_passages(imports, numbers)
    nodes, boxes = arrange(nodes, arrows, architecture)
    run = set().union(*(direct | below for direct, below in architecture.stages.values()))
    rows = [room for floor in reversed(nodes) for room in floor if room in run]
    colours = {room: FLOOR_COLOURS[number % len(FLOOR_COLOURS)] for room, number in numbers.items()}
    table_y = max(box.foot for box in boxes.values()) + 54
    height = table_y + 192 + ROW * len(rows)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'width="{WIDTH}" role="img" aria-label="Rooms of src/hpa and their imports">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="18"/>',
            label(MARGIN, 48, "Rooms of src/hpa, from the ground up", "name"),
            label(MARGIN, 80, f"an arrow is an import · a window is {LINES_PER_WINDOW} lines"),
            *map(rule, sorted({box.foot for box in boxes.values()})),
            *(draw_arrow(upper, lower, arrows, boxes) for upper, lower in sorted(arrows)),
            *(
                draw_room(each, architecture, boxes[each], colours[each])
                for each in sorted(numbers)
            ),
            *draw_table(rows, architecture, colours, table_y),
            "</svg>\n",
        ]
    )


def draw_room(room: str, architecture: Architecture, box: Box, colour: str) -> str:
    """Return a box with the room's name, its parts and its windows."""
    x, y = box.x + PAD, box.y + PAD + NAME_PX
    lines = [label(x, y - 4, room, "name")]
    y += 10
    for note in part_lines(architecture.parts[room]):
        lines.append(label(x, y + NOTE_PX - 5, note))
        y += NOTE_STEP
    n_columns = int((box.width - 2 * PAD + PITCH - WINDOW) // PITCH)
    for number in range(architecture.windows[room]):
        row, column = divmod(number, n_columns)
        place = f'x="{x + column * PITCH:g}" y="{y + row * PITCH:g}"'
        lines.append(f'<rect {place} width="{WINDOW}" height="{WINDOW}" rx="2.5" fill="{colour}"/>')
    wall = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"'
    return "\n".join(
        [
            f'<g data-room="{room}" data-windows="{architecture.windows[room]}">',
            f'<rect class="wall" {wall} rx="9" stroke="{colour}"/>',
            *lines,
            "</g>",
        ]
    )


def draw_arrow(upper: str, lower: str, arrows: set[tuple[str, str]], boxes: dict[str, Box]) -> str:
    """Return a curve from the foot of a box to the top of a box on the next floor."""
    leave = port(upper, [b for a, b in arrows if a == upper], lower, boxes)
    arrive = port(lower, [a for a, b in arrows if b == lower], upper, boxes)
    start, end = boxes[upper].foot, boxes[lower].y
    middle = (start + end) / 2
    curve = f"M{leave:g} {start:g}C{leave:g} {middle:g} {arrive:g} {middle:g} {arrive:g}"
    if lower.startswith("|"):
        return f'<path class="arrow" d="{curve} {end:g}V{boxes[lower].foot:g}"/>'
    head = f'<path class="head" d="M{arrive:g} {end - 1:g}l-6.5 -13h13z"/>'
    return f'{head}<path class="arrow" d="{curve} {end - 11:g}"/>'


def port(node: str, others: list[str], other: str, boxes: dict[str, Box]) -> float:
    """Return where an arrow meets a box: ports are in the order of the boxes at the other ends."""
    box = boxes[node]
    if node.startswith("|"):
        return box.centre
    ranked = sorted(others, key=lambda each: (boxes[each].centre, each))
    step = min(34.0, (box.width - 30) / len(ranked))
    return round(box.centre + (ranked.index(other) - (len(ranked) - 1) / 2) * step, 1)


def draw_table(
    rows: list[str], architecture: Architecture, colours: dict[str, str], y: float
) -> list[str]:
    """Return a table with a dot for each room that a stage runs: full if its script imports it."""
    lines = [label(MARGIN, y, "Rooms that a stage runs", "name")]
    left, y = MARGIN + 160, y + 130
    step = (WIDTH - MARGIN - left - 40) / len(architecture.stages)
    for row, room in enumerate(rows):
        lines += [rule(y + row * ROW), label(MARGIN, y + (row + 0.5) * ROW + 8, room)]
    for column, (stage, (direct, below)) in enumerate(architecture.stages.items()):
        x = left + (column + 0.5) * step
        lines.append(f'<g transform="rotate(-45 {x:g} {y - 16:g})">{label(x, y - 16, stage)}</g>')
        for row, room in enumerate(rows):
            radius, fill = (7.5, colours[room]) if room in direct else (6, "none")
            if room in direct | below:
                lines.append(
                    f'<circle cx="{x:g}" cy="{y + (row + 0.5) * ROW:g}" r="{radius}" '
                    f'fill="{fill}" stroke="{colours[room]}" stroke-width="2.5"/>'
                )
    note = "full: imported by the script; hollow: by the rooms that it imports"
    return [*lines, label(MARGIN, y + len(rows) * ROW + 36, note)]


def rule(y: float) -> str:
    """Return a thin line from margin to margin."""
    return f'<path class="rule" d="M{MARGIN} {y:g}H{WIDTH - MARGIN}"/>'


def label(x: float, y: float, text: str, style: str = "note") -> str:
    """Return a line of text."""
    return f'<text class="{style}" x="{x:g}" y="{y:g}">{text}</text>'


if __name__ == "__main__":
    main()
