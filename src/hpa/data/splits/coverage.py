"""Label coverage: move whole groups until each part has all labels that it can have.

A greedy search nearly always suffices. If it fails, or would make the next division fail, a
mixed-integer program decides. That takes fractions of a second, as only rare labels enter it, and
no more of them than `MAX_PAIRS` says.
Without the program, 2 to 9 of 84 pairs of label and split stay empty in most sets of 25 to 40
groups with 28 rare labels (`test_all_labels_of_few_groups_are_in_train_val_and_test`).
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack, kron

MAX_PAIRS = 400
"""Largest number of pairs of a rare label and a part for the program: 300 take 0.1 s, 500 take
16 s, 900 take minutes. Beyond, the greedy search decides: of 300 labels in 100 groups of 30 images,
it leaves 35 of 810 pairs empty where the program leaves 18 in half a minute."""


def spread(part: np.ndarray, counts: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Move whole groups until each part has as many groups of each label as it needs.

    The rarest label comes first. Of its groups, the one in the part with most groups of the label
    moves; ties go to the group with fewest labels, then fewest images, then the first. No move
    takes a group that its part needs, so a label may stay short; `complete` resolves that.

    Args:
        part: int[G], from 0 to P-1.
        counts: int[G,C], images of each label in each group.
        need: int[P,C], groups.

    Returns:
        int[G], the new parts.

    >>> counts = np.array([[1, 0], [1, 0], [0, 5], [1, 2], [0, 3]])
    >>> spread(np.array([0, 1, 0, 0, 0]), counts, np.ones((2, 2), int)).tolist()
    [0, 1, 0, 0, 1]
    """
    part, present = part.copy(), (counts > 0).astype(int)
    held = _held(part, present, len(need))
    cost = np.stack([present.sum(axis=1), counts.sum(axis=1)])
    for label in np.argsort(present.sum(axis=0), kind="stable"):
        for number in range(len(need)):
            while held[number, label] < need[number, label]:
                free = _spared(held - need, part, present)
                found = np.flatnonzero(free & (present[:, label] > 0) & (part != number))
                if not len(found):
                    break
                keys = (cost[1, found], cost[0, found], -held[part[found], label])
                chosen = found[np.lexsort(keys)[0]]
                held[part[chosen]] -= present[chosen]
                held[number] += present[chosen]
                part[chosen] = number
    return part


