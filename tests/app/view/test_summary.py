"""A session's summary: what there was for how long, by marker and by stream, claiming nothing more."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from filled_store import news

from acquisition.errors import ErrorCode, InputError
from acquisition.quality import ChannelQuality
from acquisition.types import StreamLedger
from app.engine.messages import HealthPart, Mark, Opened, QualityPart
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions
from app.summary import ANSWERED, NOTHING, SessionLog
from app.summary_page import to_html, write_summary
from app.terminal import show_replay
from assets import DEMO_RECORDING
from models.prediction import Prediction


def log_of(*more: object, seconds: float = 20.0) -> SessionLog:
    log = SessionLog()
    for message in (*news(seconds), *more):
        log.take(message)
    return log


def health(time: float, *ledgers: StreamLedger) -> HealthPart:
    by_key = {ledger.name: ledger for ledger in ledgers}
    return HealthPart(time, {}, {}, {}, 0, 3, 0.0, 0.0, "", None, (), 0, ledgers=by_key)


def test_nothing_is_told_of_a_session_that_has_not_opened():
    assert SessionLog().summary() is None


def test_shares_add_up_to_the_session_and_a_prediction_made_twice_counts_once():
    log = log_of()
    before = log.summary()
    for message in news(20.0):  # as after a seek back to the start
        log.take(message)
    summary = log.summary()
    assert summary.shares == before.shares
    assert sum(seconds for _, seconds in summary.shares) == pytest.approx(summary.seconds, abs=0.25)
    shares = dict(summary.shares)
    assert shares[ANSWERED] == summary.hop_s * summary.is_answer.sum()
    assert 0 <= shares[NOTHING] < 1


def test_windows_belong_to_the_marker_before_them_and_equal_markers_together():
    predictions = [message for message in news(20.0) if isinstance(message, Prediction)]
    log = SessionLog()
    log.take(replace(next(m for m in news(20.0) if isinstance(m, Opened)), timeline=None))
    for prediction in predictions[:40]:
        log.take(prediction)
    first = predictions[0].t_end
    for at, text in ((0.9, "a"), (2.9, "b"), (4.9, "a"), (4.9, "affectscope/rest/60")):
        log.take(Mark(first + at, text, "markers"))
    summary = log.summary()
    assert [(one.marker, one.n_windows) for one in summary.answers(together=False)] == [
        *(("a", 8), ("b", 8), ("a", 20))
    ]
    both, _ = summary.answers(together=True)
    assert (both.n_markers, both.n_windows) == (2, 28)
    own = [p.probs["happy"] for p in (*predictions[4:12], *predictions[20:40])]
    assert both.means[summary.labels.index("happy")] == pytest.approx(sum(own) / 28, abs=1e-6)


def test_the_page_says_what_ran_what_is_simulated_and_that_windows_are_not_independent():
    ledger = StreamLedger("Muse <1>", "eeg", n_received=1000, n_used=990)
    page = to_html(log_of(health(0.0, ledger)).summary())
    for said in (
        "Emotion inference active",
        "Simulated data",
        "not independent",
        "Muse &lt;1&gt;",
        "3 windows",
    ):
        assert said in page
    assert "accuracy of" not in page


def test_no_prediction_at_all_is_said_with_its_reason_and_draws_no_course():
    log = SessionLog()
    log.take(next(message for message in news(20.0) if isinstance(message, Opened)))
    log.take(health(0.0, StreamLedger("Muse", "eeg")))
    summary = log.summary()
    assert summary.why_nothing[0] == "EEG: not one sample came"
    assert "not one sample came" in to_html(summary)


def test_electrodes_are_told_in_stretches_with_their_reason():
    log = log_of()
    good, bad = (
        ChannelQuality("CZ", state, "flat" if state == "bad" else "", 0.0) for state in ("good", "bad")
    )
    first = log.summary().times[0] + log.opened.timeline.first
    for second in range(20):
        log.take(QualityPart(first + second, (bad if second >= 12 else good,)))
    quality = [one for one in log.summary().quality if one.ch_names == ("CZ",)]
    assert quality[0].bad_share == (0.0,)
    assert (quality[-1].bad_share, quality[-1].reasons) == ((1.0,), ("flat",))


def test_a_replay_in_the_terminal_writes_tables_of_markers_and_streams(random_model, tmp_path):
    target = tmp_path / "a.csv"
    options = SessionOptions(model=random_model, seconds=6.0, summary=target, headless=True)
    session = ReplaySession(ReplayRequest(DEMO_RECORDING, options))
    show_replay(session, quiet=True)
    rows = list(csv.DictReader(target.open()))
    assert rows[0]["marker"] == "trial_start/disgust"
    assert sum(int(row["n_windows"]) for row in rows) == session.telemetry.n_predictions
    streams = {row["name"]: row for row in csv.DictReader((tmp_path / "a-streams.csv").open())}
    assert int(streams["SimulatedEEG"]["n_used"]) == session.ledgers[next(iter(session.ledgers))].n_used


def test_a_name_that_says_no_kind_is_refused_before_the_session(tmp_path):
    with pytest.raises(InputError) as error:
        SessionOptions(summary=tmp_path / "a.docx").check()
    assert (error.value.code, error.value.where) == (ErrorCode.FILE, f"--summary {tmp_path / 'a.docx'}")
    with pytest.raises(InputError):
        write_summary(log_of().summary(), tmp_path / "missing" / "a.png")
