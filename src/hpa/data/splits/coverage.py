"""Every label on every side: whole groups move until no part lacks a label that it could have.

A greedy walk does nearly always. Where it stays short, or would leave the next division short, a
mixed-integer program decides: it needs fractions of a second, as only rare labels enter it.
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack, kron

N_NODES = 10_000
"""Branches after which the search ends with the best it found: a count, as time is no constant."""


def spread(part: np.ndarray, counts: np.ndarray, need: np.ndarray) -> np.ndarray:
    """Move whole groups until each part has as many groups of each label as it needs.

    The rarest label comes first. Of the groups that have it, the one moves whose part has most
    groups of that label; among those the one of fewest labels, then of fewest images, then the
    first. No move takes from a part what the part needs itself, so a label may stay short;
    `complete` then finds what can be had.

    Args:
        part: int[G], from 0 to P-1.
        counts: int[G,C], images of each label in each group.
        need: int[P,C], groups.
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
    """Tell which groups, bool[G], their part can spare: present bool[G,C], need int[P,C]."""
    return _spared(_held(part, present, len(need)) - need, part, present)


def _held(part: np.ndarray, present: np.ndarray, n_parts: int) -> np.ndarray:
    return np.array([present[part == number].sum(axis=0) for number in range(n_parts)])


def _spared(spare: np.ndarray, part: np.ndarray, present: np.ndarray) -> np.ndarray:
    return ((spare[part] >= present) | (present == 0)).all(axis=1)


def complete(
    part: np.ndarray, counts: np.ndarray, n_rooms: np.ndarray, favoured: np.ndarray
) -> np.ndarray:
    """Move as few images as it takes until every label is in every room, or as near as can be.

    A part has rooms, into which it will be divided later: where test is taken from what becomes
    train and val, the rest has two. A label of fewer groups than there are rooms is to be in two,
    so that one of them does not hold it all. Nothing moves where the greedy walk finds rooms.

    Label sets may forbid it: seven labels of three groups each, arranged as the points and lines
    of the Fano plane, cannot all be on both of two sides. Then as few as possible stay short, of
    favoured labels before others.

    Args:
        part: int[G], from 0 to P-1.
        counts: int[G,C], images of each label in each group.
        n_rooms: int[P]; 0 for a part that needs no label.
        favoured: bool[C].
    """
    owner = np.repeat(np.arange(len(n_rooms)), np.maximum(n_rooms, 1))
    room = _rooms(part, counts, owner)
    counted = n_rooms[owner] > 0
    n_groups = (counts > 0).sum(axis=0)
    everywhere = n_groups >= counted.sum()
    wanted = np.where(everywhere, counted.sum(), np.minimum(n_groups, 2))
    if (_n_rooms_with(room, counts, counted) >= wanted).all():
        return part
    # Of a label of so many groups one can always be spared, so that the greedy walk suffices.
    rare = n_groups < wanted.sum()
    free = (counts[:, rare] > 0).any(axis=1)
    if free.any():
        lack = np.where(favoured, 1 + wanted[~favoured].sum(), 1)
        wanted = np.where(rare, wanted, 0)
        room[free] = _solve(room[free], counts[free], owner, counted, wanted, lack)
    return owner[spread(room, counts, np.outer(counted, everywhere))]


def _rooms(part: np.ndarray, counts: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Divide each part's groups among the rooms that it owns, greedily; no group leaves its part.

    Args:
        part: int[G].
        counts: int[G,C].
        owner: int[R], the part of each room.
    """
    room = np.zeros(len(part), dtype=int)
    for number in np.unique(part):
        members, own = np.flatnonzero(part == number), np.flatnonzero(owner == number)
        need = np.ones((len(own), counts.shape[1]), dtype=int)
        room[members] = own[spread(np.arange(len(members)) % len(own), counts[members], need)]
    return room


def _n_rooms_with(room: np.ndarray, counts: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Count the rooms, of those that are counted, in which each label is; returns int[C]."""
    held = [counts[room == number].any(axis=0) for number in np.flatnonzero(counted)]
    return np.sum(held, axis=0, dtype=int)


def _solve(
    room: np.ndarray,
    counts: np.ndarray,
    owner: np.ndarray,
    counted: np.ndarray,
    wanted: np.ndarray,
    lack: np.ndarray,
) -> np.ndarray:
    """Find the rooms int[G] that leave fewest labels short, and of those the nearest to `room`.

    The unknowns are x[G,R], 1 where a group is in a room; z[C,R], 1 where a label is in a counted
    room; and s[C], how many rooms a label lacks. A group is in one room; z is at most the groups
    that bring the label; z over all rooms and s make up what is wanted. Least is to be the sum of
    s, weighed by `lack`, and after it that of the images that change their part.
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
        options={"node_limit": N_NODES, "mip_rel_gap": 0},
    )
    if solved.x is None:
        return room
    return solved.x[:n_x].reshape(n_groups, n_parts).argmax(axis=1)
