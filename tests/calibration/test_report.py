"""The report says what was found, hides nothing that was left out, and takes no text for markup."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from acquisition.record.files import write_sidecar
from acquisition.types import Fate, StreamLedger
from calibration.outcome import recorded_ledgers
from calibration.quality import TrialQuality
from calibration.report import words
from calibration.report.page import to_html, write_report
from calibration.report.summary import (
    FitFigures,
    HeldOutTrial,
    Score,
    SourceScore,
    Summary,
    summarise,
    to_json,
)
from calibration.types import Consent, DisplayTiming, Report, SessionRecord, TrialRecord
from calibration.verdict import VerdictCode
from models.config import AnswerConfig
from models.conformal import NEVER

CLASSES = ("calm", "glad")
ORDER = ("calm", "glad") * 6
VOID = {"meta", "path", "use", "rect", "br", "link"}
CH_NAMES = ("FZ", "CZ", "PZ")
WRONG = (4,)  # trials that are not recognised


def held_out(number: int) -> HeldOutTrial:
    label = CLASSES.index(ORDER[number - 1])
    probs = np.array([0.2, 0.8] if (label == 1) != (number in WRONG) else [0.8, 0.2])
    return HeldOutTrial(number, label, probs, np.arange(3.0, 20.0), np.tile(probs, (17, 1)))


def quality(number: int) -> TrialQuality:
    bad = (0.9, 0.8, 0.0) if number == 11 else (0.0, 0.0, 0.1)
    return TrialQuality(
        trial=number,
        n_seconds=20,
        coverage={"eeg": 1.0, "face": 0.9},
        ch_names=CH_NAMES,
        bad_share=bad,
        reasons=tuple("mains" if share else "" for share in bad),
        face_found=0.7,
    )


def trial(number: int, **changes) -> TrialRecord:
    rated = (5, 4) if number != 3 else (None, None)  # not rated in time
    answer = Report(ORDER[number - 1] if number != 2 else "calm", *rated)
    begin = 100.0 + 50 * number
    return replace(TrialRecord(number, ORDER[number - 1], begin, begin + 20, answer), **changes)


def made(*, subject="S01", n_used=10, is_simulated=False, **fit_changes) -> Summary:
    """Twelve planned: ten used, the eleventh rejected, the twelfth skipped; the first begun twice."""
    trials = (trial(1, state="repeated"), *(trial(n) for n in range(1, 12)), trial(12, state="skipped"))
    record = SessionRecord(
        subject=subject,
        session=1,
        classes=CLASSES,
        seed=1,
        consent=Consent(("eeg", "face"), given_at="2026-03-02T10:11:12+01:00"),
        trials=trials,
        recordings=(Path("sub-S01_ses-01_task-calibration_run-01.xdf"),),
        overridden=("disk",),
        timing=(DisplayTiming("trial_start/calm/1", 1 / 60, 1200, 3),),
        order=ORDER,
        settings={"stimulus_s": 20.0},
        is_simulated=is_simulated,
    )
    used = tuple(held_out(n) for n in range(1, n_used + 1))
    true = [one.label for one in used]
    all_right, none_right = Score.of(true, true), Score.of(true, [1 - label for label in true])
    fit = FitFigures(
        classes=CLASSES,
        labels="intended",
        trials=used,
        shuffled=tuple([0.5] * 190 + [0.8] * 9),
        sources=(
            SourceScore("others", "other people's", none_right),
            SourceScore("own", "this session's", all_right),
        ),
        curve=(none_right, all_right),
        alone={"eeg": none_right, "face": all_right},
        removed={"eeg": all_right, "face": none_right},
        base_model=none_right,
        excluded={11: "EEG: 2 of 3 electrodes bad for more than half of it, mostly mains"},
        fit_seconds=3.25,
    )
    return summarise(record, replace(fit, **fit_changes), [quality(n) for n in range(11, 0, -1)], made_at="")


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects texts, tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return to_html(made())


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def test_the_page_needs_nothing_but_itself(page):
    found = outline(page)
    assert not {"script", "link", "img", "iframe", "image"} & {tag for tag, _ in found.tags}
    assert "://" not in page
    assert all(ref.startswith("#") for ref in re.findall(r'href="([^"]*)"', page))
    assert all(ref.startswith("#") for ref in re.findall(r"url\(([^)]*)\)", page))
    assert not any(name.startswith("on") for _, attrs in found.tags for name in attrs)


def test_ids_are_unique_and_every_reference_meets_one(page):
    found = outline(page)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', page)) <= set(ids)


def test_it_answers_in_the_order_a_reader_asks(page):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[0] == "Is it better than guessing?"
    assert titles[-2:] == ["What was excluded, and why?", "Methods"]
    assert page.index("Verdict: weak") < page.index("not for workplaces") < page.index(titles[0])
    assert len(titles) == 11


def test_nothing_that_was_left_out_is_hidden(page):
    assert "12 planned, 11 shown to their end, 1 restarted, 10 used, 2 excluded" in page
    assert "9 of 10 trials" in page
    assert "2 more were excluded" in page
    assert "EEG: 2 of 3 electrodes bad for more than half of the trial, mostly mains" in page
    assert "skipped by the participant" in page


def test_simulated_data_is_said_first_and_only_where_it_is_true(page):
    assert words.SIMULATED.split(":")[0] not in page
    simulated = to_html(made(is_simulated=True))
    assert simulated.index("Simulated data: the signals come from") < simulated.index(
        "Verdict on simulated data"
    )


def test_texts_from_outside_stay_texts():
    hostile = '<script>alert("x")</script>'
    fit_classes = (hostile, "g$l_{a}d & \u202e\x07")
    summary = made(subject=hostile, classes=fit_classes)
    html = to_html(summary)
    found = outline(html)
    assert "script" not in {tag for tag, _ in found.tags}
    assert "\u202e" not in html
    assert "\x07" not in html
    assert any("alert" in text for text in found.texts)


def test_a_model_that_may_be_guessing_is_not_to_be_trusted():
    html = to_html(made(shuffled=(1.0,) * 199))
    assert f"Verdict: {VerdictCode.NOT_DISTINGUISHABLE}" in html
    assert html.count("Do not trust this model.") == 1


def test_without_a_usable_trial_there_still_is_a_report(tmp_path):
    summary = made(
        n_used=0, shuffled=(), sources=(), curve=(), alone={}, removed={}, base_model=None, excluded={}
    )
    html, found = write_report(summary, tmp_path)
    assert "No trial could be used. 12 more were excluded." in html.read_text(encoding="utf-8")
    data = json.loads(found.read_text(encoding="utf-8"))
    assert data["balanced_accuracy"] is None
    assert data["trials_used"] == 0
    assert data["trials_rejected"] == 12


def test_the_same_summary_gives_the_same_bytes_and_no_part_is_left(tmp_path):
    first = [path.read_bytes() for path in write_report(made(), tmp_path)]
    assert [path.read_bytes() for path in write_report(made(), tmp_path)] == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_json_has_the_figures_under_stable_names():
    data = to_json(made())
    json.dumps(data, allow_nan=False)
    expected = {
        "version": 2,
        "simulated": False,
        "verdict": VerdictCode.WEAK,
        "trusted": True,
        "balanced_accuracy": 0.9,
        "chance": 0.5,
        "chance_threshold": 0.9,
        "chance_threshold_n_correct": 9,
        "p_permutation": 1 / 200,
        "trials_used": 10,
        "trials_correct": 9,
        "trials_rejected": 2,
        "confusion": [[5, 0], [1, 4]],
        "base_model_accuracy": 0.0,
        "fit_seconds": 3.25,
    }
    assert {name: data[name] for name in expected} == expected
    assert data["wilson"] == pytest.approx([0.596, 0.982], abs=0.001)
    assert data["quality"][10]["electrodes"]["FZ"] == {"bad_share": 0.9, "reason": "mains"}
    assert data["held_out"][3]["predicted"] == "calm"
    assert data["agreement"] == {"n_answered": 11, "n_agreed": 10}


ANSWERS = AnswerConfig(0.85, 0.5, 0.6, 0.18, 0.7, 0.04, 12, 120)


def test_sets_and_risk_are_of_the_held_out_trials():
    data = to_json(made(answers=ANSWERS))["answers"]
    assert data["others"]["abstain_below"] == 0.6
    ninety, eighty = data["sets"]
    assert (ninety["n_inside"], ninety["n_trials"], ninety["mean_size"]) == (10, 10, 2.0)
    assert (eighty["n_inside"], eighty["mean_size"]) == (9, 1.0)
    assert (ninety["own"], ninety["attainable"]) == (pytest.approx(0.8), pytest.approx(10 / 11))
    assert (eighty["own"], eighty["attainable"]) == (pytest.approx(0.2), pytest.approx(9 / 11))
    curve = {"needed": [0.8], "answered": [1.0], "error": [pytest.approx(0.1)], "n_trials": [10]}
    assert data["risk_coverage"] == curve


def test_when_it_answers_is_said_with_what_it_rests_on():
    said = words.answer_words(made(answers=ANSWERS))
    assert said.startswith("An answer needs a top probability of 60 %. Here 100 % of the held-out windows")
    assert "of these answers 10 % are wrong (10 trials; the dot)" in said
    assert "profiles of 12 other subjects (120 trials) 70 % of the windows had that, and 18 % of" in said
    assert said.endswith("multiples of 1/11.")
    lower = words.answer_words(made(answers=replace(ANSWERS, abstain_below=0.25)))
    assert lower.startswith("An answer needs a top probability of 50 %.")
    assert "lower, 25 %, and not in force" in lower
    assert "too rarely" in words.answer_words(made(answers=replace(ANSWERS, set_90=0.1)))
    assert "no test of them" in words.answer_words(made())
    assert "it never answers" in words.answer_words(made(answers=replace(ANSWERS, abstain_below=NEVER)))


def test_the_profile_is_compared_with_the_base_model_on_the_same_trials():
    n, right = 10, np.array(made().score.right)  # the profile has nine right
    same, weaker = Score.of([0] * n, 1 - right), Score.of([0] * n, [1] * n)
    assert to_json(made(base_model=weaker))["against_base_model"] == {"n_won": 9, "n_lost": 0, "p": 0.5**9}
    assert to_json(made(base_model=same))["against_base_model"] == {"n_won": 0, "n_lost": 0, "p": 1.0}
    assert to_json(made(base_model=None))["against_base_model"] is None
    assert "is better than the base model" in words.against_base(made(base_model=weaker))
    assert "nothing here shows" in words.against_base(made(base_model=same))
    few = Score.of([0] * n, np.where(np.cumsum(right) <= 2, 1, 1 - right))
    assert "corrects 2 trials and makes 0 wrong" in (said := words.against_base(made(base_model=few)))
    assert "does not show it to be better" in said
    assert "does not know these emotions" in words.against_base(made(base_model=None))
    assert "(one-sided sign test, p = 0.25)" in to_html(made(base_model=few))


def scores(with_eeg: str, without: str) -> str:
    """Words for the results of trials, + right and - wrong, with EEG and without."""
    summary = made(n_used=len(with_eeg))
    trials = tuple(
        replace(one, label=one.predicted if right == "+" else 1 - one.predicted)
        for one, right in zip(summary.fit.trials, with_eeg, strict=True)
    )
    right = tuple(one == "+" for one in without)
    removed = Score(len(right), sum(right), 0.5, (0.0, 1.0), right)
    return words.does_eeg_add(
        replace(summary, fit=replace(summary.fit, trials=trials, removed={"eeg": removed}))
    )


def test_the_control_without_eeg_says_whether_eeg_adds_anything():
    assert "Nothing here shows that EEG adds anything" in scores("++++++++--", "++++++++--")
    assert "EEG corrects 3 trials and makes 0 wrong (one-sided sign test, p = 0.12): too few" in scores(
        "+++++++---", "++++------"
    )
    assert "(one-sided sign test, p = 0.031): it adds to the rest" in scores("++++++++++", "+++++-----")
    assert "not used" in words.does_eeg_add(replace(made(), modalities=("face",)))


def test_markers_are_right_to_a_frame_where_a_display_was_measured():
    assert "accurate to ±17 ms. 3 of 1200 frames came late" in words.timing_words(made().record.timing)
    assert "photodiode" in words.timing_words(made().record.timing)
    assert "No display was measured" in words.timing_words(())


def test_consent_is_told_without_a_name():
    told = words.consent_words(made())
    assert "Consented to: Brain signals (EEG), Face (camera)." in told
    assert "neither recorded nor used: Eyes, Voice (microphone)" in told
    assert "Neither raw video nor raw sound is kept." in told
    assert "Consent given 2026-03-02 09:11 UTC (notice version 1)" in told
    assert "overridden: disk" in told


def test_a_trial_that_was_never_shown_is_counted_as_left_out():
    summary = made()
    record = SessionRecord("S01", 1, CLASSES, 1, summary.record.consent, summary.trials[:3], order=ORDER)
    short = summarise(record, replace(summary.fit, trials=summary.fit.trials[:3]), [])
    assert [one.number for one in short.excluded] == list(range(4, 13))
    assert short.excluded[0].reason == "not shown: the session ended first"


def test_chance_is_told_in_trials_where_emotions_are_equally_frequent_and_in_recall_elsewhere():
    assert "9 or more of 10 trials correct (balanced accuracy 90 %)" in words.chance_words(made())
    assert "Of 199 fits on shuffled labels none did as well (p = 0.005)" in words.chance_words(made())
    assert "Guessing reaches a balanced accuracy of" in words.chance_words(made(n_used=9))
    assert "not even a perfect result" in words.chance_words(made(n_used=3))


def test_what_became_of_the_samples_is_read_from_the_sidecars_and_told(tmp_path):
    ledger = StreamLedger("Muse", "eeg", n_received=2560, n_used=2304, decodable_s=9.0)
    ledger.note(Fate.OVERLAP, 256, 1.0)
    write_sidecar(tmp_path / "a.xdf", {"ledger": [asdict(ledger)]})
    (tmp_path / "b.json").write_text('{"ledger": [{"name": "old"}]}')
    assert recorded_ledgers([tmp_path / "a.xdf", tmp_path / "b.xdf", tmp_path / "c.xdf"]) == [ledger]
    summary = replace(made(), ledgers=(ledger,))
    assert to_json(summary)["ledger"][0]["n_with"]["overlap"] == 256
    page = to_html(summary)
    assert "2,304" in page
    assert "256 samples dropped" in page
