"""Rows of the health tab: figures in words, states with remedies, order of electrodes."""

import math
from dataclasses import replace

import pytest

from acquisition.quality import ChannelQuality
from acquisition.types import Fate, Kind, StreamHealth, StreamLedger, StreamSpec
from app.telemetry import StreamState
from app.view.health import electrode_counts, electrode_rows, stream_rows, summary
from calibration.signal_checks import StreamStatus, check_stream

WELL = StreamHealth(
    n_samples=100_000,
    rate_hz=998.7,
    age_s=0.02,
    offset_s=0.0123,
    backlog=12,
    is_stale=False,
    is_connected=True,
    n_missing=0,
    n_dropped=0,
)


def state(kind=Kind.EEG, sfreq=1000.0, name="BioSemi", word="open", message=""):
    return StreamState(StreamSpec("a", name, kind, ("x",), ("uV",), sfreq), word, 0.0, message)


def one_row(stream, health=WELL, masked=()):
    (found,) = stream_rows({"a": stream}, {} if health is None else {"a": health}, masked)
    return found


def test_a_stream_that_is_well():
    assert one_row(state()).cells == (
        "● running",
        "EEG",
        "BioSemi",
        "998.7 of 1,000 Hz",
        "0.0 %",
        "0.0 s",
        "+12.3 ms",
        "12",
        "0",
        "-",
        "-",
    )
    assert one_row(state()).remedy == ""


def test_lost_share_is_of_what_should_have_come():
    health = replace(WELL, n_samples=75, n_missing=25)
    assert health.lost_share == 0.25
    assert one_row(state(), health).lost == "25.0 %"
    assert math.isnan(replace(WELL, n_samples=0).lost_share)
    assert one_row(state(sfreq=0.0), health).lost == "-"  # nobody knows how many there were to be


@pytest.mark.parametrize(
    ("stream", "change", "severity", "word"),
    [
        (state(word="stale"), {"age_s": 4.0}, "bad", "silent"),
        (state(), {"is_stale": True, "age_s": 75.0}, "bad", "silent"),
        (state(word="stale"), {"is_connected": False}, "bad", "silent"),
        (state(word="stale"), {"stands_still": True}, "bad", "silent"),
        (state(word="refused", message="63 channels instead of 62"), {}, "bad", "refused"),
        (state(), {"rate_hz": 930.0}, "suspect", "off rate"),
        (state(), {"rate_hz": 500.0}, "bad", "off rate"),
        (state(), {"rate_hz": 1100.0}, "suspect", "off rate"),
        (state(), {"backlog": 2500}, "suspect", "behind"),
        (state(), {"late_s": 9.8}, "bad", "late"),
        (state(), {"n_missing": 5000}, "suspect", "losses"),
        (state(), {"n_missing": 50_000}, "bad", "losses"),
        (state(), {"n_dropped": 2000}, "suspect", "steps back"),
        (state(), {"offset_s": -1.7e9}, "suspect", "other clock"),
        (state(), {"n_samples": 0}, "suspect", "no data yet"),
    ],
)
def test_every_trouble_has_a_word_and_a_remedy(stream, change, severity, word):
    row = one_row(stream, replace(WELL, **change))
    assert (row.severity, row.state) == (severity, word)
    what, *remedy = row.remedy.split(": ")
    assert what
    assert remedy


@pytest.mark.parametrize("change", [
    {}, {"rate_hz": 930.0}, {"rate_hz": 500.0}, {"rate_hz": 1100.0}, {"backlog": 2500}, {"n_missing": 5000},
    {"n_missing": 50_000}, {"n_dropped": 2000}, {"offset_s": 1.7e9}, {"n_samples": 0}, {"is_stale": True},
    {"is_connected": False},
])  # fmt: skip
def test_the_signal_check_and_the_health_tab_judge_a_stream_alike(change):
    health = replace(WELL, **change)
    light = {"good": "green", "suspect": "yellow", "bad": "red"}[one_row(state(), health).severity]
    assert check_stream("eeg", StreamStatus("BioSemi", 1000.0, health))[0] == light


def test_what_is_wrong_is_said_with_its_figure():
    silent = one_row(state(word="stale"), replace(WELL, age_s=75.0))
    assert silent.remedy.startswith("No sample for 1 min 15 s: check the amplifier")
    figures = {"rate_hz": 500.0, "backlog": 2500, "n_missing": 5000}
    said = [one_row(state(), replace(WELL, **{name: value})).remedy for name, value in figures.items()]
    for text, figure in zip(said, ("50 %", "2.5 s", "4.8 %"), strict=True):
        assert text.startswith(figure)
    why = "63 channels instead of 62"
    assert why in one_row(state(word="refused", message=why)).remedy


