"""The one exception that means: the user can fix this."""

import errno
import os
import shlex
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO


class ErrorCode(StrEnum):
    """What an `InputError` is about; titles, buttons and exit codes are chosen by it, never by its words."""

    OPTION = "option"  # an option or its value, alone or with others
    FILE = "file"  # any other file or folder: missing, unreadable, damaged, not writable
    RECORDING = "recording"  # a recording cannot be read, or has no usable data
    LOST = "lost"  # what is being recorded is not all kept
    MODEL = "model"  # a model folder is missing, damaged, or does not fit
    PROFILE = "profile"  # a profile is missing, damaged, or does not fit the model
    NO_STREAM = "no_stream"  # no usable stream was found
    AMBIGUOUS_STREAM = "ambiguous_stream"  # several streams fit one modality
    WRONG_STREAM = "wrong_stream"  # a chosen stream is missing, unsuitable or chosen twice
    CHANNELS = "channels"  # channels, units or montage of a stream or file
    DEVICE = "device"  # a camera, microphone, GPU or display
    DATA = "data"  # labels, trials or signals are too few for what was asked
    SUBJECT = "subject"  # a subject, session or consent
    INSTALLATION = "installation"  # a package or library is missing


class InputError(Exception):
    """Something the program was given cannot be used as it is.

    The command line prints it as one line and exits with code 2; it never becomes a traceback.

    Parameters
    ----------
    what : str
        What is wrong, with the expected and the actual value.
    where, remedy : str
        The file, stream or option it was found in, and what the user can do about it.
    code : ErrorCode
        What it is about.
    facts : str or int
        What a caller may act on, by name: ``modality``, ``stream``, ``n_streams``, ...
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        code: ErrorCode = ErrorCode.OPTION,
        **facts: str | int,
    ) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        self.code = code
        self.facts = facts
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message} ({remedy})" if remedy else message)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep everything when it travels between processes."""
        return _rebuilt, (self.what, self.where, self.remedy, self.code, self.facts)


def _rebuilt(what: str, where: str, remedy: str, code: ErrorCode, facts: dict[str, str | int]) -> InputError:
    return InputError(what, where=where, remedy=remedy, code=code, **facts)


@contextmanager
def file_errors(
    what: str, where: object, remedy: str = "", code: ErrorCode = ErrorCode.FILE
) -> Iterator[None]:
    """Turn an ``OSError`` inside into an `InputError` such as "cannot be read: No such file or directory"."""
    try:
        yield
    except OSError as error:
        what = f"{what}: {error.strerror or error}"
        raise InputError(what, where=str(where), remedy=remedy, code=code) from error


MOST_TEXT_BYTES = 16_000_000  # of a JSON file that somebody gave


def read_limited(path: Path, most_bytes: int = MOST_TEXT_BYTES, inside: Path | None = None) -> bytes:
    """Return a file's content; `OSError` also if it is no regular file, too large or not ``inside`` a folder.

    A FIFO or a device that somebody put there would never end.
    """
    if inside is not None and not real_path(path).is_relative_to(real_path(inside)):
        raise OSError(errno.EPERM, "it is a link out of its folder")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, expected at most {most_bytes:,}")
        return file.read(most_bytes)


def real_path(path: Path) -> Path:
    """Return where a path leads, past links; of links in a circle, at which `Path.resolve` raises, one."""
    return Path(os.path.realpath(path))


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; `OSError` if it is no regular file, without waiting for one that is a FIFO."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(handle, "rb")


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; those that were made here and hold nothing in the end are removed."""
    made = list(takewhile(lambda place: not place.exists(), (folder, *folder.parents)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in made:
            with suppress(OSError):  # something is in it, or it has been moved away
                place.rmdir()


#: Control, format, surrogate, private use, unassigned; line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return foreign text (names of streams, markers, labels) on one line, safe to show.

    Control and direction-changing characters become spaces.
    """
    return " ".join(without_controls(text).split())


def without_controls(text: str) -> str:
    """Return text with a space for each control and direction-changing character: it stays on its line."""
    return "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def pasteable(*words: object) -> str:
    """Return words as part of a command to be pasted: what others name runs nothing in a shell."""
    return " ".join(shlex.quote(without_controls(str(word))) for word in words)
