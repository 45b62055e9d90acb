"""finetune on the command line: what it reports, how it is marked, and one line for what it cannot use."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from command_line import exit_code, refused, run

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.recording import write_simulated
from app.model_loading import check_runs_live
from models.checkpoint import load_checkpoint, load_config

QUICK = ("--quick", "--epochs", "1")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(small_seed_iv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set ``s4``, encoders of it ``m``, others that saw its test trials ``seen``, a classifier ``m1``."""
    place = tmp_path_factory.mktemp("work")
    s4 = Path(shutil.copytree(small_seed_iv, place / "s4"))
    pretrain = ("pretrain", "--seed-iv", s4, *QUICK, "--batch", "8", "--cache", place / "cache", "--out")
    assert exit_code(*pretrain, place / "m") == 0
    shutil.copytree(place / "m", place / "seen")
    config = json.loads((place / "seen" / "config.json").read_text())
    (place / "seen" / "config.json").write_text(json.dumps(config | {"transductive": True}))
    base = ("--model", place / "m", "--seed-iv", s4, "--subject", "1", "--session", "1")
    assert exit_code("finetune", *base, *QUICK, "--out", place / "m1") == 0
    return place


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with annotations, and encoders ``m`` that were pre-trained on ``first_raw.fif``."""
    place = tmp_path_factory.mktemp("recorded")
    rng, sfreq, n_trials, trial_s = np.random.default_rng(0), 128, 10, 6
    for name in ("first_raw.fif", "second_raw.fif"):
        x = rng.normal(size=(6, sfreq * n_trials * trial_s)) * 1e-5
        info = mne.create_info(["F3", "F4", "C3", "C4", "O1", "O2"], sfreq, "eeg")
        raw = mne.io.RawArray(x, info, verbose="error")
        onsets = np.arange(n_trials) * trial_s
        raw.set_annotations(mne.Annotations(onsets, trial_s, ["left", "right"] * (n_trials // 2)))
        raw.save(place / name, verbose="error")
    words = ("--raw", place / "first_raw.fif", *QUICK, "--batch", "8", "--out", place / "m")
    assert exit_code("pretrain", *words) == 0
    return place


def finetune(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    return run(capsys, "finetune", *words)


def refusal(call: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as error:
        call()
    return error.value


def on_set(place: Path, model: str = "m") -> tuple[object, ...]:
    return ("--model", place / model, "--seed-iv", place / "s4", "--subject", 1)


@pytest.fixture(scope="module")
def second_session(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A classifier of the second session, and what `finetune --json` printed of it."""
    out, said = tmp_path_factory.mktemp("second") / "m1", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert exit_code("finetune", *on_set(folder), "--session", 2, *QUICK, "--out", out, "--json") == 0
    return out, json.loads(said.getvalue())


def test_json_has_the_report_on_the_test_trials(second_session: tuple[Path, dict[str, Any]]) -> None:
    out, result = second_session
    assert {"protocol", "window", "trial", "interval", "chance", "extra", "left_out", "sha256"} <= set(result)
    assert result["protocol"] == "on the 2 test trials of the published split"
    assert result["trial"]["n"] == 2
    assert (result["generated"], result["quick"], result["transductive"]) == (True, True, False)
    # --epochs wins over --quick
    assert any(note.endswith("fixed at 1 epochs, no temperature scaling") for note in result["notes"])
    for error in (
        refusal(lambda: check_runs_live(load_config(out), str(out))),
        refused("live", "--model", out, "--headless", "--seconds", 1),
    ):
        assert (error.code, error.where) == (ErrorCode.MODEL, str(out))
        assert error.facts == {"feature_origin": "published"}


