"""Self-reports in a recording: the replay counts them, updates in shadow, promotes and undoes alike."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from profiles import SIZES, noise_discriminant, noise_profile

from acquisition.header import NOTES_ID
from acquisition.simulator.recording import write_simulated
from acquisition.xdf.write import XdfWriter
from app.live import LiveSession
from app.modality_mask import CheckMark, ModalityMask, read_change
from app.outputs import DigestSink
from app.pipeline import Pipeline
from app.replay import ReplayFile, ReplaySession
from app.request import LiveRequest, ReplayRequest, SessionOptions
from app.self_check import Questions, TerminalCheck, report_record, summary_lines, typed
from app.telemetry import Telemetry
from app.terminal import show_live
from calibration.markers import ASKED, UNDO
from calibration.profile import features_sha256, save_profile
from calibration.profile_summary import ProfileSummary, model_sha256
from calibration.verdict import VerdictCode
from models.checkpoint import load_checkpoint
from models.decoder import Decoder
from models.trust import Code, SelfReports, Verdict

CLASSES = ("happy", "bored")
HOP_S = 0.25
BEGIN_S = 1006.1  # voice has its context
EVERY_S = 0.75
N_REPORTS = 16


def test_marks_are_read_as_they_were_written_and_hold_from_the_next_window_on():
    mask = ModalityMask()
    asked, felt = mask.add(CheckMark(10.0, ASKED), HOP_S), mask.add(CheckMark(10.1, "very happy"), HOP_S)
    assert (asked.time, asked.marker) == (pytest.approx(10.01), "affectscope/check/asked")
    assert felt.marker == "affectscope/check/felt/very happy"
    assert [read_change(mark.marker, mark.time) for mark in (asked, felt)] == [asked, felt]
    assert mask.checks(10.0, 10.05) == [asked]
    assert mask.checks(10.05, 10.25) == [felt]
    assert mask.between(0.0, 20.0) == []
    assert read_change("affectscope/check/felt/", 0.0) is None


def test_an_answer_given_at_once_lies_in_a_later_window_than_its_question():
    clock = SimpleNamespace(now=lambda: 10.3)
    config = SimpleNamespace(labels=CLASSES, windows=SimpleNamespace(hop_s=HOP_S))
    mask, pushed = ModalityMask(), []
    opened = SimpleNamespace(clock=clock, mask=mask, checkpoint=SimpleNamespace(config=config))
    questions = Questions(opened, lambda marker, time: pushed.append((marker, time)), 0.1)
    questions.note(ASKED)
    questions.note("happy")
    assert [mark.what for mark in mask.checks(10.25, 10.5)] == [ASKED]
    assert [mark.what for mark in mask.checks(10.5, 10.75)] == ["happy"]
    assert pushed == [(mark.marker, mark.time) for mark in mask.checks(10.0, 11.0)]


@pytest.fixture(scope="module")
def options(tmp_path_factory, random_model):
    """A profile whose voice tells two emotions, of a subject who sounds like nobody else."""
    summary = ProfileSummary(
        subject="S01",
        classes=CLASSES,
        modalities=("voice",),
        ch_names=(),
        head="discriminant",
        verdict=VerdictCode.WEAK,
        base_name="random",
        base_sha256=model_sha256(random_model),
        features_sha256=features_sha256(load_checkpoint(random_model).config),
    )
    known = {"voice": np.ones(SIZES["voice"], dtype=bool)}
    told = noise_discriminant(len(CLASSES), 0.5).restricted(range(len(CLASSES)), known)
    folder = tmp_path_factory.mktemp("profile")
    save_profile(folder, replace(noise_profile(summary), discriminant=told))
    return SessionOptions(model=random_model, profile=folder)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("voice") / "voice.xdf"
    write_simulated(path, ("audio",), BEGIN_S - 1000 + EVERY_S * N_REPORTS + 1)
    return path


class Keep(DigestSink):
    """A digest, and every prediction by the end of its window."""

    def __init__(self):
        super().__init__()
        self.by_time = {}

    def write(self, prediction):
        super().write(prediction)
        self.by_time[prediction.t_end] = prediction


class Session:
    """A run of the recording in which someone who is asked always says the emotion that is not shown."""

    def __init__(self, file, options, undo_after=None):
        opened = ReplayFile(ReplayRequest(file, options))
        self.kept, self.events, self.marks = Keep(), [], []
        decoder = Decoder(opened.checkpoint)
        self.mask = ModalityMask()
        self.pipeline = Pipeline(
            opened.open(), decoder, live=False, on_event=self.events.append, mask=self.mask
        )
        decoder.warm_up()
        n_answered, last = 0, int((BEGIN_S + EVERY_S * N_REPORTS) / HOP_S)
        frozen = None
        for hop in range(4001, last):
            now = hop * HOP_S
            for prediction in self.pipeline.step(now):
                self.kept.write(prediction)
                frozen = frozen or (prediction.label if now > BEGIN_S else None)
            due = BEGIN_S + n_answered * EVERY_S
            if now <= due < now + HOP_S:
                self.mark(ASKED, due)
            elif now <= due + HOP_S < now + HOP_S:
                self.mark(next(name for name in CLASSES if name != frozen), due + HOP_S)
                n_answered += 1
                if n_answered == undo_after:
                    self.mark(UNDO, due + HOP_S + 0.01)

    def mark(self, what, now):
        self.marks.append(self.mask.add(CheckMark(now, what), HOP_S))

    @property
    def check(self):
        return self.pipeline.check

    def times(self, words):
        return [event.time for event in self.events if words in event.message]


@pytest.fixture(scope="module")
def session(file, options):
    return Session(file, options)


def test_what_is_told_changes_only_when_the_copy_is_promoted(session):
    (promoted,) = session.times("used from now on")
    felt = [mark.time for mark in session.marks if mark.what != ASKED]
    assert promoted == felt[6]  # the first report has no copy to compare, and six others decide
    frozen = next(p.label for t, p in session.kept.by_time.items() if t > BEGIN_S)
    before = {p.label for t, p in session.kept.by_time.items() if BEGIN_S < t < promoted}
    after = {p.label for t, p in session.kept.by_time.items() if t > promoted + 1}  # a second's average
    assert (before, after) == ({frozen}, {next(name for name in CLASSES if name != frozen)})


def test_replay_of_the_marks_repeats_it_to_the_byte_in_any_chunks(session, file, options, tmp_path):
    path, jsonl = tmp_path / "noted.xdf", tmp_path / "run.jsonl"
    path.write_bytes(file.read_bytes())
    header = (
        "<info><name>Notes</name><type>Markers</type><channel_count>1</channel_count>"
        f"<channel_format>string</channel_format><source_id>{NOTES_ID}abc</source_id></info>"
    )
    with XdfWriter(path, append=True) as writer:
        writer.add_stream(8, header)
        writer.samples(8, [m.time for m in session.marks], [(m.marker,) for m in session.marks])
    kept = Keep()
    request = ReplayRequest(path, replace(options, jsonl=jsonl, extra_sinks=(kept,)), chunk=64)
    replay = ReplaySession(request)
    replay.run(lambda share: None)
    for t, prediction in session.kept.by_time.items():
        assert kept.by_time[t].probs == prediction.probs
        assert kept.by_time[t].shadow == prediction.shadow
        assert kept.by_time[t].verdict == prediction.verdict
    last = json.loads(jsonl.read_text().splitlines()[-2])["verdict"]
    figures = next(one for one in last["reasons"] if one["code"] == "self-reports")
    reports = session.check.reports
    assert (figures["n_reports"], figures["n_right"]) == (reports.n, reports.n_right)
    assert (figures["low"], figures["high"]) == reports.interval


def test_undoing_returns_to_the_frozen_model_and_poor_reports_withdraw_it(session, file, options):
    undone = Session(file, options, undo_after=7)
    (back,) = undone.times("back to the model")
    never = Session(file, options, undo_after=1)  # blocks every promotion
    assert not never.times("used from now on")
    after = {t: p.probs for t, p in undone.kept.by_time.items() if t > back + 1}
    assert after
    assert after == {t: never.kept.by_time[t].probs for t in after}
    assert not undone.times("used from now on")[1:]
    newest = undone.kept.by_time[max(undone.kept.by_time)].verdict
    assert (newest.answer, newest.safe_to_act) == (None, False)
    assert "withdrawn" in {reason.code for reason in newest.reasons}
    first = session.kept.by_time[min(session.kept.by_time)].verdict
    assert not {"withdrawn", "self-reports"} & {reason.code for reason in first.reasons}


def test_what_is_typed_may_hold_any_bytes_or_come_from_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"1\n\xff\nu\n")))
    lines = list(typed())
    assert (lines[0].strip(), lines[2].strip(), len(lines)) == ("1", "u", 3)
    monkeypatch.setattr(sys, "stdin", None)
    assert list(typed()) == []


@pytest.mark.lsl
def test_every_line_that_is_typed_is_answered(random_model):
    clock, mask, telemetry = SimpleNamespace(now=lambda: 10.3), ModalityMask(), Telemetry()
    config = SimpleNamespace(labels=CLASSES, windows=SimpleNamespace(hop_s=HOP_S))
    opened = SimpleNamespace(clock=clock, mask=mask, checkpoint=SimpleNamespace(config=config))
    check = TerminalCheck(None, telemetry)
    check.own_source_ids()
    check.on_open(opened)

    def said(line):
        telemetry.messages.clear()
        check._typed.append(line)
        check.attend()
        return tuple(telemetry.messages)

    assert len(said("1")) == 1  # no question is open
    assert len(said("?")) == 1
    assert len(said("7")) == len(said("very happy")) == 1  # the question stays open
    assert [mark.what for mark in mask.checks(10.0, 11.0)] == [ASKED]
    said("2")
    assert [mark.what for mark in mask.checks(10.0, 11.0)] == [ASKED, "bored"]
    said("?")
    assert len(said("")) == 1  # none of these
    assert len(said("2")) == 1  # no question is open any more
    assert len(said("u")) == 1
    check.close()


def test_a_check_without_reports_says_why_and_one_with_them_says_chance():
    none = report_record(None)
    assert none["self_reports"].pop("reason")
    assert none == {"self_reports": {"n_reports": 0, "n_right": 0}, "withdrawn": None, "uncovered": None}
    reports = SelfReports(8, 2, (0.07, 0.59), 0.25, 0.6, chance=0.2, is_withdrawn=True)
    record = report_record(Verdict(reasons=tuple(reports.reasons())))
    assert record["self_reports"]["chance"] == 0.2
    found, withdrawn = summary_lines(record)
    assert "2 of 8 (7 % to 59 %), chance 20 %" in found
    assert withdrawn.lower().startswith(Code.WITHDRAWN)
    assert len(summary_lines(report_record(None))) == 1


def test_the_terminal_keeps_who_asks(random_model, monkeypatch):
    asking = []
    monkeypatch.setattr(LiveSession, "run", lambda session, show: asking.append(session.observer))
    check = TerminalCheck(None, Telemetry())
    show_live(LiveSession(LiveRequest(SessionOptions(model=random_model)), observer=check))
    assert asking == [check]
