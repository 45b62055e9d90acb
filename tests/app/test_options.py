"""Groups of options as dataclasses, and help with headings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest
import typer
from command_line import exit_code, one_line, run

from acquisition.errors import InputError
from app.cli import calibrate, evaluate, options
from app.cli.groups import add, application, grouped, option_group
from app.cli.main import app
from app.cli.options import refuse


@option_group("Size")
class Size:
    width: Annotated[int, typer.Option(help="Width.")]
    height: Annotated[int, typer.Option("--tall", help="Height.")] = 2

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError("too small", where="--width")


@option_group()
class Boxed(Size):
    depth: Annotated[float, typer.Option(help="Depth.")] = 0.5


def built(*words: str) -> tuple[object, ...]:
    """Return what a command with groups gets of a command line."""
    got: list[tuple[object, ...]] = []

    def draw(name: Annotated[str, typer.Argument()], box: Boxed, count: int = 1) -> None:
        got.append((name, box, count))

    program = add(application("test", ""), draw)
    add(program, lambda_)
    program(args=["draw", *words], standalone_mode=False)
    return got[0]


def lambda_() -> None:
    """Stand beside, so that the program has commands."""


def test_a_group_is_built_of_its_options() -> None:
    assert built("a", "--width", "3", "--tall", "4") == ("a", Boxed(width=3, height=4, depth=0.5), 1)


def test_a_group_refuses_values_when_it_is_built() -> None:
    with pytest.raises(InputError) as error:
        built("a", "--width", "0")
    assert error.value.where == "--width"


def test_a_grouped_command_can_be_called_with_plain_values() -> None:
    assert grouped(_area)(width=3, height=4) == 12


def _area(size: Size) -> int:
    return size.width * size.height


def test_the_help_has_a_heading_for_each_group(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, "live", "--help")
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings == ["Streams", "Model", "Output", "Window", "Options"]


def test_the_first_help_begins_with_the_demo_and_lists_every_command_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, text, _ = run(capsys, "--help")
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings == ["Options", "Live", "Record", "Calibrate", "Data and training", "Machine"]
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE)
    assert sorted(listed) == sorted(_names(app))
    assert text.index("affectscope demo") < text.index("affectscope streams")


def _names(program: typer.Typer) -> list[str]:
    commands = [str(command.name) for command in program.registered_commands]
    return commands + [str(group.typer_instance.info.name) for group in program.registered_groups]


def _commands() -> list[tuple[str, ...]]:
    found = [(name,) for name in _names(app)]
    for group in app.registered_groups:
        inner = group.typer_instance
        found += [(str(inner.info.name), name) for name in _names(inner)]
    return found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_help_has_a_description_and_an_example(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = run(capsys, *command, "--help")
    assert code == 0
    assert text.startswith(f"Usage: affectscope {' '.join(command)} ")
    assert re.search(rf"^    affectscope {' '.join(command)}\b", text, re.MULTILINE)


def test_options_that_mean_nothing_are_named_together() -> None:
    refuse({"--a": None, "--b": False}, "only for c")
    with pytest.raises(InputError) as error:
        refuse({"--a": 0, "--b": False, "--c": True}, "only for d", "--e")
    assert error.value.where == "--e"
    assert error.value.facts == {"option": "--a"}
    assert "--a and --c" in error.value.what


@pytest.mark.parametrize(
    "words",
    [
        "calibrate study 1 --events a.xdf",
        "calibrate study 1 --subject S01",
        "calibrate --events 1=a,2=b --subject S01",
        "calibrate refit a.xdf --classes sad,happy",
        "calibrate refit a.xdf --simulate",
        "calibrate --subject S01 --headless --out there",
        "calibrate --subject S01 study 2",
        "evaluate simulated --test .",
        "evaluate generated --model m",
        "evaluate seed-iv . --model m --events 1=a",
        "evaluate recording f.edf --model m --session 1",
        "evaluate recording f.xdf --model m --quick",
        "evaluate seed-iv .",
        "reproduce eav . --table 1 --freeze",
        "reproduce seed-v . --table 1 --preset paper",
        "reproduce seed-v . --figure 2",
        "reproduce eav . --table 2",
    ],
)
def test_options_of_another_subcommand_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    one_line(capsys, *words.split())


def test_a_folder_is_tried_without_touching_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "model.tmp").write_text("mine")
    options.check_writable(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tmp"]
    (tmp_path / "README.md").write_text("mine too")
    with pytest.raises(InputError) as error:
        options.check_model_folder(tmp_path)
    assert error.value.code == "file"
    (tmp_path / "config.json").touch()
    options.check_model_folder(tmp_path)


@pytest.mark.parametrize("text", ["", "1,,2"])
def test_subjects_are_numbers(text: str) -> None:
    with pytest.raises(InputError) as error:
        evaluate.SubjectsOptions(subject=text).subjects()
    assert error.value.where == "--subject"
    assert evaluate.SubjectsOptions(subject="1, 2,1").subjects() == ("1", "2")


def test_consent_is_what_the_options_say() -> None:
    assert calibrate.ConsentOptions().given() is None
    given = calibrate.ConsentOptions(consent="eeg,voice", keep_voice=True).given()
    assert given is not None
    assert set(given.modalities) == {"eeg", "voice"}
    assert (given.keep_voice, given.keep_face_video) == (True, False)


@pytest.mark.parametrize("words", [("evaluate",), ("evaluate", "nodb", "."), ("reproduce", "seed-iv", ".")])
def test_a_missing_or_unknown_subcommand_or_table_is_wrong_use(words: tuple[str, ...]) -> None:
    assert exit_code(*words) == 2