def movable(part: np.ndarray, present: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Return which groups their parts can spare, bool[G].

    Args:
        part: int[G], from 0 to P-1.
        present: bool[G,C], whether a group has a label.
        need: int[P,C], groups.

    >>> movable(np.array([0, 0, 1]), np.ones((3, 1), bool), np.ones((2, 1), int)).tolist()
    [True, True, False]
    """
    return _spared(_held(part, present, len(need)) - need, part, present)


def _held(part: np.ndarray, present: np.ndarray, n_parts: int) -> np.ndarray:
    return np.array([present[part == number].sum(axis=0) for number in range(n_parts)])


def _spared(spare: np.ndarray, part: np.ndarray, present: np.ndarray) -> np.ndarray:
    return ((spare[part] >= present) | (present == 0)).all(axis=1)


def complete(
    part: np.ndarray, counts: np.ndarray, n_rooms: np.ndarray, favoured: np.ndarray
) -> np.ndarray:
    """Move as few images as possible so that as many labels as possible are in every room.

    Rooms are the parts into which a part will be divided later: when test is taken, the remainder
    has two rooms, train and val. A label with fewer groups than rooms should be in two of them.
    Nothing moves if the greedy search finds rooms.

    Label sets can make it impossible: seven labels of three groups each, arranged as the points
    and lines of the Fano plane, cannot all be in both of two parts. Then as few as possible stay
    short, with priority for favoured labels.

    Args:
        part: int[G], from 0 to P-1.
        counts: int[G,C], images of each label in each group.
        n_rooms: int[P]; 0 for a part that needs no label.
        favoured: bool[C].

    Returns:
        int[G], the new parts.

    >>> counts = np.array([[1, 0], [1, 1], [0, 1]])
    >>> complete(np.zeros(3, int), counts, np.array([1, 1]), np.ones(2, bool)).tolist()
    [0, 1, 0]
    """
    owner = np.repeat(np.arange(len(n_rooms)), np.maximum(n_rooms, 1))
    room = _rooms(part, counts, owner)
    counted = n_rooms[owner] > 0
    n_groups = (counts > 0).sum(axis=0)
    everywhere = n_groups >= counted.sum()
    wanted = np.where(everywhere, counted.sum(), np.minimum(n_groups, 2))
    held = _held(room, counts > 0, len(owner))[counted] > 0
    if (held.sum(axis=0) >= wanted).all():
        return part
    # A label with at least `wanted.sum()` groups can always spare one: greedy search suffices.
    rare = n_groups < wanted.sum()
    free = (counts[:, rare] > 0).any(axis=1)
    if free.any() and rare.sum() * counted.sum() <= MAX_PAIRS:
        lack = np.where(favoured, 1 + wanted[~favoured].sum(), 1)
        wanted = np.where(rare, wanted, 0)
        room[free] = _solve(room[free], counts[free], owner, counted, wanted, lack)
    return owner[spread(room, counts, np.outer(counted, everywhere))]


def _rooms(part: np.ndarray, counts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Divide the groups of each part among its rooms, greedily, given each room's part int[R]."""
    room = np.zeros(len(part), dtype=int)
    for number in np.unique(part):
        members, own = np.flatnonzero(part == number), np.flatnonzero(owner == number)
        need = np.ones((len(own), counts.shape[1]), dtype=int)
        room[members] = own[spread(np.arange(len(members)) % len(own), counts[members], need)]
    return room


def _solve(
    room: np.ndarray,
    counts: np.ndarray,
    owner: np.ndarray,
    counted: np.ndarray,
    wanted: np.ndarray,
    lack: np.ndarray,
) -> np.ndarray:
    """Find the rooms int[G] that leave fewest labels short, and of those the nearest to `room`.

    The variables are x[G,R], 1 if a group is in a room; z[C,R], 1 if a label is in a counted room;
    and s[C], the number of rooms that a label lacks. A group is in one room; z is at most the
    number of groups with the label in the room; z summed over rooms plus s is at least `wanted`.
    The objective is the sum of s, weighted by `lack`, then the number of images that change part.
    """
    (n_groups, n_labels), n_parts = counts.shape, len(owner)
    n_x, n_z = n_groups * n_parts, n_labels * counted.sum()
    moved = (owner != owner[room][:, None]) * (1 + counts.sum(axis=1, keepdims=True))
    one_room = kron(eye_array(n_groups), np.ones((1, n_parts)))
    brought = kron(csr_array((counts > 0).T.astype(float)), eye_array(n_parts).tocsr()[counted])
    in_rooms = kron(eye_array(n_labels), np.ones((1, counted.sum())))
    solved = milp(
        np.concatenate([moved.ravel(), np.zeros(n_z), lack * (1 + moved.sum())]),
        integrality=np.repeat([1, 0], [n_x, n_z + n_labels]),
        bounds=Bounds(0, np.concatenate([np.ones(n_x + n_z), wanted])),
        constraints=[
            LinearConstraint(hstack([one_room, csr_array((n_groups, n_z + n_labels))]), 1, 1),
            LinearConstraint(hstack([brought, -eye_array(n_z), csr_array((n_z, n_labels))]), 0),
            LinearConstraint(
                hstack([csr_array((n_labels, n_x)), in_rooms, eye_array(n_labels)]), wanted
            ),
        ],
        # A number of branches, as a time limit would not be reproducible.
        options={"node_limit": 10_000, "mip_rel_gap": 0},
    )
    if solved.x is None:
        return room
    return solved.x[:n_x].reshape(n_groups, n_parts).argmax(axis=1)
