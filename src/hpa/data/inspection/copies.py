"""Near copies among inspected images, found as the split stage finds them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpa.data.inspection.measuring import Measured
from hpa.data.splits.duplicates import duplicate_groups, scaled_distance


@dataclass(frozen=True)
class Copies:
    """Images that show the same picture, turned or not.

    Attributes:
        names: of the images.
        are_together: whether the groups of the table already hold them together.
    """

    names: tuple[str, ...]
    are_together: bool


def find_copies(
    images: Sequence[Measured], groups: Mapping[str, str], hash_distance: int
) -> list[Copies]:
    """Find the groups of copies, the largest first.

    Images that are blank in all channels look alike, and are none.

    Args:
        images: measured ones.
        groups: of the table, by name of the image.
        hash_distance: `split.hash_distance`.
    """
    seen = [each for each in images if each.hashes and any(f == f for f in each.focus)]
    if len(seen) < 2:
        return []
    hashes = [each.hashes for each in seen]
    numbers = duplicate_groups(hashes, scaled_distance(hashes, hash_distance))
    found: dict[int, list[str]] = defaultdict(list)
    for number, each in zip(numbers.tolist(), seen, strict=True):
        found[number].append(each.name)
    copies = [
        Copies(tuple(names), len({groups.get(name, name) for name in names}) == 1)
        for names in found.values()
        if len(names) > 1
    ]
    return sorted(copies, key=lambda each: -len(each.names))
