"""Progress of long computations, for all commands that train, and whether their result can be kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from acquisition.errors import InputError
from models.new_folder import new_folder


class StageBars:
    """Progress of each stage of a long computation on stderr: bars in a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} % {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> StageBars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, share: float, loss: float, words: str = "") -> None:
        """Show how far a stage is; NaN stands for no loss, ``words`` for more to say."""
        shown = ", ".join(part for part in ("" if math.isnan(loss) else f"loss {loss:.3f}", words) if part)
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=1.0, loss="")
            self._progress.update(self._tasks[stage], completed=share, loss=shown)
        elif int(share * 10) > self._tenths.get(stage, -1):
            self._tenths[stage] = int(share * 10)
            self._console.print(f"{stage} {share:.0%} {shown}", highlight=False, soft_wrap=True)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot hold the result before hours of work, not after them.

    It is made only to be tried: work that then fails on its input leaves no empty folder behind.

    Raises
    ------
    InputError
        It cannot be written.
    """
    probe = folder / f"{uuid4().hex}.tmp"  # the name of nothing that is there
    try:
        with new_folder(folder):
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror}",
            where=f"--out {folder}",
            remedy="choose another",
        ) from error


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that cannot hold a model, or whose README would be lost to the model's card.

    Raises
    ------
    InputError
        It cannot be written, or a README is in it that is no older model's.
    """
    check_writable(folder)
    if (folder / "README.md").exists() and not (folder / "config.json").exists():
        raise InputError(
            "README.md in it is no model's card and would be overwritten by one",
            where=f"--out {folder}",
            remedy="choose a new folder",
        )
