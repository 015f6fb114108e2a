"""search/report.html: what a reader finds at its top, and that nothing is cut at any width."""

import re
from pathlib import Path
from typing import Any

import pytest

from hpa.search.axes import log_ticks
from hpa.search.report import study_page
from hpa.search.study import begin_study
from hpa.search.worker import work
from support.browsers import needs_chromium
from support.racing import gamma_as_value
from support.search_workspaces import make_workspace, small_params
from support.studies import LONG_NAMES, confirmed, mixed_study

WIDTHS = (1440, 390)
TEXTS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => ({
  box: plot.getBoundingClientRect().toJSON(),
  texts: [...plot.querySelectorAll('svg text')]
    .filter(e => e.textContent.trim() && getComputedStyle(e).fill !== 'rgba(0, 0, 0, 0)')
    .filter(e => getComputedStyle(e).fillOpacity > 0 && e.getBoundingClientRect().width)
    .map(e => ({text: e.textContent, ...e.getBoundingClientRect().toJSON()})),
}))"""


@pytest.fixture(autouse=True)
def workspace(packed_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_workspace(tmp_path / "workspace", packed_world))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def text_of(page: str) -> str:
    """The words of a page, without scripts and styles."""
    without = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without).split())


def test_the_top_says_what_was_searched_on_which_data_and_with_what_result() -> None:
    study = mixed_study(small_params(**{"search.n_trials": 6}))
    confirmation = confirmed(study)
    text = text_of(study_page(study, confirmation))
    top = text[: text.index("History ↑")]
    assert "5 complete, 1 pruned, 1 failed or interrupted; each trains for 4 steps" in top
    assert "simulated images" in top
    assert "16 train and 16 val images of 32 × 32 pixels" in top
    assert "95 % interval -0.0100 to +0.0900; ahead with 1 of 2 seeds" in top
    assert "not shown to be better" in top
    assert confirmation.command in top
    assert "loss.gamma" in top


def test_axes_are_in_words() -> None:
    study = mixed_study(small_params(**{"search.n_trials": 6, "search.space": LONG_NAMES}))
    page = study_page(study, confirmed(study))
    for title in ("macro F1, cross-fitted", "share of the variation"):
        assert f'"text":"{title}"' in page
    assert '"text":"train: learning rate (logarithmic)"' in page
    assert '"text":"loss: alpha"' in page
    assert "val\\u002fmacro_f1" not in page
    assert "Objective Value" not in page


def test_the_page_opens_offline_and_a_failure_is_shown_as_text() -> None:
    study = mixed_study(small_params(**{"search.n_trials": 6}))
    page = study_page(study, confirmed(study))
    assert page.index("plotly.js v") < page.index("Plotly.newPlot(")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    assert "the loss &lt;b&gt;diverged" in page


def test_a_study_of_one_trial_has_a_page_without_figures_that_need_more() -> None:
    study = begin_study(small_params(**{"search.n_trials": 1}))
    work(study, gamma_as_value)
    page = study_page(study, confirmed(study))
    assert "the search found nothing better" in page
    for title, shown in {"History": True, "Parameters": True, "Importances": False}.items():
        assert (f"<h2>{title}" in page) == shown


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0003, 0.01, [0.001, 0.01]),
        (0.001, 0.1, [0.001, 0.01, 0.1]),
        (0.02, 0.06, [0.02, 0.05]),
        (0.03, 0.04, [0.03, 0.04]),
    ],
)
def test_a_logarithmic_axis_has_at_least_two_ticks(
    low: float, high: float, expected: list[float]
) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)


def overlaps(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Tell whether two boxes share more than a pixel."""
    wide = min(a["right"], b["right"]) - max(a["left"], b["left"])
    high = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    return bool(wide > 1 and high > 1)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "params",
    [
        {"search.n_trials": 1},
        {"search.n_trials": 8},
        {"search.n_trials": 30, "search.space": LONG_NAMES, "search.study_name": "a" * 60},
    ],
    ids=["one trial", "eight", "long names"],
)
def test_no_text_is_cut_or_overlaps(
    browser: Any, params: dict[str, Any], width: int, tmp_path: Path
) -> None:
    study = mixed_study(small_params(**params))
    path = tmp_path / "report.html"
    path.write_text(study_page(study, confirmed(study)), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[Any] = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(path.as_uri())
    page.locator(".js-plotly-plot").last.wait_for()
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for plot in page.evaluate(TEXTS):
        box, texts = plot["box"], plot["texts"]
        for place, text in enumerate(texts):
            assert text["left"] >= box["left"] - 1, text
            assert text["right"] <= box["right"] + 1, text
            assert box["top"] - 1 <= text["top"] <= text["bottom"] <= box["bottom"] + 1, text
            crossed = [other["text"] for other in texts[place + 1 :] if overlaps(text, other)]
            assert not crossed, (text, crossed)
    assert not errors
    page.close()
