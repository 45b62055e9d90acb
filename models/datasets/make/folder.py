"""The folder a data set is generated into, and the notice in it that says so."""

from __future__ import annotations

from pathlib import Path

from acquisition.errors import InputError

_MARK = "GENERATED DATA."
NOTICE = """GENERATED DATA. Nobody was measured.

This folder was written by: affectscope make-dataset {command}
It has the file names, keys, shapes, types and labels of {data_set} as published, so that loaders, training
and tables can be tried without the real set. Its numbers are drawn from a model: what a classifier reaches
here says nothing about people. Do not report it as a result on {data_set}.

{details}"""


def new_folder(folder: Path) -> None:
    """Make the folder.

    Raises
    ------
    InputError
        If it holds something already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(
                "expected an empty folder, found files", where=str(folder), remedy="name another"
            )
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror}", where=str(folder), remedy="name another"
        ) from error


def write_notice(folder: Path, data_set: str, command: str, details: str) -> None:
    """Write ``README.md``."""
    text = NOTICE.format(data_set=data_set, command=command, details=details)
    (folder / "README.md").write_text(text, encoding="utf-8")


def is_generated(folder: Path) -> bool:
    """Tell whether a folder carries the notice."""
    try:
        with (folder / "README.md").open(encoding="utf-8") as file:
            return file.read(len(_MARK)) == _MARK
    except (OSError, ValueError):
        return False
