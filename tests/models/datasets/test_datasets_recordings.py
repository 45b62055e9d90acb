"""Trials from recordings with markers or annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from refused import refused

from acquisition.errors import ErrorCode
from acquisition.montage import SEED_CH_NAMES, load_montage
from acquisition.publish.recording import eeg_content
from acquisition.quality import amplitude_trouble
from acquisition.simulator.recording import write_simulated
from acquisition.xdf.write import XdfWriter
from models.datasets.recordings import (
    Reading,
    class_names,
    describe,
    end_to_end,
    opened,
    parse_events,
    raw_file_sequence,
    raw_file_trials,
    xdf_sequence,
    xdf_trials,
)
from models.datasets.trials import cut_windows, steps_that_fit
from models.features.config import FeatureConfig
from models.features.eeg import differential_entropy

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "assets" / "recordings" / "simulated-60s.xdf"
MONTAGE = str(ROOT / "tests" / "data" / "montages" / "openbci_16.toml")
OPENBCI_EVENTS = {"1": "left", "2": "right", "3": "idle"}


def test_events_are_read_from_one_option():
    events = parse_events("1=left, 2=right,3=left")
    assert events == {"1": "left", "2": "right", "3": "left"}
    assert class_names(events) == ("left", "right")
    for text in ("1", "1=", "1=a,1=b", ""):
        assert refused(lambda text=text: parse_events(text)).where == "--events"


def test_a_recording_is_one_unlabelled_sequence_of_eeg_and_eye_features():
    sequence = xdf_sequence(DEMO)
    assert (sequence.label, sequence.label_names) == (-1, ())
    assert sequence.eeg.shape[1:] == (62, 5)
    assert sequence.eye.shape[1:] == (33,)
    assert sequence.n_steps == 59
    assert np.isfinite(sequence.eeg).all()


EEG_HEADER = """<info><name>amp</name><type>EEG</type><channel_count>2</channel_count>
<nominal_srate>200</nominal_srate><channel_format>float32</channel_format><source_id>amp1</source_id><desc>
<channels><channel><label>CZ</label><unit>microvolts</unit></channel><channel><label>PZ</label>
<unit>microvolts</unit></channel></channels></desc></info>"""
MARKER_HEADER = """<info><name>stim</name><type>Markers</type><channel_count>1</channel_count>
<nominal_srate>0</nominal_srate><channel_format>string</channel_format><source_id>s1</source_id></info>"""
MARKERS = ((3.1, "calm"), (7.8, "end"), (10.0, "rage"), (14.0, "end"), (18.9, "calm"))


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Twenty seconds of EEG at 200 Hz that begin at 1000 s, with `MARKERS`; PZ is dead from 11 s to 12 s."""
    data = 10 * np.random.default_rng(0).standard_normal((4000, 2)).astype(np.float32)
    data[2200:2400, 1] = 0.0
    path = tmp_path / "trials.xdf"
    with XdfWriter(path) as file:
        file.add_stream(1, EEG_HEADER)
        file.add_stream(2, MARKER_HEADER)
        for start in range(0, 4000, 100):
            file.samples(1, 1000.0 + np.arange(start, start + 100) / 200, data[start : start + 100])
        file.samples(2, [1000.0 + time for time, _ in MARKERS], [(text,) for _, text in MARKERS])
    return path, data


