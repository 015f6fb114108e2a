"""Non-inferiority test that decides whether model B may replace model A.

"No significant difference" would not do: on few test images no two models differ, and every model
would pass. Instead, the 95 % interval of the paired difference must not reach below a margin that
is stated beforehand (Piaggio et al., JAMA 2012;308:2594, figure 1). The macro margin bounds the
mean over classes; the class margin limits the loss of any one class.
"""

import numpy as np

from hpa.evaluation.headline_metrics import f1_name
from hpa.evaluation.paired_bootstrap import PairedComparison


def objections(
    comparison: PairedComparison, *, macro_margin: float, class_margin: float, min_support: int
) -> list[str]:
    """Return the reasons why B may not replace A, in words; empty if it may.

    Args:
        comparison: of A and B, on the same images.
        macro_margin: macro F1 that may be lost: the interval of B minus A must not reach below
            -macro_margin.
        class_margin: F1 that any class may lose.
        min_support: images of a class below which its loss is ignored.
    """
    (low, high), name = comparison.interval, f1_name(len(comparison.labels))
    reasons = []
    if comparison.too_few:
        reasons.append(f"{name} cannot be compared: {comparison.too_few}")
    if low < -macro_margin:
        reasons.append(
            f"{name} may fall by {-low:.3f}, more than {macro_margin:g}: difference "
            f"{comparison.difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
        )
    losses = comparison.class_f1[0] - comparison.class_f1[1]
    for index in np.argsort(-losses, kind="stable"):
        if comparison.support[index] >= min_support and losses[index] > class_margin:
            before, after = comparison.class_f1[:, index]
            low, high = comparison.class_interval[:, index]
            reasons.append(
                f"{comparison.labels.names[index]} falls by {losses[index]:.3f}, more than "
                f"{class_margin:g}: F1 {before:.3f} to {after:.3f} on "
                f"{comparison.support[index]} images, 95 % interval {low:+.3f} to {high:+.3f}"
            )
    return reasons
