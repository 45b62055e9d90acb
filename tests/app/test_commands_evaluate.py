"""evaluate takes simulated people or a data set, says which it lacks, and prints JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from scipy.io import wavfile

from acquisition.errors import InputError
from app.cli.screen import check_model_folder, check_writable


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to evaluate on"),
        (("emodb",), "expected emodb and its folder"),
        (("xdf",), "expected xdf and its file"),
        (("nodb", "."), "expected emodb, generated, seed-iv, seed-v, eav, xdf, raw; got nodb"),
        (("emodb", ".", "--simulated"), "expected one thing to evaluate on"),
        (
            ("--simulated", "--test", ".", "--subject", "1"),
            "--subject: only for seed-iv, seed-v and eav; --test: only for emodb (leave them out)",
        ),
        (("--simulated", "--trial-s", "5"), "--trial-s: expected at least 10 s, found 5"),
        (
            ("generated", "--model", "m"),
            "evaluate generated: --model: only for --simulated, seed-iv, seed-v, eav, xdf and raw",
        ),
        (
            ("seed-iv", ".", "--events", "1=a"),
            "evaluate seed-iv: --events: only for xdf and raw (leave it out)",
        ),
        (("raw", "f.edf", "--session", "1"), "evaluate raw: --session: only for seed-iv, seed-v and eav"),
        (("xdf", "f.xdf", "--quick"), "evaluate xdf: --quick: only for emodb and generated"),
        (("seed-iv", ".", "--model", "nowhere"), "expected a model file"),
        (("seed-iv", ".", "--subject", ""), "--subject: expected a person's number, or several as 1,2"),
        (("seed-iv", ".", "--subject", "1,,2"), "--subject: expected a person's number, or several as 1,2"),
        (("seed-iv", "."), "evaluate seed-iv: expected the classifier that is judged"),
        (("emodb", "nowhere-at-all"), "expected the EMO-DB folder"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, "evaluate", *arguments)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1


def test_emodb_prints_json_and_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for speaker in ("03", "08", "09"):
        for label, letter in enumerate("WFNT"):
            time = np.arange(9600) / 16000
            wave = 0.2 * np.sin(2 * np.pi * 100 * 1.5**label * time) + 0.01 * rng.standard_normal(9600)
            wavfile.write(tmp_path / f"{speaker}a01{letter}a.wav", 16000, (wave * 32767).astype(np.int16))
    (tmp_path / "09a02Wa.wav").write_bytes(b"no sound")
    code, out, err = run(capsys, "evaluate", "emodb", tmp_path, "--quick", "--json")
    assert code == 0
    result = json.loads(out)
    assert {"protocol", "unit", "chance", "ours", "reference", "settings"} <= set(result)
    assert {"mean", "interval", "speakers", "confusion"} <= set(result["ours"])
    assert list(result["ours"]["speakers"]) == ["03", "08", "09"]
    assert result["quick"] is True
    assert result["left_out"][0]["subject"] == "09"
    assert "09a02Wa.wav" in err


def test_a_folder_is_tried_without_touching_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "model.tmp").write_text("mine")
    check_writable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tmp"]
    (tmp_path / "README.md").write_text("mine too")
    with pytest.raises(InputError, match="would be overwritten"):
        check_model_folder(tmp_path)
    (tmp_path / "config.json").touch()
    check_model_folder(tmp_path)