def test_steps_lie_wholly_between_a_marker_and_the_next(recording: tuple[Path, np.ndarray]):
    path, data = recording
    trials = xdf_trials(path, {"calm": "calm", "rage": "angry"})
    # 3.1-7.8 s holds the steps that end at 4.25, 5.25, 6.25, 7.25; the last marker has none after it.
    assert [(t.trial, t.label_names[t.label], t.n_steps) for t in trials] == [(1, "calm", 4), (2, "angry", 4)]
    assert trials[0].ch_names == ("CZ", "PZ")
    at = np.searchsorted(np.arange(4000) / 200, 4.25, side="right")
    step = torch.from_numpy(data[at - 200 : at].T.copy())
    expected = differential_entropy(step, 200.0, FeatureConfig()).numpy()
    np.testing.assert_allclose(trials[0].eeg[0], expected, atol=0.05)  # a sample to either side at most
    assert np.isnan(trials[1].eeg[:, 1]).any(axis=1).sum() >= 1
    assert np.isfinite(trials[1].eeg[:, 0]).all()
    longer = xdf_trials(path, {"calm": "calm"}, trial_s=6.0)
    assert [t.n_steps for t in longer] == [5, 5]
    assert np.isnan(longer[1].eeg[2:]).all()  # the recording ends within it


def test_trials_that_share_samples_are_refused_for_they_would_test_what_they_train(
    recording: tuple[Path, np.ndarray], tmp_path: Path
):
    import mne

    error = refused(lambda: xdf_trials(recording[0], {"calm": "calm", "rage": "angry"}, trial_s=7.5))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 1})
    assert error.what.startswith("trials 1 and 2 overlap: trial 1 lasts 7.50 s")
    raw = mne.io.RawArray(1e-5 * np.ones((1, 4000)), mne.create_info(["Cz"], 200.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([2.0, 6.0], [9.0, 4.0], ["block", "calm"]))
    raw.save(tmp_path / "try_raw.fif", verbose="error")
    error = refused(lambda: raw_file_trials(tmp_path / "try_raw.fif"))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 1})
    assert len(raw_file_trials(tmp_path / "try_raw.fif", trial_s=4.0)) == 2


def test_a_trial_that_reaches_a_little_into_the_next_is_cut():
    assert end_to_end([(0.0, 4.2), (4.1, 8.0), (9.0, 9.5)], Path()) == [(0.0, 4.1), (4.1, 8.0), (9.0, 9.5)]


def test_a_file_that_breaks_off_says_so(tmp_path: Path):
    import mne

    data = 1e-5 * np.random.default_rng(0).standard_normal((6, 9000))
    raw = mne.io.RawArray(data, mne.create_info(6, 128.0, "eeg"), verbose="error")
    raw.rename_channels(dict(zip(raw.ch_names, ["F3", "F4", "C3", "C4", "O1", "O2"], strict=True)))
    raw.set_annotations(mne.Annotations([0.0, 12.0, 48.0], [12.0] * 3, ["a", "b", "a"]))
    path = tmp_path / "try_raw.fif"
    raw.save(path, verbose="error")
    path.write_bytes(path.read_bytes()[:60_000])
    error = refused(lambda: raw_file_trials(path))
    assert (error.code, error.where) == (ErrorCode.RECORDING, str(path))


def test_missing_markers_are_answered_with_those_there_are(
    recording: tuple[Path, np.ndarray], tmp_path: Path
):
    error = refused(lambda: xdf_trials(recording[0], {"joy": "a"}))
    assert error.code is ErrorCode.DATA
    assert error.what.startswith("expected markers joy, found calm (2 times), end (2 times)")
    error = refused(lambda: xdf_trials(recording[0], {"calm": "a"}, trial_s=0.4))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 1})
    write_simulated(tmp_path / "eeg.xdf", ("eeg",), 2.0)
    error = refused(lambda: xdf_trials(tmp_path / "eeg.xdf", {"1": "a"}))
    assert (error.code, error.facts) == (ErrorCode.NO_STREAM, {"kind": "markers"})


def test_a_file_without_any_marker_is_not_asked_for_their_names(tmp_path: Path):
    import mne

    raw = mne.io.RawArray(np.ones((1, 400)), mne.create_info(["Cz"], 200.0, "eeg"), verbose="error")
    raw.save(tmp_path / "try_raw.fif", verbose="error")
    assert refused(lambda: raw_file_trials(tmp_path / "try_raw.fif")).code is ErrorCode.RECORDING


