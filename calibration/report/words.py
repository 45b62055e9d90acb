"""What the report says in sentences: macros of ``assets/pages/words.txt``.

Each takes a `Summary`, ``timing_words`` the display's timing; it returns a paragraph, empty where there is
nothing to say.
"""

from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from acquisition.text import counted, percent
from assets import PAGES
from calibration.consent import TITLES
from calibration.report.summary import Score
from calibration.verdict import ALPHA, DO_NOT_TRUST, VerdictCode
from models.conformal import too_rarely_covered

SIMULATED = (
    "Simulated data: the signals come from the program's own simulator, and no figure here is valid for real "
    "people."
)
USE = {
    VerdictCode.NOT_DISTINGUISHABLE: f"{DO_NOT_TRUST.capitalize()}.",
    VerdictCode.WEAK: "The profile is better than guessing, but often wrong.",
    VerdictCode.USABLE: "The profile may be demonstrated, within the limits below.",
}


def moment(stamp: str) -> str:
    """Return an ISO 8601 time as "2026-03-02 10:30 UTC"; anything else as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time.tzinfo else f"{time:%Y-%m-%d %H:%M}"


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


def out_of(score: Score) -> str:
    return f"{score.n_correct} of {score.n_trials}"


@cache
def _texts() -> Any:
    texts = Environment(loader=FileSystemLoader(PAGES), undefined=StrictUndefined)
    for function in (counted, moment, out_of, p_value, percent, too_rarely_covered):
        texts.globals[function.__name__] = function
    texts.globals |= {"ALPHA": ALPHA, "titles": TITLES}
    return texts.get_template("words.txt").module


def _said(macro: str, of: Any) -> str:
    return " ".join(getattr(_texts(), macro)(of).split())


trial_counts, agreement = partial(_said, "trial_counts"), partial(_said, "agreement")
chance_words, answer_words = partial(_said, "chance_words"), partial(_said, "answer_words")
does_eeg_add, against_base = partial(_said, "does_eeg_add"), partial(_said, "against_base")
timing_words, consent_words = partial(_said, "timing_words"), partial(_said, "consent_words")