@pytest.mark.parametrize(
    ("kind", "sfreq", "change"),
    [
        (Kind.EEG, 1000.0, {"n_samples": 900, "rate_hz": 300.0}),  # just begun: no rate to speak of
        (Kind.MARKERS, 0.0, {"rate_hz": 0.1, "age_s": 500.0}),  # markers may be silent for ever
        (Kind.GAZE, 0.0, {"rate_hz": 61.0}),  # irregular
        (Kind.VIDEO, 30.0, {"rate_hz": 29.1}),  # a frame more or less in 5 s
    ],
)
def test_what_is_no_trouble(kind, sfreq, change):
    row = one_row(state(kind, sfreq), replace(WELL, backlog=0, **change))
    assert (row.severity, row.remedy) == ("good", "")


def test_a_masked_modality_is_no_fault_but_is_said():
    row = one_row(state(Kind.GAZE, 60.0), replace(WELL, rate_hz=60.0), masked=("eye",))
    assert (row.severity, row.state) == ("muted", "masked")
    assert row.remedy


def test_a_replay_has_no_figures():
    row = one_row(state(word="ended"), None)
    assert row.cells[3:] == ("1,000 Hz", *7 * "-")
    assert row.state == "ended"


def test_unknown_figures_are_a_dash():
    row = one_row(state(), replace(WELL, rate_hz=math.nan, age_s=math.nan, offset_s=math.nan))
    assert (row.rate, row.age, row.offset) == ("- of 1,000 Hz", "-", "-")


def test_clock_offsets_of_other_clocks_are_seconds():
    assert one_row(state(), replace(WELL, offset_s=-1234.56)).offset == "-1,234.6 s"


def test_hostile_names_stay_one_plain_line():
    name = "<b>x</b>\n\u202egnp.exe\x00 " + "y" * 5000
    shown = one_row(state(name=name)).name
    assert shown.startswith("<b>x</b> gnp.exe y")
    assert len(shown) == 300
    assert shown.isprintable()
    assert one_row(state(name="\x00\n")).name == "(no name)"


def test_streams_are_ordered_by_kind():
    streams = {"m": state(Kind.MARKERS), "v": state(Kind.VIDEO), "e": state(Kind.EEG)}
    assert [row.key for row in stream_rows(streams, {})] == ["e", "v", "m"]


def test_electrodes_come_worst_first_and_good_ones_in_their_own_order():
    channels = (
        ChannelQuality("FP1", "good", "", 0.9),
        ChannelQuality("T7", "bad", "mains 63 %", 0.2),
        ChannelQuality("CZ", "suspect", "drift", 0.5),
        ChannelQuality("O1", "bad", "flat", 0.0),
        ChannelQuality("PZ", "good", "", 0.8),
        ChannelQuality("OZ", "bad", "", float("nan")),
    )
    rows = electrode_rows(channels)
    assert [text for _, text in rows] == [
        "■ OZ  bad",
        "■ O1  bad: flat",
        "■ T7  bad: mains 63 %",
        "▲ CZ  suspect: drift",
        "● FP1  good",
        "● PZ  good",
    ]
    assert electrode_counts(channels) == "2 good, 1 suspect, 3 bad"


def test_the_summary_counts_what_does_not_run():
    two = {"a": state(), "b": state(Kind.GAZE, 60.0)}
    figures = {"a": WELL, "b": replace(WELL, rate_hz=60.0)}
    assert summary(stream_rows(two, figures)) == "2 streams: all running"
    assert summary(stream_rows(two, figures, ("eye",))) == "2 streams: 1 running, 1 masked"
    off = {"a": replace(WELL, rate_hz=300.0)}
    assert summary(stream_rows(two, off)) == "2 streams: 1 running, 1 to check"
    assert summary([]) == ""


@pytest.mark.parametrize(
    ("phase", "is_replay", "word"),
    [
        ("paused", True, "paused"),
        ("ended", True, "at the end"),
        ("ended", False, "not read"),
        ("failed", True, "not read"),
    ],
)
def test_a_stream_that_is_not_read_does_not_run(phase, is_replay, word):
    (row,) = stream_rows({"a": state()}, {}, (), phase, is_replay=is_replay)
    assert (row.severity, row.state) == ("muted", word)
    assert summary([row]) == f"1 stream: {word}"


def test_a_microphone_is_quiet_while_nobody_speaks() -> None:
    streams = {"e": state(), "m": state(Kind.AUDIO)}
    rows = {row.key: row for row in stream_rows(streams, {}, is_quiet=True)}
    assert (rows["m"].severity, rows["m"].state) == ("muted", "quiet")
    assert rows["e"].state == "running"


def test_a_stream_tells_what_became_of_its_samples_and_why():
    ledger = StreamLedger("BioSemi", "eeg", n_received=1000, n_used=750, decodable_s=72.0)
    (row,) = stream_rows({"a": state()}, {}, ledgers={"a": ledger})
    assert (row.used, row.decodable, row.befell) == ("75.0 %", "1 min 12 s", "")
    ledger.note(Fate.OVERLAP, 250, 0.25)
    (row,) = stream_rows({"a": state()}, {}, ledgers={"a": ledger})
    assert row.befell.startswith("250 samples dropped")
    assert row.samples.startswith("BioSemi: 1,000 samples received, 750 used; 250 samples dropped")
