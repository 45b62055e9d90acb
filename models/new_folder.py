"""Folders that are gone again if nothing comes into them."""

import contextlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; those that were made here and hold nothing in the end are removed."""
    made = list(takewhile(lambda place: not place.exists(), (folder, *folder.parents)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # something is in it, or it has been moved away
                place.rmdir()
