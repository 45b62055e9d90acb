"""The signal checks before a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acquisition.quality import ChannelQuality
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamHeader, StreamHealth, StreamSpec
from calibration.quality import Measured, QualityLog
from calibration.signal_checks import (
    StreamStatus,
    check_disk,
    check_electrodes,
    check_face,
    check_gaze,
    check_microphone,
    check_modality,
    check_source_ids,
    check_stream,
    preflight,
    stream_statuses,
)
from calibration.types import Check, Consent

ALL = Consent(("eeg", "eye", "face", "voice"), given_at="2026-03-01T12:00:00+00:00")
HEALTHY = StreamHealth(
    n_samples=20_000,
    rate_hz=1000.0,
    age_s=0.01,
    offset_s=0.002,
    backlog=5,
    is_stale=False,
    is_connected=True,
    n_missing=0,
    n_dropped=0,
)
AMPLIFIER = StreamStatus("Amp", 1000.0, HEALTHY)


def electrodes(n_good: int, n_suspect: int = 0, n_bad: int = 0, reason: str = "flat") -> list[ChannelQuality]:
    states = (
        [("good", "", 1.0)] * n_good + [("suspect", reason, 0.5)] * n_suspect + [("bad", reason, 0.1)] * n_bad
    )
    cause = reason.split()[0]
    return [ChannelQuality(f"E{at}", *state, cause) for at, state in enumerate(states)]


FINE = Measured(electrodes(62), gaze_valid=0.97, face_found=1.0, voice_clipped=0.0, voice_db=-30.0)


def everything() -> dict[str, StreamStatus]:
    rates = {"eeg": 1000.0, "eye": 120.0, "face": 15.0, "voice": 16_000.0}
    return {
        one: StreamStatus(one, rate, replace(HEALTHY, rate_hz=rate, n_samples=round(20 * rate)))
        for one, rate in rates.items()
    }


def header(name: str, kind: str, source_id: str, uid: str = "") -> StreamHeader:
    return StreamHeader(name, kind, source_id, "here", uid or name, 100.0, 4, "float32")


def run(
    tmp_path: Path, found: dict[str, StreamStatus], measured: Measured = FINE, consent: Consent = ALL
) -> dict[str, Check]:
    checks = preflight(
        consent,
        found,
        measured,
        recorded=[header("Amp", "EEG", "a")],
        found=[header("Amp", "EEG", "a")],
        folder=tmp_path,
        seconds=900,
        free_bytes=lambda _: 10**10,
    )
    return {check.name: check for check in checks}


# --- the whole ---


def test_a_sound_setup_is_green_everywhere_without_remedies(tmp_path: Path) -> None:
    checks = run(tmp_path, everything())
    assert list(checks) == ["EEG", "eye tracker", "webcam", "microphone", "source ids", "disk"]
    assert {check.light for check in checks.values()} == {"green"}
    assert not any(check.remedy for check in checks.values())
    assert checks["EEG"].finding == (
        "eeg: 1,000.0 of 1,000 Hz, newest sample 0.0 s old; 62 of 62 electrodes good"
    )


def test_every_light_is_one_line_with_a_remedy_where_it_is_not_green(tmp_path: Path) -> None:
    for found in ({}, {"eeg": replace(AMPLIFIER, name="two\nlines\x1b[31m", trouble="a\nb")}):
        for check in run(tmp_path, found, Measured()).values():
            assert "\n" not in check.finding + check.remedy
            assert "\x1b" not in check.finding
            assert bool(check.remedy) == (check.light != "green")


def test_without_a_choice_the_disk_counts_all_that_may_be_recorded(tmp_path: Path) -> None:
    voice = replace(header("Mic", "Audio", "b"), nominal_sfreq=16_000.0)
    for consent, words in ((ALL, " 2 MB needed"), (replace(ALL, keep_voice=True), " 362 MB needed")):
        checks = preflight(
            consent,
            everything(),
            FINE,
            found=[header("Amp", "EEG", "a"), voice],
            folder=tmp_path,
            seconds=900,
            free_bytes=lambda _: 10**10,
        )
        assert words in checks[-1].finding


def test_a_missing_modality_is_yellow_while_others_do(tmp_path: Path) -> None:
    found = everything()
    del found["eye"]
    eye = run(tmp_path, found)["eye tracker"]
    assert (eye.light, eye.finding) == ("yellow", "no stream was found")
    assert eye.remedy.endswith("or continue without it")


def test_missing_eeg_that_was_consented_to_is_red(tmp_path: Path) -> None:
    found = everything()
    del found["eeg"]
    assert run(tmp_path, found)["EEG"].light == "red"


def test_without_consent_nothing_is_said_of_eeg(tmp_path: Path) -> None:
    checks = run(tmp_path, everything(), consent=replace(ALL, modalities=("face",)))
    assert "EEG" not in checks
    assert "microphone" not in checks
    assert checks["webcam"].light == "green"


def test_where_nothing_is_left_all_is_red(tmp_path: Path) -> None:
    checks = run(tmp_path, {}, consent=replace(ALL, modalities=("face", "voice")))
    assert [checks[name].light for name in ("webcam", "microphone")] == ["red", "red"]


# --- streams ---


@pytest.mark.parametrize(
    ("changed", "light", "words"),
    [
        ({"rate_hz": 930.0}, "yellow", "7 % below its nominal rate"),
        ({"rate_hz": 500.0}, "red", "50 % below its nominal rate"),
        ({"rate_hz": 500.0, "n_samples": 2000}, "green", "500.0 of 1,000 Hz"),  # too early to judge
        ({"is_stale": True, "age_s": 4.2}, "red", "no sample for 4.2 s"),
        ({"is_connected": False, "age_s": 4.2}, "red", "disconnected"),
        ({"n_samples": 0, "age_s": 0.8}, "yellow", "no sample yet"),
        ({"offset_s": -1.7e9}, "yellow", "Unix time"),
        ({"offset_s": -90_000.0}, "green", "newest sample"),  # a computer that runs for a day longer
        ({"backlog": 2500}, "yellow", "2.5 s of samples behind"),
        ({"n_missing": 1000}, "yellow", "4.8 % of its samples are missing"),
        ({"n_missing": 10_000}, "red", "33.3 % of its samples are missing"),
        ({"n_dropped": 1000}, "yellow", "5.0 % of its samples have timestamps that step back"),
    ],
)
def test_figures_of_a_stream_become_a_light(changed: dict[str, object], light: str, words: str) -> None:
    found = check_stream("eeg", replace(AMPLIFIER, health=replace(HEALTHY, **changed)))
    assert found[0] == light
    assert words in found[1]


def test_an_irregular_stream_has_no_rate_to_miss() -> None:
    found = check_stream("eye", StreamStatus("Eyes", 0.0, replace(HEALTHY, rate_hz=33.0)))
    assert found[0] == "green"
    assert "33.0 Hz, irregular" in found[1]


def test_refused_opening_and_troubled_streams_say_why() -> None:
    refused = check_stream("eeg", replace(AMPLIFIER, trouble="came back with 32 channels", is_refused=True))
    assert refused[0] == "red"
    assert "32 channels" in refused[1]
    assert check_stream("eeg", replace(AMPLIFIER, health=None))[0] == "yellow"
    troubled = check_stream("eeg", replace(AMPLIFIER, trouble="stamps lie 9 s ahead"))
    assert troubled[0] == "yellow"
    assert "9 s ahead" in troubled[1]


def test_a_slow_camera_in_the_dark_is_no_fault_of_a_light_s() -> None:
    slow = replace(HEALTHY, rate_hz=12.0, n_samples=1000)
    assert check_stream("face", StreamStatus("Cam", 15.0, slow))[0] == "green"


def test_streams_by_key_become_statuses_by_modality() -> None:
    specs = {
        "s1": StreamSpec("s1", "Amp", Kind.EEG, (), (), 500.0),
        "s2": StreamSpec("s2", "Notes", Kind.MARKERS, (), (), 0.0),
        "s3": StreamSpec("s3", "Cam", Kind.VIDEO, (), (), 30.0),
    }
    found = stream_statuses(specs, {"s1": HEALTHY}, {"s3": "changed"}, ["s3"])
    assert found == {
        "eeg": StreamStatus("Amp", 500.0, HEALTHY),
        "face": StreamStatus("Cam", 30.0, None, "changed", True),
    }


# --- signals ---


def test_the_worse_of_stream_and_signal_counts() -> None:
    check = check_modality("eeg", AMPLIFIER, replace(FINE, electrodes=electrodes(20, n_bad=42)))
    assert check.light == "red"
    assert check.finding.endswith(
        "20 of 62 electrodes good, 0 suspect, 42 bad: E20 flat, E21 flat, E22 flat and 39 more"
    )
    assert "reference" in check.remedy


@pytest.mark.parametrize(
    ("channels", "light", "remedy"),
    [
        (electrodes(0), "yellow", "wait"),
        (electrodes(62), "green", ""),
        (electrodes(60, n_suspect=2), "green", ""),
        (electrodes(61, n_bad=1), "yellow", "refit E61"),
        (electrodes(40, n_suspect=22), "yellow", "and the others"),
        (electrodes(10, n_bad=52, reason="mains 63 %"), "red", "power supplies"),
    ],
)
def test_electrodes(channels: list[ChannelQuality], light: str, remedy: str) -> None:
    found = check_electrodes(channels)
    assert found[0] == light
    assert remedy in found[2]
    assert bool(found[2]) == (light != "green")


@pytest.mark.parametrize("check", [check_gaze, check_face])
def test_shares_of_gaze_and_face(check) -> None:
    assert [check(share)[0] for share in (0.95, 0.6, 0.45, float("nan"), None)] == [
        "green", "yellow", "red", "red", "yellow",
    ]  # fmt: skip
    assert "60 %" in check(0.6)[1]


@pytest.mark.parametrize(
    ("clipped", "level_db", "light", "words"),
    [
        (0.0, -30.0, "green", "level -30 dB"),
        (0.001, -10.0, "yellow", "0.10 % of samples clipped"),
        (0.2, -2.0, "red", "20.00 % of samples clipped"),
        (0.0, -80.0, "yellow", "almost silent"),
        (0.0, -float("inf"), "red", "every sample is zero"),
        (None, None, "yellow", "not measured yet"),
    ],
)
def test_microphone(clipped: float | None, level_db: float | None, light: str, words: str) -> None:
    found = check_microphone(clipped, level_db)
    assert found[0] == light
    assert words in found[1]


# --- measured ---


def measured(kind: Kind, t: np.ndarray, data: object, n_chunks: int = 1, **options: object) -> Measured:
    """What a log makes of one stream."""
    names = ("a", "b", "c", "d", "validity") if kind is Kind.GAZE else ("audio",)
    log = QualityLog(**options)
    spec = StreamSpec("s", "s", kind, names, ("",) * len(names), 0.0)
    log.on_event(StreamEvent("s", Change.OPENED, 0.0, spec=spec))
    for part in np.array_split(np.arange(len(t)), n_chunks):
        log.on_chunk(Chunk("s", 0, data[part[0] : part[-1] + 1], t[part]))
    log.finish()
    return log.newest()


@pytest.mark.parametrize("n_chunks", [1, 7, 160])
def test_a_sine_s_level_and_clipping_are_known_in_any_chunks(n_chunks: int) -> None:
    t = 5 + np.arange(16_000) / 16_000
    wave = np.sin(2 * np.pi * 100 * t)[:, None].astype(np.float32)
    found = measured(Kind.AUDIO, t, wave, n_chunks)
    assert found.voice_db == pytest.approx(-3.01, abs=0.01)
    # A sine is above 0.989 for 2 acos(0.989) / pi of the time.
    assert found.voice_clipped == pytest.approx(2 * np.arccos(0.989) / np.pi, abs=0.01)


def test_what_is_older_than_ten_seconds_is_forgotten() -> None:
    frames = tuple(b"wall" if t < 30 else b"face" for t in range(40))
    found = measured(Kind.VIDEO, np.arange(40.0), frames, finds_face=lambda frame: frame == b"face")
    assert found.face_found == 1.0
    frames = tuple(b"wall" if t < 35 else b"face" for t in range(40))
    found = measured(Kind.VIDEO, np.arange(40.0), frames, finds_face=lambda frame: frame == b"face")
    assert found.face_found == 0.5


def test_valid_gaze_is_counted_and_nothing_is_said_before() -> None:
    assert QualityLog().newest() == Measured()
    data = np.full((10, 5), np.nan)
    data[:, 4] = [1] * 7 + [0] * 3
    assert measured(Kind.GAZE, np.arange(10.0), data).gaze_valid == pytest.approx(0.7)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_digital_silence_is_told_from_no_sound(value: float) -> None:
    assert measured(Kind.AUDIO, np.arange(100) / 100, np.full((100, 1), value)).voice_db == -float("inf")


def test_electrodes_are_those_of_the_newest_second() -> None:
    log = QualityLog()
    log.on_event(
        StreamEvent(
            "s", Change.OPENED, 0.0, spec=StreamSpec("s", "s", Kind.EEG, ("CZ", "PZ"), ("uV",) * 2, 100.0)
        )
    )
    noise = np.random.default_rng(0).normal(0, 5, (500, 2))
    noise[:, 1] = 0.0
    log.on_chunk(Chunk("s", 0, noise, np.arange(500) / 100))
    assert [(one.ch_name, one.state) for one in log.newest().electrodes] == [("CZ", "good"), ("PZ", "bad")]


# --- source ids ---

EEG_ONLY = replace(ALL, modalities=("eeg",))


def test_two_streams_of_one_source_id_and_type_are_red() -> None:
    one, two = header("Amp", "EEG", "x", "1"), header("Amp again", "EEG", "x", "2")
    check = check_source_ids([one], [one, two], EEG_ONLY)
    assert check.light == "red"
    assert "2 streams of type EEG" in check.finding


def test_a_stream_to_be_recorded_without_consent_is_red() -> None:
    amplifier = header("Amp", "EEG", "x")
    check = check_source_ids([amplifier], [amplifier], replace(ALL, modalities=("face",)))
    assert check.light == "red"
    assert check.finding == "'Amp' (EEG) must not be recorded without consent"


def test_other_sensors_of_a_device_may_share_its_id() -> None:
    one, two = header("Muse", "EEG", "x"), header("Muse", "Accelerometer", "x", "2")
    assert check_source_ids([one], [one, two], EEG_ONLY).light == "green"


def test_streams_without_an_id_are_yellow() -> None:
    one, two = header("A", "EEG", ""), header("B", "EEG", "")
    check = check_source_ids([one], [one, two], EEG_ONLY)
    assert check.light == "yellow"
    assert "'A'" in check.finding


# --- disk ---


@pytest.mark.parametrize(
    ("free_mb", "light"), [(10_000, "green"), (1200, "yellow"), (900, "red"), (100, "red")]
)
def test_the_disk_must_hold_the_session(tmp_path: Path, free_mb: float, light: str) -> None:
    check = check_disk(tmp_path / "not" / "yet", 1e6, 900, lambda _: int(free_mb * 1e6))
    assert check.light == light
    assert "900 MB needed (15 min at 1 MB/s)" in check.finding
    assert list(tmp_path.iterdir()) == []  # the probe leaves nothing


def test_a_disk_that_cannot_be_written_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    check = check_disk(tmp_path, 1e6, 900)
    assert check.light == "red"
    assert "Read-only file system" in check.finding


def test_a_drive_that_is_gone_is_red(tmp_path: Path) -> None:
    def gone(folder: Path) -> int:
        raise OSError(5, "Input/output error")

    assert check_disk(tmp_path, 1e6, 900, gone).light == "red"
