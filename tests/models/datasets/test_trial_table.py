"""A table of trials, and file names in its place."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from models.datasets.recordings import Reading, opened
from models.datasets.trial_table import read_rows, read_table, recordings_in, rows_of_files

SFREQ = 128.0


def write_eeg(
    path: Path, seed: int, names: tuple[str, ...] = ("Fz", "Cz", "Pz"), seconds: float = 12.0
) -> Path:
    x = np.random.default_rng(seed).normal(0, 1e-5, (len(names), int(seconds * SFREQ)))
    raw = mne.io.RawArray(x, mne.create_info(list(names), SFREQ, "eeg"), verbose="error")
    raw.save(path, verbose="error")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(("S1_a", "S1_b", "S2_a", "S2_b")):
        write_eeg(place / f"{name}_raw.fif", seed)
    return place


def table(folder: Path, *lines: str, head: str = "file,subject,session,trial,label,start_s,stop_s") -> Path:
    path = folder / "trials.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def refused(call) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def test_a_row_without_times_is_the_whole_file_and_others_are_parts_of_it(folder):
    rows = read_table(
        table(folder, "S1_a_raw.fif,A,,,rest,,", "S1_b_raw.fif,A,,,task,2,7", "S1_b_raw.fif,A,,,rest,7,")
    )
    trials = read_rows(rows, Reading())
    assert [(t.subject, t.session, t.trial, t.n_steps) for t in trials] == [
        ("A", 1, 1, 12), ("A", 1, 2, 5), ("A", 1, 3, 5),
    ]  # fmt: skip
    assert [t.label_names[t.label] for t in trials] == ["rest", "task", "rest"]
    whole = read_rows(read_table(table(folder, "S1_b_raw.fif,task", head="file,label")), Reading())[0]
    np.testing.assert_allclose(trials[1].eeg, whole.eeg[2:7], rtol=1e-5)
    assert whole.subject == "S1_b_raw"


@pytest.mark.parametrize("length", [5000, 200_000])
def test_a_name_that_no_file_can_have_is_one_error(tmp_path, length):
    (tmp_path / "trials.csv").write_text(f"file,label\n{'a' * length},x\n")
    with pytest.raises(InputError):
        read_table(tmp_path / "trials.csv")


def test_a_text_table_with_a_cell_without_an_end_is_one_error(tmp_path):
    (tmp_path / "a.csv").write_text('time,Cz,Pz\n0,1,2\n1,"' + "1\n" * 200_000)
    with pytest.raises(InputError):
        opened(tmp_path / "a.csv", Reading(unit="uV", sfreq=100.0))


def test_a_table_that_cannot_be_used_names_its_line(folder):
    for line, says in (
        ("nothing.fif,A,1,1,rest,,", "nothing.fif"),
        ("S1_a_raw.fif,A,1,1,,,", "label"),
        ("S1_a_raw.fif,A,1,1,rest,soon,", "soon"),
        ("S1_a_raw.fif,A,1,1,rest,5,4", "stop_s"),
        ("S1_a_raw.fif,A,1,nan,rest,,", "nan"),
    ):
        error = refused(lambda line=line: read_table(table(folder, line)))
        assert "line 2" in error.where
        assert says in error.what
    assert refused(lambda: read_table(table(folder, "x", head="path,label"))).code is ErrorCode.DATA
    assert refused(lambda: read_table(folder / "none.csv")).code is ErrorCode.FILE


def test_trials_that_overlap_or_bear_one_number_twice_are_refused(folder):
    for lines in (
        ("S1_a_raw.fif,A,1,,rest,0,6", "S1_a_raw.fif,A,1,,task,3,9"),
        ("S1_a_raw.fif,A,1,1,rest,0,6", "S1_b_raw.fif,A,1,1,task,0,6"),
    ):
        assert (
            refused(lambda lines=lines: read_rows(read_table(table(folder, *lines)), Reading())).code
            is ErrorCode.DATA
        )


def test_a_recording_under_another_name_is_found_by_its_samples(folder, tmp_path):
    again = tmp_path / "other_raw.fif"
    raw = mne.io.read_raw(folder / "S1_a_raw.fif", verbose="error")
    raw.info["subject_info"] = {"his_id": "somebody else"}  # another header
    raw.save(again, verbose="error")
    rows = rows_of_files([folder / "S1_a_raw.fif", folder / "S2_a_raw.fif", again], ["rest=*.fif"])
    error = refused(lambda: read_rows(rows, Reading()))
    assert error.code is ErrorCode.DATA
    assert "S1_a_raw.fif" in error.what
    assert "other_raw.fif" in error.what


def test_file_names_say_class_and_subject(folder):
    files = recordings_in(folder, "raw")
    assert [file.name for file in files] == [
        "S1_a_raw.fif",
        "S1_b_raw.fif",
        "S2_a_raw.fif",
        "S2_b_raw.fif",
        "trials.csv",
    ]
    rows = rows_of_files([], [f"rest={folder}/*_a_raw.fif", f"task={folder}/*_b_raw.fif"], r"(S\d)_")
    trials = read_rows(rows, Reading())
    assert sorted((t.subject, t.session, t.trial, t.label_names[t.label]) for t in trials) == [
        ("S1", 1, 1, "rest"), ("S1", 1, 2, "task"), ("S2", 1, 1, "rest"), ("S2", 1, 2, "task"),
    ]  # fmt: skip
    rest = ["rest=*.fif"]
    for labels, pattern in (
        (["rest=*_a_raw.fif"], None),
        ([*rest, "task=*_b_raw.fif"], None),
        (["x"], None),
        (rest, "P[0-9]"),
        (rest, "("),
    ):
        refused(lambda labels=labels, pattern=pattern: rows_of_files(files[:4], labels, pattern))


def test_channels_that_one_recording_lacks_are_left_out_of_all_and_named(folder, tmp_path):
    fewer = write_eeg(tmp_path / "few_raw.fif", 9, ("Fz", "Pz", "Oz"))
    excluded = []
    trials = read_rows(
        rows_of_files([folder / "S1_a_raw.fif", fewer], ["rest=*.fif"]), Reading(), excluded=excluded
    )
    assert {t.ch_names for t in trials} == {("FZ", "PZ")}
    assert "CZ" in excluded[0].why
    assert "OZ" in excluded[0].why
    other = write_eeg(tmp_path / "other_raw.fif", 10, ("O1", "O2"))
    rows = rows_of_files([folder / "S1_a_raw.fif", other], ["rest=*.fif"])
    assert refused(lambda: read_rows(rows, Reading())).code is ErrorCode.DATA


@pytest.mark.real_data
def test_a_file_that_is_one_condition_is_refused_with_the_way_to_label_it(real_data):
    file = real_data / "eegmat" / "Subject00_1.edf"
    error = refused(lambda: read_rows(rows_of_files([file]), Reading()))
    assert "--trials" in error.remedy
    trial = read_rows(rows_of_files([file], ["rest=*_1.edf"], r"Subject(\d+)"), Reading())[0]
    assert (trial.subject, trial.n_steps, len(trial.ch_names)) == ("00", 182, 19)


@pytest.mark.real_data
def test_a_recording_of_lsl_streams_gives_its_parts_by_seconds(real_data, tmp_path):
    montage = tmp_path / "m.toml"
    montage.write_text("[indices]\n" + "\n".join(f'{i} = "{n}"' for i, n in ((1, "C3"), (2, "C4"))) + "\n")
    path = table(tmp_path, *(f"{real_data}/xdf/openbci_Sub2011001.xdf,A,1,{n},{c},{20 * n},{20 * n + 15}"
                             for n, c in ((1, "one"), (2, "two"))))  # fmt: skip
    trials = read_rows(read_table(path), Reading(str(montage), unit="0.02235uV"))
    assert [(t.dataset, t.label, t.n_steps) for t in trials] == [
        ("xdf", 0, 14),
        ("xdf", 1, 14),
    ]  # whole steps of the hop grid
