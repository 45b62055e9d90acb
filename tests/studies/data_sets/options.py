"""The folder a data set is generated into, and the notice in it that says so."""

from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import ErrorCode, InputError
from models.datasets.files import GENERATED
from tests.studies.jobs import process_pool

NOTICE = (
    GENERATED
    + """ No real subjects.

This folder was written by: affectscope make-dataset {command}
It has the file names, keys, shapes, types and labels of {data_set} as published, so that loaders, training
and tables can be tried without the real set. Its numbers are drawn from a model: accuracy on these data
is not valid for real people. Do not report it as a result on {data_set}.

{details}"""
)


def make_empty_folder(folder: Path) -> None:
    """Make the folder; raises `InputError` if it is not empty, or cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise _not_writable("expected an empty folder, found files", folder)
    except OSError as error:
        raise _not_writable(f"the folder cannot be written: {error.strerror}", folder) from error


def _not_writable(what: str, folder: Path) -> InputError:
    return InputError(what, where=str(folder), remedy="choose another", code=ErrorCode.FILE)


def write_notice(folder: Path, data_set: str, command: str, details: str) -> None:
    """Write ``README.md``."""
    text = NOTICE.format(data_set=data_set, command=command, details=details)
    (folder / "README.md").write_text(text, encoding="utf-8")


#: Told how many subjects are finished.
OnDone = Callable[[int], None]


@dataclass(frozen=True)
class MakeOptions:
    """Options of all generators; None takes the data set's default."""

    folder: Path
    subjects: int = 3
    seed: int = 0
    difficulty: str | float = "default"
    trials: int | None = None  # of a session
    trial_s: float | None = None
    raw: bool = False
    jobs: int = 2

    def n_trials(self, default: int, least: int, most: int) -> int:
        """Return the trials of a session, or refuse a number the layout cannot hold."""
        n = default if self.trials is None else self.trials
        if not least <= n <= most:
            raise InputError(f"expected {least} to {most}, found {n}", where="--trials")
        return n

    def seconds(self, default: float, step_s: int, least: int) -> int:
        """Return the length of a trial in whole steps, as seconds."""
        seconds = default if self.trial_s is None else self.trial_s
        whole = int(seconds // step_s * step_s) if seconds < 1e5 else 0
        if whole < least:
            raise InputError(f"expected at least {least} s, found {seconds:g} s", where="--trial-s")
        return whole

    def command(self, data_set: str) -> str:
        """Return the command line that makes the same data."""
        words = [data_set, "DIR", f"--subjects {self.subjects}", f"--seed {self.seed}"]
        words.append(f"--difficulty {self.difficulty}")
        if self.trials is not None:
            words.append(f"--trials {self.trials}")
        if self.trial_s is not None:
            words.append(f"--trial-s {self.trial_s:g}")
        return " ".join([*words, "--raw"] if self.raw else words)


def each_subject(write: Callable[[MakeOptions, int], None], options: MakeOptions, on_done: OnDone) -> None:
    """Write every subject, in processes; from the start the folder says that it is generated."""
    unfinished = "UNFINISHED: delete this folder and generate it again.\n"
    write_notice(options.folder, "a data set", "...", unfinished)
    numbers = range(1, options.subjects + 1)
    if options.jobs == 1 or options.subjects == 1:
        for n_done, subject in enumerate(numbers, start=1):
            write(options, subject)
            on_done(n_done)
        return
    with process_pool(min(options.jobs, options.subjects)) as pool:
        futures = [pool.submit(write, options, subject) for subject in numbers]
        for n_done, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_done(n_done)
