"""Channels of a data set: names, roles and display colours, in the order of the network's input."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

MAX_CHANNELS = 8
PROTEIN, NUCLEUS, OTHER = "protein", "nucleus", "other"
ROLES = (PROTEIN, NUCLEUS, OTHER)
COLORS = {
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
    "yellow": "#ffff00",
    "cyan": "#00ffff",
    "magenta": "#ff00ff",
    "orange": "#ff8000",
    "white": "#ffffff",
}
"""Display colours by name; any other is written as #rrggbb."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,30}")
"""A name is part of file names, `<Id>_<channel>.png`, and of columns, `<channel>_mean`."""
RESERVED = {"id", "target", "group", "line", "labelled", "folder", "name", "predicted", "url"}
"""Columns of tables that are not channels."""
IMAGE_FILE = "image_file"
"""Field of a request that holds one file of several channels; `NAME` permits no such channel."""


@dataclass(frozen=True)
class Channel:
    """A channel of every image.

    Attributes:
        name: its name in files, tables and pages.
        role: `protein`, the stain whose place is named; `nucleus`; or `other`.
        color: a name of `COLORS` or #rrggbb, in which it is displayed.
        description: the structure that it shows, for people; "" for the role alone.
    """

    name: str
    role: str
    color: str
    description: str = ""

    @property
    def hex(self) -> str:
        """The display colour as #rrggbb."""
        return COLORS.get(self.color, self.color).lower()

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The display colour, each component in [0,1]."""
        red, green, blue = (int(self.hex[place : place + 2], 16) / 255 for place in (1, 3, 5))
        return red, green, blue

    @property
    def shows(self) -> str:
        """Structure that it shows, such as `microtubules` or `nucleus`; "" if unknown."""
        return self.description or ("" if self.role == OTHER else self.role)


@dataclass(frozen=True)
class Channels:
    """All channels, in the order of the last axis of an image.

    Raises:
        ValueError: `problems` finds any.
    """

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        if found := problems(self.channels):
            raise ValueError("; ".join(found))

    def __len__(self) -> int:
        return len(self.channels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def protein(self) -> int:
        """Index of the protein channel."""
        return [channel.role for channel in self.channels].index(PROTEIN)

    @property
    def nucleus(self) -> int | None:
        """Index of the nucleus channel; None without one."""
        roles = [channel.role for channel in self.channels]
        return roles.index(NUCLEUS) if NUCLEUS in roles else None

    def difference(self, other: "Channels") -> str:
        """Describe how other channels differ from these, in a line; "" if they agree."""
        if self.names == other.names:
            return ""
        return f"{', '.join(other.names)} instead of {', '.join(self.names)}"

    def to_json(self) -> list[dict[str, str]]:
        """Return name, role, colour, and the description if there is one."""
        return [{k: v for k, v in asdict(each).items() if v} for each in self.channels]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> "Channels":
        """Read the document of `to_json`, or `fetch.channels` of params.yaml.

        Raises:
            ValueError: it is not a list of channels.
        """
        required, optional = ("name", "role", "color"), ("description",)
        for each in document:
            given = set(each) if isinstance(each, Mapping) else set()
            if not set(required) <= given <= {*required, *optional}:
                raise ValueError(
                    f"{each!r} is not a channel: expected {', '.join(required)}, and optionally "
                    f"{optional[0]}"
                )
        return cls(tuple(Channel(**each) for each in document))


def problems(channels: Sequence[Channel]) -> list[str]:
    """Describe all that is wrong with a list of channels."""
    names = [channel.name.casefold() for channel in channels]
    roles = [channel.role for channel in channels]
    found = []
    if not 1 <= len(channels) <= MAX_CHANNELS:
        found.append(f"{len(channels)} channels, expected 1 to {MAX_CHANNELS}")
    found += [
        f"the name {channel.name!r} is not allowed: expected up to 31 letters, digits, '.', '+' "
        "or '-', and not the name of another column"
        for channel in channels
        if not NAME.fullmatch(channel.name) or channel.name.casefold() in RESERVED
    ]
    found += [
        f"channel {channel.name!r} has the role {channel.role!r}, expected {', '.join(ROLES)}"
        for channel in channels
        if channel.role not in ROLES
    ]
    found += [
        f"channel {channel.name!r} has the color {channel.color!r}, expected #rrggbb or one of "
        f"{', '.join(COLORS)}"
        for channel in channels
        if channel.color not in COLORS and not re.fullmatch("#[0-9a-fA-F]{6}", channel.color)
    ]
    found += [
        f"channel {channel.name!r} has the color black, in which nothing shows"
        for channel in channels
        if channel.color == "#000000"
    ]
    found += [
        f"the name {name!r} is given twice"
        for name in dict.fromkeys(n for n in names if names.count(n) > 1)
    ]
    if roles.count(PROTEIN) != 1:
        found.append(f"{roles.count(PROTEIN)} channels have the role protein, expected one")
    if roles.count(NUCLEUS) > 1:
        found.append(f"{roles.count(NUCLEUS)} channels have the role nucleus, expected at most one")
    return found
