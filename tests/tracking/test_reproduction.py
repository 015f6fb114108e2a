import pytest

from hpa.tracking.reproduction import Verdict

DIFFERENT = {"test/macro_f1": (0.4, 0.5)}


@pytest.mark.parametrize(
    ("verdict", "equal"),
    [
        (Verdict(True, {}, 3), True),
        (Verdict(None, {}, 3), True),  # no training of its own
        (Verdict(False, {}, 3), False),
        (Verdict(True, DIFFERENT, 3), False),
        (Verdict(None, DIFFERENT, 3), False),
    ],
)
def test_a_run_is_reproduced_if_neither_weights_nor_a_metric_differ(
    verdict: Verdict, equal: bool
) -> None:
    assert verdict.equal == equal
