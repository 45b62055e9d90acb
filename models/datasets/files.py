"""Reads the files of data sets, MATLAB and pickled, and says in one line what is wrong with a damaged one."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError

#: What to do about a damaged file of a published set.
FETCH_ANEW = "download the file again, or exclude the subject"
#: How the notice in a folder of generated data begins.
GENERATED = "GENERATED DATA."


def is_generated(folder: Path) -> bool:
    """Tell whether a folder's ``README.md`` says that ``make-dataset`` wrote it."""
    try:
        with (folder / "README.md").open(encoding="utf-8") as file:
            return file.read(len(GENERATED)) == GENERATED
    except (OSError, ValueError):
        return False


def damaged(what: str, where: object, remedy: str = FETCH_ANEW) -> InputError:
    """Return the error for a file of a data set that is missing, damaged or of another layout."""
    return InputError(what, where=str(where), remedy=remedy, code=ErrorCode.FILE)


def unusable(
    what: str, where: object, remedy: str, code: ErrorCode = ErrorCode.RECORDING, **facts: int
) -> InputError:
    """Return the error for a recording or a table of them that cannot be used."""
    return InputError(what, where=str(where), remedy=remedy, code=code, **facts)


def first_line(error: Exception | str) -> str:
    """Return what a library said of a damaged file, short enough for one line of our own."""
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__


def mat_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a MATLAB file's variables by name, without reading their values."""
    from scipy.io import whosmat

    return {name: tuple(shape) for name, shape, _ in _read_mat(path, lambda: whosmat(path))}


def mat_array(path: Path, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return a variable as float64; in the expected shape None is any length from 1 up, else `InputError`."""
    from scipy.io import loadmat

    variables = _read_mat(path, lambda: loadmat(path, variable_names=[name]))
    if name not in variables:
        raise damaged(f"expected a variable {name}, found none", path)
    array = np.asarray(variables[name])
    if array.dtype.kind not in "fiub":
        raise damaged(f"{name}: expected numbers, found {array.dtype}", path)
    fits = array.ndim == len(shape) and all(
        n > 0 and (wanted is None or n == wanted) for n, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected, found = (
            ", ".join("any" if n is None else str(n) for n in lengths) for lengths in (shape, array.shape)
        )
        raise damaged(f"{name}: expected shape ({expected}), found ({found})", path)
    return array.astype(np.float64, copy=False)


def _read_mat(path: Path, read: Callable[[], Any]) -> Any:
    if not path.is_file():
        raise damaged("expected this file, found none", path)
    try:
        return read()
    except NotImplementedError as error:
        what = "expected a MATLAB file of version 5 to 7.2, found version 7.3 (HDF5)"
        raise damaged(what, path, "save it in MATLAB with the option -v7") from error
    except Exception as error:  # a damaged file makes SciPy raise whatever its bytes happen to say
        n_bytes = path.stat().st_size
        what = f"cannot read the MATLAB file ({n_bytes} bytes): {first_line(error)}"
        raise damaged(what, path) from error


# -- Pickles -----------------------------------------------------------------------------------------------
# A pickle is a program: loading one can start any other. SEED-V keeps its features in pickles, so this
# reader knows the few names that a pickled array of numbers mentions and refuses every other one.

_KNOWN = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")  # before and after NumPy 2
        if (module, name) not in _KNOWN:
            raise ValueError(f"{module}.{name}")
        return super().find_class(module, name)


def read_arrays(content: bytes, where: str) -> dict[int, NDArray[Any]]:
    """Return a pickled dictionary of arrays by whole number, of any protocol, from Python 2 or 3.

    Raises `InputError` if it mentions anything but arrays of numbers, is cut short, or is another type.
    """
    try:
        loaded = _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(loaded, dict):
            raise ValueError(type(loaded).__name__)
        return {_whole_number(key): _as_array(value) for key, value in loaded.items()}
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        what = f"expected a pickled dictionary of number arrays and nothing else, found {first_line(error)}"
        raise damaged(what, where, "download the file again; nothing in it was run") from error


def _whole_number(key: Any) -> int:
    if isinstance(key, bool) or not isinstance(key, int | np.integer):
        raise ValueError(f"the key {key!r}")
    return int(key)


def _as_array(value: Any) -> NDArray[Any]:
    array = np.array(value)
    if not isinstance(value, np.ndarray | list) or array.dtype.kind not in "fiub":
        raise ValueError(f"a {type(value).__name__} of {array.dtype}")
    return array
