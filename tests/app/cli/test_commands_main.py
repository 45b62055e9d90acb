"""The exit codes of the command line, and that no mistake of the user ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from command_line import exit_code, refused

from acquisition.errors import ErrorCode, InputError
from app.cli import main as cli


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch):
    """Give a function that makes the command ``raise`` raise an exception, or return a value."""
    app = typer.Typer()
    outcome: list = [None]

    @app.command(name="go")
    def go() -> int:
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    app.command(name="other")(lambda: None)
    monkeypatch.setattr(cli, "app", app)

    def set_outcome(value: object) -> None:
        outcome[0] = value

    return set_outcome


@pytest.mark.parametrize("code", [0, 3])
def test_a_command_returns_its_exit_code(code: int, raising) -> None:
    raising(code)
    assert exit_code("go") == code


def test_input_error_is_one_line_and_2(raising, capsys: pytest.CaptureFixture[str]) -> None:
    raising(InputError("expected a, found b", where="file.x", remedy="give a"))
    assert exit_code("go") == 2
    captured = capsys.readouterr()
    assert captured.err == "error: file.x: expected a, found b (give a)\n"
    assert captured.out == ""


def test_a_fault_is_1_without_traceback(
    raising, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AFFECTSCOPE_DEBUG", raising=False)
    raising(RuntimeError("broken"))
    assert exit_code("go") == 1
    text = capsys.readouterr().err
    assert "RuntimeError: broken" in text
    assert "Traceback" not in text


def test_a_fault_shows_its_traceback_when_asked(
    raising, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTSCOPE_DEBUG", "1")
    raising(RuntimeError("broken"))
    assert exit_code("go") == 1
    assert "Traceback" in capsys.readouterr().err


def printed_to(file: int, **environment: str) -> tuple[int, str]:
    """Have the program print to a file descriptor; return its exit code and stderr."""
    words = [sys.executable, "-m", "app", "inspect", "assets/recordings/simulated-60s.xdf"]
    project, environment = Path(__file__).parents[3], os.environ | environment
    done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, text=True, cwd=project, env=environment)
    return done.returncode, done.stderr


def test_a_reader_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert printed_to(writer) == (0, "")
    os.close(writer)


def test_a_terminal_that_lacks_a_letter_shows_its_code(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as file:
        assert printed_to(file.fileno(), PYTHONIOENCODING="ascii") == (0, "")
        file.seek(0)
        assert b"\\xb5V" in file.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line_and_2() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    code, said = printed_to(full)
    os.close(full)
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_folder_or_what_is_no_recording_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.xdf").write_text("no recording")
    for words in (
        ("replay", "."),
        ("replay", tmp_path / "a.xdf"),
        ("calibrate", "refit", tmp_path / "b.xdf"),
    ):
        assert refused(*words).code is ErrorCode.RECORDING


def test_ctrl_c_is_130(raising) -> None:
    raising(KeyboardInterrupt())
    assert exit_code("go") == 130


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("streams", "--nonsense"),
        ("streams", "--timeout", "soon"),
        ("streams", "--timeout", "-1"),
        ("inspect",),
        ("record",),
        ("publish", "webcam", "--quality", "101"),
    ],
)
def test_wrong_use_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*arguments) == 2
    assert "internal error" not in capsys.readouterr().err


def test_a_wrong_option_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("replay", "a.xdf", "--from", "-1") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "--from" in lines[0]
    assert lines[0].endswith("(see affectscope replay --help)")


@pytest.mark.parametrize("chunk", ["0", "-3", "abc", "\u00b2"])
def test_chunk_must_be_a_whole_number(chunk: str) -> None:
    assert refused("replay", "a.xdf", "--chunk", chunk).where == "--chunk"


@pytest.mark.parametrize(
    "line",
    [
        '{"t_end": 1, "label": "a", "probs": {"a": "x"}, "present": {}, "warm_up": false}',
        '{"t_end": 1, "label": "a", "probs": {}, "present": {}, "warm_up": false}',
        '{"t_end": 1, "label": "a", "probs": null, "present": {}, "warm_up": false}',
        '{"t_end": 1, "label": "a", "probs": {"a": NaN}, "present": {}, "warm_up": false}',
        '{"t_end": 1e400, "label": "a", "probs": {"a": 1}, "present": {}, "warm_up": false}',
        "[1, 2]",
        "3",
    ],
)
def test_compare_refuses_what_is_no_prediction(line: str, tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    error = refused("compare", path, path)
    assert (error.code, error.where, error.facts) == ("file", str(path), {"line": 1})


def test_compare_refuses_runs_without_a_common_window(tmp_path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("")
    assert refused("compare", tmp_path / "a.jsonl", tmp_path / "b.jsonl").code is ErrorCode.DATA


@pytest.mark.parametrize("out", ["/proc/x", __file__])
def test_train_refuses_a_folder_it_cannot_write_before_it_trains(out: str) -> None:
    error = refused("train", "--simulated", "--out", out)
    assert (error.code, error.where) == ("file", f"--out {out}")