@pytest.mark.real_data
def test_openbci_trials_hold_the_five_steps_inside_their_five_and_a_half_seconds(real_data: Path):
    path = real_data / "xdf" / "openbci_Sub2011001.xdf"
    trials = xdf_trials(path, OPENBCI_EVENTS, Reading(MONTAGE, unit="0.02235uV"))
    assert len(trials) == 60
    assert [sum(t.label == k for t in trials) for k in range(3)] == [20, 20, 20]
    assert {t.n_steps for t in trials} == {5}
    assert len(trials[0].ch_names) == 15
    assert steps_that_fit(trials) == 5
    assert cut_windows(trials, 5).eeg.shape == (60, 15, 5, 5)
    assert {
        t.n_steps for t in xdf_trials(path, OPENBCI_EVENTS, Reading(MONTAGE, unit="0.02235uV"), trial_s=3.4)
    } == {3}
    error = refused(lambda: xdf_trials(path, OPENBCI_EVENTS, Reading(MONTAGE, unit="0.02235uV"), trial_s=0.5))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 1})


@pytest.mark.real_data
def test_counts_are_refused_until_their_scale_is_stated(real_data: Path):
    path = real_data / "xdf" / "openbci_Sub2011001.xdf"
    assert refused(lambda: xdf_trials(path, OPENBCI_EVENTS, Reading(MONTAGE))).code is ErrorCode.DATA