def test_the_command_line_in_the_card_makes_the_same_model_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--labels", "first:3", "--fusion", "concat", "--freeze", "--no-dcca", "--seed", 5)
    code, said, _ = finetune(capsys, *on_set(folder), *options, *QUICK, "--out", tmp_path / "m1", "--json")
    assert code == 0
    card = (tmp_path / "m1" / "README.md").read_text()
    assert "labels: first 3 trials of each session" in card
    assert "on the 6 test trials of the published split, 3 sessions together" in card
    assert str(folder) not in card
    program, *words = shlex.split(card.split("Written by `")[1].split("`")[0])
    assert program == "affectscope"
    monkeypatch.chdir(tmp_path)
    for name in ("m", "s4"):
        Path(name).symlink_to(folder / name)
    assert exit_code(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == json.loads(said)["sha256"]


def test_a_model_keeps_its_discriminant_says_what_it_weighs_and_replays_with_it(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--from-scratch", "--raw", recorded / "first_raw.fif", *QUICK, "--out", tmp_path / "m", "--json")
    code, said, _ = finetune(capsys, *words)
    assert code == 0
    assert {"network alone", "discriminant alone"} <= set(json.loads(said)["extra"])
    model = load_checkpoint(tmp_path / "m")
    assert model.evidence is not None
    assert (model.config.evidence.network_weight, model.config.own_level) == (0.0, True)
    card = (tmp_path / "m" / "README.md").read_text()
    assert "**The answer:** network 0%, discriminant 100%; the network got no weight." in card
    write_simulated(tmp_path / "eeg.xdf", ("eeg",), 8.0)
    replay = ("replay", tmp_path / "eeg.xdf", "--model", tmp_path / "m", "--headless")
    assert exit_code(*replay, "--jsonl", tmp_path / "said") == 0
    said = [json.loads(line) for line in (tmp_path / "said").read_text().splitlines()]
    told = [record["probs"]["left"] for record in said if "probs" in record]
    assert len(told) > 10
    assert np.std(told) > 1e-3


def test_a_recording_is_cross_validated_and_no_classifier_is_trained_on_again(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--raw", recorded / "second_raw.fif", *QUICK, "--modalities", "eeg")
    code, said, _ = finetune(capsys, "--model", recorded / "m", *words, "--out", tmp_path / "m1", "--json")
    assert code == 0
    assert json.loads(said)["protocol"].startswith("cross-validation over 10 trials")
    assert not json.loads(said)["transductive"]
    error = refused("finetune", "--model", tmp_path / "m1", *words, "--out", tmp_path / "m2")
    assert (error.code, error.where) == (ErrorCode.MODEL, "--model")


def test_trials_that_pretraining_saw_mark_everything_transductive(
    folder: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_set = (*on_set(folder, "seen"), "--session", 1)
    of_file = ("--model", recorded / "m", "--raw", recorded / "first_raw.fif")
    for words, why, options in (
        (of_set, "transductive: test trials were used in pre-training, without labels", ()),
        (
            of_file,
            "transductive: first_raw.fif was used in full in pre-training, without labels",
            ("--json",),
        ),
    ):
        out = tmp_path / why[14:19]
        code, said, _ = finetune(capsys, *words, *QUICK, "--out", out, *options)
        assert code == 0
        assert said.count(why) == 2  # trained on, protocol
        config, card = load_config(out), (out / "README.md").read_text()
        assert config.transductive
        assert config.trained_on.endswith(why)
        assert "**Transductive: " in card
        assert card.count(why) == 2
        if options:
            assert json.loads(said)["transductive"]
        else:
            assert "[generated data; quick run, not a result; transductive]" in said.splitlines()[0]


def test_a_recording_is_known_again_by_another_name(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copy(recorded / "first_raw.fif", tmp_path / "renamed_raw.fif")
    out = tmp_path / "m1"
    code, said, _ = finetune(capsys, "--model", recorded / "m", "--raw", copy, *QUICK, "--out", out, "--json")
    assert code == 0
    assert json.loads(said)["transductive"]
    record = json.loads((out / "training.json").read_text())
    assert [(entry["name"], entry["labels"]) for entry in record["recordings"]] == [
        ("first_raw.fif", False),
        ("renamed_raw.fif", True),
    ]
    assert record["trials_per_class"] == {"left": 5, "right": 5}


def test_evaluate_scores_a_kept_classifier_as_finetune_reported_it(
    folder: Path,
    second_session: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, reported = second_session
    words = ("evaluate", "seed-iv", folder / "s4", "--model", out, "--session", 2)
    code, said, _ = run(capsys, *words, "--json")
    assert code == 0
    found = json.loads(said)
    as_live = reported["extra"]["with a running level, as live"]
    assert found["confusion"]["rows"][1]["counts"] == as_live["confusion"]
    code, said, _ = run(capsys, *words, "--out", tmp_path / "ev")
    assert code == 0
    assert "GENERATED DATA" in said
    assert "confusion matrix" in said
    assert (tmp_path / "ev" / "confusion.csv").is_file()


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("--model m --seed-iv cache --subject 1", "cache"),
        ("--model m --seed-iv s4 --subject 9", "s4"),
        ("--model m --seed-iv s4", "--seed-iv"),
        ("--model m --seed-iv s4 --subject 1 --session 4", "--session"),
        ("--model m --seed-iv s4 --subject 1 --labels first:5", "subject 1, session 1"),
        ("--model nowhere --seed-iv s4 --subject 1", "nowhere"),
        ("--seed-iv s4 --subject 1", "--model, --from-scratch"),
        ("--from-scratch --seed-iv s4 --subject 1", "s4"),
        ("--from-scratch --seed-iv s4 --subject 1 --freeze", "--freeze"),
        ("--from-scratch --seed-iv s4 --xdf a.xdf --subject 1", "finetune"),
        ("--model m --seed-iv s4 --subject 1 --out m", "--out m"),
        ("--model m --seed-iv s4 --events 1=a --trial-s 9", "--seed-iv"),
        ("--model m --xdf a.xdf --subject 1 --session 1", "--xdf"),
        ("--model m --seed-v s --montage biosemi64", "--seed-v"),
        ("--model m --eav e --features published", "--eav"),
    ],
)
def test_what_cannot_be_used_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: str, where: str
) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "m" / "model.safetensors").read_bytes()
    assert where in refused("finetune", "--out", "other", *words.split()).where
    assert not Path("other").exists()
    assert (folder / "m" / "model.safetensors").read_bytes() == before


def test_a_montage_names_the_channels_of_an_eeg_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n_trials, trial_s, sfreq = 8, 4, 128
    x = np.random.default_rng(0).normal(size=(3, n_trials * trial_s * sfreq)) * 1e-5
    raw = mne.io.RawArray(x, mne.create_info(["A1", "A2", "A3"], sfreq, "eeg"), verbose="error")
    texts = ["left", "right"] * (n_trials // 2)
    raw.set_annotations(mne.Annotations(np.arange(n_trials) * trial_s, trial_s, texts))
    raw.save(tmp_path / "cap_raw.fif", verbose="error")
    (tmp_path / "cap.toml").write_text('[labels]\nA3 = "C4"\nA1 = "C3"\n')
    words = ("--from-scratch", "--raw", tmp_path / "cap_raw.fif", *QUICK, "--out", tmp_path / "m")
    code, _, err = finetune(capsys, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert "pass --montage" in err
    code, said, _ = finetune(capsys, *words, "--montage", tmp_path / "cap.toml")
    assert code == 0
    assert "cross-validation over 8 trials" in said
    assert load_config(tmp_path / "m").ch_names == ("C3", "C4")
    assert "--montage cap.toml" in (tmp_path / "m" / "README.md").read_text()


def test_a_truncated_file_is_one_line_and_the_other_sessions_go_on(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s4 = Path(shutil.copytree(folder / "s4", tmp_path / "s4"))
    for path in (s4 / "eeg_feature_smooth" / "1").glob("*.mat"):
        path.write_bytes(path.read_bytes()[:2000])
    words = ("--model", folder / "m", "--seed-iv", s4, "--subject", 1, "--out", tmp_path / "m1", *QUICK)
    code, _, err = finetune(capsys, *words, "--session", 1)
    assert (code, err.count("\n")) == (2, 1)
    assert "--session: expected session 2, 3, found 1 (omit it to see what could not be read)" in err
    code, said, err = finetune(capsys, *words, "--json")
    assert code == 3
    (excluded,) = json.loads(said)["left_out"]
    assert excluded["subject"] == "1"
    assert "_feature_smooth/1/1_" in excluded["why"]


def test_a_mistyped_place_for_the_model_is_refused_and_not_made(tmp_path: Path) -> None:
    out = tmp_path / "dsik" / "m1"
    error = refused("finetune", "--from-scratch", "--seed-iv", tmp_path, "--subject", 1, "--out", out)
    assert (error.code, error.where) == (ErrorCode.FILE, f"--out {out}")
    assert not out.parent.exists()
