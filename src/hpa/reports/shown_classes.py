"""Classes for which a figure or a page has room, if there are many."""

import numpy as np

MAX_CLASSES = 40


def shown_classes(weights: np.ndarray) -> np.ndarray:
    """Return the columns to show, ascending: the `MAX_CLASSES` of the largest weights [C].

    >>> shown_classes(np.array([5, 1])).tolist()
    [0, 1]
    >>> shown_classes(np.arange(300)).min()  # 260 to 299
    np.int64(260)
    """
    return np.sort(np.argsort(-weights, kind="stable")[:MAX_CLASSES])


def shortened(name: str, n: int = 40) -> str:
    """Cut a name of more than `n` characters, for which a figure has no room.

    >>> shortened("Nucleoli fibrillar center", 12)
    'Nucleoli fi…'
    """
    return name if len(name) <= n else f"{name[: n - 1]}…"


def describe_part(n_classes: int, what: str = "with the most test images") -> str:
    """Describe the choice in words; "" if all are shown.

    >>> describe_part(28), describe_part(300)
    ('', 'the 40 of 300 classes with the most test images')
    """
    if n_classes <= MAX_CLASSES:
        return ""
    return f"the {MAX_CLASSES} of {n_classes} classes {what}"