def write_edf(
    path: Path,
    unit: str = "uV",
    notes: dict[float, str] | None = None,
    gap_s: float = 0.0,
    ecg_rate: int = 0,
) -> Path:
    """Write 12 s of C3 and C4 at 100 Hz, noise of 10 in the unit; EDF+D with notes and a gap after 6 s.

    ``ecg_rate`` adds a flat ECG of another rate.

    Layout: Kemp et al. 1992, Kemp and Olivan 2003.
    """
    x = np.random.default_rng(3).normal(0, 10, (12, 2, 100))
    kind = "EDF+D" if notes else ""
    texts = "", unit, "-1000", "1000", "-32768", "32767", "", "100", ""
    signals = [["C3", "C4"], *([text] * 2 for text in texts)]
    if notes:
        for column, text in zip(
            signals, ("EDF Annotations", "", "", "-1", "1", "-32768", "32767", "", "30", ""), strict=True
        ):
            column.append(text)
    if ecg_rate:
        ecg = ("ECG", "", "mV", "-1", "1", "-32768", "32767", "", str(ecg_rate), "")
        for column, text in zip(signals, ecg, strict=True):
            column.append(text)
    n = len(signals[0])
    head = ["0", "X", "X", "01.01.20", "00.00.00", str(256 * (n + 1)), kind, "12", "1", str(n)]
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4), (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    text = "".join(value.ljust(width) for value, width in zip(head, widths[0], strict=True))
    text += "".join(v.ljust(width) for column, width in zip(signals, widths[1], strict=True) for v in column)
    records = []
    for at, record in enumerate(np.round(x * 32.767).astype("<i2")):
        onset = at + (gap_s if at >= 6 else 0.0)
        tal = f"+{onset:g}\x14\x14\x00" + "".join(
            f"+{t:g}\x14{note}\x14\x00" for t, note in (notes or {}).items() if onset <= t < onset + 1
        )
        tals = tal.encode().ljust(60, b"\x00") if notes else b""
        records.append(record.tobytes() + tals + bytes(2 * ecg_rate))
    path.write_bytes(text.encode("ascii") + b"".join(records))
    return path


def test_trials_of_an_edf_file_with_a_gap_lie_at_their_samples(tmp_path: Path):
    notes = {1.0: "a", 4.0: "b", 303.0 + 4.0: "a", 303.0 + 7.0: "b"}
    trials = raw_file_trials(write_edf(tmp_path / "gap.edf", notes=notes, gap_s=300.0))
    assert [(t.label_names[t.label], t.n_steps) for t in trials] == [("a", 3), ("b", 3), ("a", 3), ("b", 2)]
    unusable = [np.flatnonzero(np.isnan(t.eeg).all(axis=(1, 2))).tolist() for t in trials]
    assert unusable == [[], [2], [], []]  # the step that begins at the gap


@pytest.mark.parametrize("n_records", ["-1", "0"])
def test_gaps_of_an_edf_file_that_was_broken_off_are_found(tmp_path: Path, n_records: str):
    path = write_edf(tmp_path / "gap.edf", notes={1.0: "a", 4.0: "b"}, gap_s=300.0)
    data = path.read_bytes()
    path.write_bytes(data[:236] + n_records.ljust(8).encode() + data[244:])
    assert opened(path).annotations.onset.tolist() == [1.0, 4.0, 6.0]
    assert np.isnan(raw_file_sequence(path).eeg).all(axis=(1, 2)).sum() == 1
    path.write_bytes(data.replace(b"+306\x14\x14", b"+9e9\x14\x14"))
    assert "record 7" in refused(lambda: raw_file_sequence(path)).what


def test_an_event_at_the_end_of_a_file_is_refused_as_too_short(tmp_path: Path):
    path = write_edf(tmp_path / "end.edf", notes={1.0: "a", 11.999: "b"})
    assert refused(lambda: raw_file_trials(path)).code is ErrorCode.DATA
    mne = pytest.importorskip("mne")
    raw = mne.io.RawArray(np.full((1, 400), 1e-5), mne.create_info(["Cz"], 100.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([1.0, 3.99], [0.0, 0.0], ["a", "b"]))
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    assert refused(lambda: raw_file_trials(tmp_path / "a_raw.fif")).code is ErrorCode.DATA


def test_bad_spans_and_bad_channels_of_a_file_are_not_used(tmp_path: Path):
    mne = pytest.importorskip("mne")
    info = mne.create_info(["C3", "C4", "Cz"], 100.0, "eeg")
    raw = mne.io.RawArray(np.random.default_rng(1).normal(0, 1e-5, (3, 1000)), info, verbose="error")
    raw.info["bads"] = ["C4"]
    raw.set_annotations(mne.Annotations([3.2, 6.0], [1.5, 0.0], ["BAD_muscle", "boundary"]))
    path = tmp_path / "a_raw.fif"
    raw.save(path, verbose="error")
    whole = raw_file_sequence(path)
    assert whole.ch_names == ("C3", "CZ")
    assert np.flatnonzero(np.isnan(whole.eeg).all(axis=(1, 2))).tolist() == [3, 4, 6]
    assert refused(lambda: raw_file_trials(path)).code is ErrorCode.RECORDING  # neither is an event
    _, read = eeg_content(path, opened(path))  # as it is replayed and published
    played = np.concatenate([part.values for part in read() if part.stream == "eeg"])
    assert np.isnan(played).any(axis=1).sum() == 152
    assert np.isnan(played[320:471]).all()


def test_a_slower_or_faster_channel_leaves_the_samples_of_the_eeg_as_they_are(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
):
    alone = opened(write_edf(tmp_path / "alone.edf")).get_data()
    for rate in (25, 250):
        raw = opened(write_edf(tmp_path / f"mixed{rate}.edf", ecg_rate=rate))
        found = np.concatenate([raw.get_data(start=at, stop=at + 4) for at in range(0, 1200, 4)], axis=1)
        np.testing.assert_array_equal(found, alone)  # resampled by blocks they differ by half their size
    told = [str(one.message) for one in recwarn.list if one.category is not ResourceWarning]  # of other tests
    assert told == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("a.eeg", "a.vhdr"), ("a.vmrk", "a.vhdr"), ("a.fdt", ".set"), ("a.mat", ".set"), ("empty.edf", "copy")],
)
def test_what_is_only_a_part_of_a_recording_is_refused_with_what_to_give(
    tmp_path: Path, name: str, remedy: str
):
    (tmp_path / "a.vhdr").write_text("Brain Vision Data Exchange Header File Version 1.0\n")
    (tmp_path / name).write_bytes(b"" if name == "empty.edf" else bytes(400))
    assert remedy in refused(lambda: opened(tmp_path / name)).remedy


