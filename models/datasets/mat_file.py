"""Variables of a MATLAB file, one at a time, with one line where something is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.types import FETCH_ANEW


def mat_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's variables by name, without reading their values.

    Raises
    ------
    InputError
        If the file is missing, empty, cut short or of another format.
    """
    from scipy.io import whosmat

    return {name: tuple(shape) for name, shape, _ in _read(path, lambda: whosmat(path))}


def mat_array(path: Path, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return one variable as float64.

    Parameters
    ----------
    shape : tuple of int or None
        Expected; None stands for any length from 1 up.

    Raises
    ------
    InputError
        If the file cannot be read, or the variable is missing, not numeric or of another shape.
    """
    from scipy.io import loadmat

    variables = _read(path, lambda: loadmat(path, variable_names=[name]))
    if name not in variables:
        raise InputError(f"expected a variable {name}, found none", where=str(path), remedy=FETCH_ANEW)
    array = np.asarray(variables[name])
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected numbers, found {array.dtype}", where=str(path), remedy=FETCH_ANEW)
    fits = array.ndim == len(shape) and all(
        n > 0 and (wanted is None or n == wanted) for n, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{name}: expected shape {shape_words(shape)}, found {shape_words(array.shape)}",
            where=str(path),
            remedy=FETCH_ANEW,
        )
    return array.astype(np.float64, copy=False)


def shape_words(shape: tuple[int | None, ...]) -> str:
    """Return ``(62, any, 5)``."""
    return f"({', '.join('any' if n is None else str(n) for n in shape)})"


def _read(path: Path, read: Any) -> Any:
    if not path.is_file():
        raise InputError("expected this file, found none", where=str(path), remedy=FETCH_ANEW)
    try:
        return read()
    except NotImplementedError as error:
        raise InputError(
            "expected a MATLAB file of version 5 to 7.2, found version 7.3 (HDF5)",
            where=str(path),
            remedy="save it in MATLAB with the option -v7",
        ) from error
    except Exception as error:  # a damaged file makes SciPy raise whatever its bytes happen to say
        found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(
            f"expected a whole MATLAB file, found {path.stat().st_size} bytes that cannot be read: {found}",
            where=str(path),
            remedy=FETCH_ANEW,
        ) from error
