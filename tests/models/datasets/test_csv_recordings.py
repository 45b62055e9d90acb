"""Text tables of EEG programs and eye trackers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from models.datasets.csv_recordings import raw_of, read_table
from models.datasets.recordings import PUPIL_AND_BLINK, Reading, Span, trials_at

N = 256 * 4
X = np.random.default_rng(0).normal(0, 20, (N, 4)).round(3)  # µV
T0 = 1600000000.0


def lines(head: list[str], row) -> str:
    return "\n".join([*head, *(row(n) for n in range(N))]) + "\n"


def cells(n: int) -> str:
    return ",".join(f"{x:.3f}" for x in X[n])


def mind_monitor() -> str:
    head = "TimeStamp,Delta_TP9,Delta_AF7,RAW_TP9,RAW_AF7,RAW_AF8,RAW_TP10,HeadBandOn,Elements"
    text = lines([head], lambda n: f"2021-01-01 12:00:{n / 256:06.3f},0.1,0.2,{cells(n)},1,")
    return text + "2021-01-01 12:00:04.100,,,,,,,,/muse/elements/blink\n"


def muselsl() -> str:
    return lines(["timestamps,TP9,AF7,AF8,TP10,Right AUX"], lambda n: f"{T0 + n / 256},{cells(n)},0.0")


def openbci() -> str:
    head = ["%OpenBCI Raw EXG Data", "%Number of channels = 4", "%Sample Rate = 256 Hz", "%Board = x"]
    head.append(
        "Sample Index, " + ", ".join(f"EXG Channel {i}" for i in range(4)) + ", Accel Channel 0, Timestamp"
    )
    return lines(head, lambda n: f"{n % 256}, {', '.join(cells(n).split(','))}, 0.1, {T0 + n / 256}")


def emotiv() -> str:
    head = ["title:a, start timestamp:1.5, headset type:EPOCX, sampling rate:eeg_256, samples:9"]
    head.append("Timestamp,EEG.Counter,EEG.AF3,EEG.T7,EEG.T8,EEG.AF4,CQ.AF3,CQ.Overall")
    return lines(head, lambda n: f"{T0 + n / 256},{n % 256},{cells(n)},4,100")


def with_decimal_commas() -> str:
    return lines(
        ["Time;Fz;Cz;Pz;Oz"], lambda n: f"{n / 256:.6f};{';'.join(cells(n).split(','))}".replace(".", ",")
    )


def written(folder: Path, text: str) -> Path:
    path = folder / "rec.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "unit", "names"),
    [
        (mind_monitor(), None, ["TP9", "AF7", "AF8", "TP10"]),
        (muselsl(), None, ["TP9", "AF7", "AF8", "TP10"]),
        (emotiv(), None, ["AF3", "T7", "T8", "AF4"]),
        (with_decimal_commas(), "uV", ["Fz", "Cz", "Pz", "Oz"]),
    ],
    ids=["Mind Monitor", "muselsl", "Emotiv", "decimal commas"],
)
def test_programs_exports_give_microvolts_by_electrode_at_their_rate(tmp_path, text, unit, names):
    raw = raw_of(read_table(written(tmp_path, text)), None, unit, montage=False)
    assert raw.ch_names == names
    assert raw.info["sfreq"] == pytest.approx(256, rel=0.002)
    np.testing.assert_allclose(raw.get_data().T * 1e6, X, atol=1e-6)


def test_openbci_needs_the_electrodes_names_and_gets_them_by_a_montage(tmp_path):
    path, montage = written(tmp_path, openbci()), tmp_path / "m.toml"
    montage.write_text('[labels]\n"EXG Channel 0" = "C3"\n"EXG Channel 2" = "C4"\n')
    with pytest.raises(InputError) as caught:
        raw_of(read_table(path), None, None, montage=False)
    assert "EXG Channel 0" in caught.value.what
    trial = trials_at(path, [Span(0, 3, "a")], ("a",), Reading(str(montage)))[0]
    assert trial.ch_names == ("C3", "C4")
    assert trial.n_steps == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Time,Fz,Cz\n0,1,2\n0.1,1,2\n", "unit"),  # whose export it is, nobody knows
        ("time,heart,skin\n0,1,2\n", "heart"),
        ("1,2,3\n4,5,6\n", "column names"),
        ("Fz,Cz\n", "Fz"),
        ("", "column names"),
    ],
)
def test_a_table_that_is_no_recording_is_refused_with_its_columns(tmp_path, text, what):
    with pytest.raises(InputError) as caught:
        raw_of(read_table(written(tmp_path, text)), None, None, montage=False)
    assert caught.value.code is ErrorCode.RECORDING
    assert what in caught.value.what


def test_rate_and_unit_may_be_told(tmp_path):
    path = written(tmp_path, lines(["Fz,Cz,Pz,Oz"], lambda n: cells(n)))
    raw = raw_of(read_table(path), 128.0, "mV", montage=False)
    assert raw.info["sfreq"] == 128.0
    np.testing.assert_allclose(raw.get_data().T * 1e3, X)
    with pytest.raises(InputError):
        raw_of(read_table(path), None, "uV", montage=False)  # no rate, and no time stamps


def test_a_table_of_pupils_gives_the_eye_features_that_need_no_gaze(tmp_path):
    t = np.arange(0, 30, 1 / 60)
    size = 4 + 0.3 * np.sin(2 * np.pi * 0.3 * t)
    closed = (t % 10) > 9.8  # a blink every ten seconds
    text = "frame;Timestamp;openness_L;openness_R;pupil_diameter_L(mm);pupil_diameter_R(mm);\n"
    for i, (s, at, is_closed) in enumerate(zip(size, t, closed, strict=True)):
        lid, pupil = (0.1, -1) if is_closed else (1, s)
        text += f"{i};2022-12-16 12:00:{at:07.4f};{lid};{lid};{pupil};{pupil + 0.5 * (pupil > 0)};\n"
    trial = trials_at(written(tmp_path, text), [Span(0, np.inf, "a")], ("a",), Reading())[0]
    assert trial.eeg is None
    assert trial.eye.shape == (26, 33)
    known = np.isfinite(trial.eye).any(axis=0)
    assert not known[[at for at in range(33) if at not in PUPIL_AND_BLINK]].any()
    assert np.nanmean(trial.eye[:, 0]) == pytest.approx(4.0, abs=0.1)
    assert np.nanmean(trial.eye[:, 1]) == pytest.approx(4.5, abs=0.1)
    assert np.nanmean(trial.eye[12:, 22]) == pytest.approx(0.1, abs=0.02)  # blinks a second


def test_a_quote_that_its_line_does_not_close_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('time,C3,C4\n0,1,2\n0.01,"3,4\n0.02,5,6\n0.03,"7",8"\n0.04,9,1\n', encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.code is ErrorCode.RECORDING