def test_a_header_without_its_samples_is_refused_with_the_file_that_is_missing(tmp_path: Path):
    header = "[Common Infos]\nDataFile=gone.eeg\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
    header += "NumberOfChannels=1\nSamplingInterval=5000\n[Binary Infos]\nBinaryFormat=INT_16\n"
    header += "[Channel Infos]\nCh1=Cz,,0.1,uV\n"
    path = tmp_path / "a.vhdr"
    path.write_text("Brain Vision Data Exchange Header File Version 1.0\n" + header)
    assert "gone.eeg" in refused(lambda: opened(path)).what


def test_what_mne_warns_of_a_file_is_described(tmp_path: Path):
    path = write_edf(tmp_path / "cut.edf")
    path.write_bytes(path.read_bytes()[:-1000])
    assert any("Number of records" in note for note in describe(path)["notes"])


def test_files_without_eeg_or_with_bad_electrodes_alone_are_described_with_the_reason(tmp_path: Path):
    mne = pytest.importorskip("mne")
    noise = np.random.default_rng(1).normal(0, 1e-5, (1, 1000))
    for kind, name, reason in (("mag", "MEG 0111", "no channel has"), ("eeg", "Cz", "marked as bad: Cz")):
        raw = mne.io.RawArray(noise, mne.create_info([name], 100.0, kind), verbose="error")
        raw.info["bads"] = [name]
        raw.save(tmp_path / f"{kind}_raw.fif", verbose="error")
        assert reason in describe(tmp_path / f"{kind}_raw.fif")["refused"]


def test_flat_seconds_say_nothing_of_a_unit(tmp_path: Path):
    mne = pytest.importorskip("mne")
    x = np.random.default_rng(1).normal(0, 1e-5, (1, 2400)) * (np.arange(2400) >= 1100)
    path = tmp_path / "a_raw.fif"
    mne.io.RawArray(x, mne.create_info(["Cz"], 100.0, "eeg"), verbose="error").save(path, verbose="error")
    found = describe(path)
    assert (found["amplitude_uv"], found["refused"]) == (0.0, "")
    assert "flat" in amplitude_trouble(0.0)


def test_an_edf_file_without_a_unit_is_refused_until_it_is_stated(tmp_path: Path):
    path = write_edf(tmp_path / "blank.edf", unit="")
    assert refused(lambda: raw_file_sequence(path)).code is ErrorCode.DATA
    assert raw_file_sequence(path, Reading(unit="uV")).n_steps == 12
    assert refused(lambda: raw_file_sequence(path, Reading(unit="foo"))).where == "--eeg-unit"


def test_the_codes_of_a_trigger_channel_are_events_of_trials_up_to_the_next(tmp_path: Path):
    mne = pytest.importorskip("mne")
    info = mne.create_info(["C3", "C4", "STI 014"], 100.0, ["eeg", "eeg", "stim"])
    data = np.random.default_rng(1).normal(0, 1e-5, (3, 1000))
    data[2] = 0.0
    for at, code in ((100, 1), (400, 2), (700, 1)):
        data[2, at : at + 20] = code + (1 << 20)  # an upper bit is the amplifier's own
    path = tmp_path / "a_raw.fif"
    mne.io.RawArray(data, info, verbose="error").save(path, verbose="error")
    trials = raw_file_trials(path, {"1": "left", "2": "right"})
    assert [(t.label_names[t.label], t.n_steps) for t in trials] == [("left", 3), ("right", 3), ("left", 3)]


