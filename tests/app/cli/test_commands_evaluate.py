"""evaluate takes simulated people or a data set, says which it lacks, and prints JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import refused, run
from scipy.io import wavfile

from assets import DEMO_MODEL


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("seed-iv", ".", "--model", "nowhere"), "nowhere"),
        (("seed-iv", ".", "--model", DEMO_MODEL, "--subject", ""), "--subject"),
        (("recording", "f.xdf", "--model", DEMO_MODEL, "--events", "1"), "--events"),
        (("simulated", "--model", "nowhere"), "nowhere"),
        (("simulated", "--difficulty", "mean"), "--difficulty"),
        (("voice", "nowhere-at-all"), "nowhere-at-all"),
    ],
)
def test_what_cannot_be_evaluated_is_named(arguments: tuple[object, ...], where: str) -> None:
    assert where in refused("evaluate", *arguments).where


def test_voice_prints_json_and_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for speaker in ("03", "08", "09"):
        for label, letter in enumerate("WFNT"):
            time = np.arange(9600) / 16000
            wave = 0.2 * np.sin(2 * np.pi * 100 * 1.5**label * time) + 0.01 * rng.standard_normal(9600)
            wavfile.write(tmp_path / f"{speaker}a01{letter}a.wav", 16000, (wave * 32767).astype(np.int16))
    (tmp_path / "09a02Wa.wav").write_bytes(b"no sound")
    code, out, err = run(capsys, "evaluate", "voice", tmp_path, "--normalise", "speaker", "--json")
    assert code == 3
    result = json.loads(out)
    assert {"protocol", "unit", "chance", "rows", "differences"} <= set(result)
    first = result["rows"][0]
    assert (first["model"], first["normalise"], first["transductive"]) == ("voice", "speaker", True)
    assert {"mean", "interval", "chance", "confusion"} <= set(first)
    assert list(first["speakers"]) == ["03", "08", "09"]
    assert result["left_out"][0]["subject"] == "09"
    assert "09a02Wa.wav" in err
