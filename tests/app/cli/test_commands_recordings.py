"""A lab's recordings on the command line: from a table of trials to a model that runs live."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from command_line import exit_code, refused, run

from acquisition.types import StreamHeader
from acquisition.xdf.write import XdfWriter
from app.model_loading import check_runs_live, make_decoder
from app.recording import record_command
from app.request import SessionOptions
from models.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES, SFREQ = ["Fz", "Cz", "Pz"], 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects with a loud and a quiet recording each, and a table of them."""
    place = tmp_path_factory.mktemp("lab")
    rng, lines = np.random.default_rng(0), ["file,subject,label"]
    for subject in range(3):
        own = rng.uniform(0.5, 2.0)
        for label, gain in (("quiet", 1.0), ("loud", 2.0)):
            x = own * gain * rng.normal(0, 1e-5, (len(NAMES), 14 * SFREQ))
            raw = mne.io.RawArray(x, mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")
            raw.save(place / f"S{subject}_{label}_raw.fif", verbose="error")
            lines.append(f"S{subject}_{label}_raw.fif,S{subject},{label}")
    (place / "trials.csv").write_text("\n".join(lines) + "\n")
    return place


def test_a_table_becomes_a_model_that_says_what_it_kept_and_runs_live(folder, capsys):
    words = (
        "finetune",
        "--from-scratch",
        "--no-network",
        "--quick",
        "--trials",
        folder / "trials.csv",
        "--out",
        folder / "m",
    )
    code, said, _ = run(capsys, *words, "--json")
    assert code == 0
    found = json.loads(said)
    assert any("lda" in note for note in found["notes"])
    assert "subject is in training and test" in found["protocol"]
    assert 0 <= found["n_right"] <= found["n_answers"] <= found["window"]["n"]
    assert found["needed"] == pytest.approx(0.75)
    checkpoint = load_checkpoint(folder / "m")
    check_runs_live(checkpoint.config, "m")
    assert checkpoint.config.evidence.kind == "lda"
    assert checkpoint.config.evidence.unused == ("network",)
    mean = checkpoint.evidence.discriminant.part("eeg").level.mean
    for normalise, fixed in (("subject", False), ("training", True)):
        decoder = make_decoder(checkpoint, replace(SessionOptions(folder / "m"), normalise=normalise), print)
        assert decoder.has_fixed_level is fixed
        np.testing.assert_allclose(decoder._level.mean("eeg"), mean)
    refused(
        "evaluate", "recordings", "--model", folder / "m", "--trials", folder / "trials.csv"
    )  # it trained it


def test_recordings_are_evaluated_by_globs_as_by_a_table(folder, capsys):
    by_table = ("--trials", folder / "trials.csv")
    by_globs = [
        word for label in ("quiet", "loud") for word in ("--label", f"{label}={folder}/*_{label}_raw.fif")
    ]
    rows = []
    for words in (by_table, (*by_globs, "--subject-from", r"(S\d)_")):
        code, said, _ = run(capsys, "evaluate", "recordings", *words, "--json")
        assert code == 0
        rows.append({row["model"]: row for row in json.loads(said)["rows"]})
    for table, globs in zip(rows[0].values(), rows[1].values(), strict=True):
        assert table["mean"] == globs["mean"]
    assert set(rows[0]) == {"kept", "discriminant", "lda", "svm", "riemann"}
    assert rows[0]["kept"]["mean"] == 1.0
    assert rows[0]["kept"]["n_subjects"] == 3


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("--trials trials.csv --raw S0_loud_raw.fif", "--trials"),
        ("--trials trials.csv --protocol half", "--protocol"),
        ("--trials trials.csv --normalise baseline", "subject S"),
        ("--raw S0_loud_raw.fif --protocol loso", "S0_loud_raw.fif"),
        ("--label loud", "--label"),
        ("", "recordings"),
    ],
)
def test_what_cannot_be_evaluated_is_named(folder, monkeypatch, words, where):
    monkeypatch.chdir(folder)
    assert where in refused("evaluate", "recordings", *words.split()).where


def test_live_needs_the_length_of_a_baseline_and_no_two_levels(folder):
    for words in (("--normalise", "baseline"), ("--normalise", "training", "--baseline", "30")):
        assert "--normalise" in refused("replay", folder / "trials.csv", *words).where
    assert exit_code("evaluate", "recordings", "--help") == 0


def test_a_command_to_be_pasted_runs_nothing_that_a_stream_names() -> None:
    source_id = "$(touch x);`y` 'z' \x1b[2J"
    header = StreamHeader("n", "EEG", source_id, "", "", 250.0, 1, "float32")
    words = shlex.split(record_command(Path("a b.xdf"), header))
    assert words == ["affectscope", "record", "a b.xdf", "--streams", "source_id:$(touch x);`y` 'z' [2J"]
    assert "'source_id:$(touch x)" in record_command(Path("a.xdf"), header)


def test_of_very_many_streams_the_first_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.xdf"
    with XdfWriter(path) as writer:
        for stream_id in range(1, 501):
            writer.add_stream(
                stream_id,
                f"<info><name>name-{stream_id}-end</name><type>Markers</type><channel_count>1</channel_count>"
                "<channel_format>string</channel_format></info>",
            )
    code, out, err = run(capsys, "inspect", path)
    assert (code, err, "500 streams" in out) == (0, "", True)
    named = {int(number) for number in re.findall(r"name-(\d+)-end", out)}
    assert named == set(range(1, 201))
    code, out, err = run(capsys, "inspect", path, "--json")
    assert len(json.loads(out)["streams"]) == 500