@pytest.mark.real_data
def test_annotations_of_an_edf_file_are_labels(real_data: Path):
    path = real_data / "eeg" / "eegmmidb_64ch.edf"
    trials = raw_file_trials(path, {"T1": "left", "T2": "right"})
    assert [sum(t.label == k for t in trials) for k in range(2)] == [10, 9]
    assert len(trials[0].ch_names) == 58
    assert raw_file_trials(path)[0].label_names == ("T0", "T1", "T2")
    assert raw_file_sequence(path).n_steps == 124
    assert refused(lambda: raw_file_trials(path, {"T9": "x"})).code is ErrorCode.DATA


def test_a_file_of_mne_is_cut_at_its_annotations_in_microvolts(tmp_path: Path):
    import mne

    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Cz", "EMG"], 200.0, "eeg")
    data = 1e-5 * rng.standard_normal((3, 4000))
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.set_annotations(mne.Annotations([2.0, 10.0], [4.0, 6.5], ["calm", "rage"]))
    path = tmp_path / "try_raw.fif"
    raw.save(path, verbose="error")
    trials = raw_file_trials(path)
    assert [(t.label_names[t.label], t.n_steps) for t in trials] == [("calm", 4), ("rage", 6)]
    assert trials[0].ch_names == ("FP1", "CZ")
    first = torch.from_numpy(data[:2, 400:600].astype(np.float32) * 1e6)
    expected = differential_entropy(first, 200.0, FeatureConfig()).numpy()
    np.testing.assert_allclose(trials[0].eeg[0], expected, atol=1e-3)
    error = refused(lambda: raw_file_trials(path, trial_s=0.5))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 1})


def test_a_montage_names_the_channels_of_a_file(tmp_path: Path):
    import mne

    data = 1e-5 * np.random.default_rng(0).standard_normal((7, 4000))
    labels_in_file, types = ["A1", "B1", "B2", "B3", "B4", "C4", "Status"], ["eeg"] * 6 + ["stim"]
    raw = mne.io.RawArray(data, mne.create_info(labels_in_file, 200.0, types), verbose="error")
    raw.set_annotations(mne.Annotations([2.0], [4.0], ["calm"]))
    path, labels, indices = tmp_path / "try_raw.fif", tmp_path / "labels.toml", tmp_path / "indices.toml"
    raw.save(path, verbose="error")
    labels.write_text('[labels]\nB3 = "C3"\nb1 = "Cz"\n')
    indices.write_text('[indices]\n3 = "C3"\n1 = "CZ"\n')
    expected = differential_entropy(
        torch.from_numpy(data[[1, 3], 400:600].astype(np.float32) * 1e6), 200.0, FeatureConfig()
    )
    for montage in (str(labels), str(indices)):
        (trial,) = raw_file_trials(path, reading=Reading(montage))
        assert trial.ch_names == ("CZ", "C3")
        np.testing.assert_allclose(trial.eeg[0], expected.numpy(), atol=1e-3)
        assert raw_file_sequence(path, Reading(montage)).eeg.shape == (20, 2, 5)
    cap = load_montage("biosemi128").labels
    (trial,) = raw_file_trials(path, reading=Reading("biosemi128"))
    assert trial.ch_names == tuple(cap[label] for label in raw.ch_names if cap.get(label) in SEED_CH_NAMES)
    assert "C4" not in trial.ch_names  # the cap's C4 lies elsewhere
    assert "try_raw.fif" in refused(lambda: raw_file_trials(path)).where
    labels.write_text('[labels]\nX9 = "CZ"\n')
    assert "X9" in str(refused(lambda: raw_file_trials(path, reading=Reading(str(labels)))))


def test_what_mne_cannot_read_is_one_line(tmp_path: Path):
    path = tmp_path / "broken.edf"
    path.write_bytes(b"0" * 300)
    error = refused(lambda: raw_file_trials(path))
    assert (error.code, error.where) == (ErrorCode.RECORDING, str(path))
    assert "\n" not in str(error)
