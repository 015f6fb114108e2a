"""May B replace A? What speaks against it, by a rule that is stated before B is seen.

Non-inferiority, not "no difference was found": few test images find no difference between any two
models, and would let every one pass. So the burden is B's: the 95 % interval of its paired
difference must not reach below what may be lost (Piaggio et al., JAMA 2012;308:2594, figure 1).
The macro margin bounds the whole; the class margin keeps one structure from paying for the others.
"""

import numpy as np

from hpa.evaluation.paired_bootstrap import PairedComparison
from hpa.labels import LABELS


def objections(
    comparison: PairedComparison, *, macro_margin: float, class_margin: float, min_support: int
) -> list[str]:
    """Say in plain words why B may not replace A; nothing where it may.

    Args:
        comparison: of A and B, on the same images.
        macro_margin: macro F1 that may be lost: the interval of B minus A must not reach below
            minus it.
        class_margin: F1 by which no class may fall.
        min_support: images of a class below which its fall says nothing.
    """
    low, high = comparison.interval
    found = []
    if low < -macro_margin:
        found.append(
            f"macro F1 may fall by {-low:.3f}, more than {macro_margin:g}: difference "
            f"{comparison.difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
        )
    falls = comparison.class_f1[0] - comparison.class_f1[1]
    for index in np.argsort(-falls, kind="stable"):
        if comparison.support[index] >= min_support and falls[index] > class_margin:
            before, after = comparison.class_f1[:, index]
            low, high = comparison.class_interval[:, index]
            found.append(
                f"{LABELS[index]} falls by {falls[index]:.3f}, more than {class_margin:g}: F1 "
                f"{before:.3f} to {after:.3f} on {comparison.support[index]} images, 95 % interval "
                f"{low:+.3f} to {high:+.3f}"
            )
    return found
