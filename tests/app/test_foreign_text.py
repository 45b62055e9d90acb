"""What others write (names, labels, markers, folders) controls no terminal, table, page or spreadsheet."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from command_line import exit_code, run

from acquisition.header import make_info
from acquisition.simulator.recording import write_simulated
from acquisition.xdf.write import XdfWriter
from app.outlets import NoteOutlet
from app.tables import figures_table, make_console
from app.view.text import tooltip

PROJECT = Path(__file__).parents[2]
_IN_XML = "=cmd|x\x9b31m\u202egnp\u2066\u200f\nerror: forged [red] <img src=x onerror=alert(1)>"
_IN_TEXT = _IN_XML + "\x1b[2J\x1b]8;;http://x\x07\r\x00\x7f"
_LONG = "N" * 3_000_000


def controls(text: str) -> set[str]:
    """Return what controls a terminal, or the direction or end of a line, in printed lines."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of EEG beside streams whose names, labels, units and markers are hostile."""
    path = tmp_path_factory.mktemp("hostile") / "a\x1b[2J\x9b\u202e.xdf"
    write_simulated(path, ("eeg",), 4.0, eeg_sfreq=200.0)
    said = escape(_IN_XML).replace("\n", "&#10;")
    with XdfWriter(path, append=True) as writer:
        for number, (name, kind) in enumerate([(said, "Markers"), (said, "Gaze"), (_LONG, said)], 7):
            channel = f"<channel><label>{said}</label><unit>{said}</unit><type>{said}</type></channel>"
            writer.add_stream(
                number,
                f"<info><name>{name}</name><type>{kind}</type><channel_count>1</channel_count>"
                f"<channel_format>{'string' if kind == 'Markers' else 'float32'}</channel_format>"
                f"<source_id>{said}</source_id><desc><channels>{channel}</channels></desc></info>",
            )
            values = [[_IN_TEXT], [_LONG]] if kind == "Markers" else [[0.0], [1.0]]
            writer.samples(number, [1001.0, 1002.0], values)
    return path


def test_a_hostile_recording_is_inspected_in_plain_lines(
    hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("--json",)):
        code, out, err = run(capsys, "inspect", hostile, *words)
        assert code == 0, err
        assert not controls(out + err)
        assert words or len(out) < 100_000


def test_a_replay_writes_no_control_character_formula_or_element_of_others(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [words for name in ("jsonl", "csv") for words in (f"--{name}", tmp_path / f"a.{name}")]
    code, out, err = run(capsys, "replay", hostile, "--headless", *given, "--summary", tmp_path / "a.html")
    assert code in (0, 3), err
    assert not controls(out + err)
    written = [path for path in tmp_path.iterdir() if path.is_file()]
    assert len(written) == 3
    for path in written:
        text = path.read_text("utf-8")
        assert not controls(text.replace("\r\n", "\n")), path.name
        assert len(text) < 2_000_000
        assert path.suffix != ".html" or "<img" not in text
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
            assert not any(cell.lstrip().startswith(("=", "@")) for cell in cells)


def test_a_hostile_folder_and_option_are_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data\x1b[2J" / "sub-S01").mkdir(parents=True)
    (tmp_path / "data\x1b[2J" / "sub-S\x1b]0;x\x07").mkdir()
    code, out, err = run(capsys, "subjects", "list", "--data-dir", tmp_path / "data\x1b[2J")
    assert (code, controls(out + err)) == (0, set())
    code, out, err = run(capsys, "inspect", tmp_path / "no\x1b[2J\nerror: forged\u202e.xdf")
    assert (code, controls(out + err), len(err.splitlines())) == (2, set(), 1)


@pytest.mark.lsl
def test_hostile_streams_are_listed_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from pylsl import StreamInfo

    from acquisition.lsl.outlet import open_outlet

    infos = [StreamInfo(_IN_XML, _IN_XML, 1, 0, "string", f"{_IN_XML}{at}") for at in range(2)]
    infos[1].desc().append_child("channels").append_child("channel").append_child_value("label", _IN_XML)
    outlets = [open_outlet(info) for info in infos]
    code, out, err = run(capsys, "streams", "--timeout", 1)
    assert (code, controls(out + err)) == (0, set())
    assert "=cmd|x" in out
    assert not any(line.startswith("error:") for line in out.splitlines())
    assert exit_code("streams", "--timeout", 1, "--json") == 0
    assert not controls(json_out := capsys.readouterr().out)
    assert _IN_XML in {stream["name"] for stream in json.loads(json_out)}
    del outlets


@pytest.mark.lsl
def test_what_the_program_sends_has_no_control_characters() -> None:
    notes = NoteOutlet()
    assert not controls(notes.push(_IN_TEXT * 1000, 1.0))
    notes.close()
    info = make_info(_IN_TEXT, _IN_TEXT, "string", _IN_TEXT, desc={"a": _IN_TEXT})
    assert not controls(info.as_xml().replace("\t", ""))


def test_tables_and_tooltips_take_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print(figures_table(_IN_TEXT, [_IN_TEXT], [[_IN_TEXT + "[/]"]]))
    out = capsys.readouterr().out
    assert not controls(out)
    assert "[red]" in out
    assert "<img" not in (tip := tooltip(_IN_TEXT, _LONG))
    assert not controls(tip)
    assert len(tip) < 5000


def test_every_line_to_a_terminal_goes_through_the_function_that_cleans_it() -> None:
    found = [
        path.relative_to(PROJECT).as_posix()
        for folder in ("app", "acquisition", "calibration", "models")
        for path in (PROJECT / folder).rglob("*.py")
        if re.search(r"(?<![\w.])(print|Console)\(", path.read_text("utf-8"))
    ]
    assert set(found) <= {"acquisition/text.py", "app/tables.py"}
