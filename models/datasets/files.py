"""Reads the files of data sets, MATLAB and pickled, and says in one line what is wrong with a damaged one."""

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError

#: What to do about a damaged file of a published set.
FETCH_ANEW = "download the file again, or exclude the subject"


def damaged(what: str, where: object, remedy: str = FETCH_ANEW) -> InputError:
    """Return the error for a file of a data set that is missing, damaged or of another layout."""
    return InputError(what, where=str(where), remedy=remedy, code=ErrorCode.FILE)


def first_line(error: Exception) -> str:
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
# reader knows the few names that a pickled NumPy array mentions, answers them with inert stand-ins, and
# refuses every other name. Not even NumPy's own unpickling runs; the arrays are built afterwards
# from checked bytes.

_PLAIN_TYPE = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1)")


class _Type:
    """Stands in for a NumPy dtype: its text and byte order."""

    def __init__(self, text: Any, *_: Any) -> None:
        self.text = text.decode("ascii") if isinstance(text, bytes) else str(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else str(state[1])
        if self.text[:1] not in "<>|=":
            self.text = order + self.text

    def dtype(self) -> np.dtype[Any]:
        if _PLAIN_TYPE.fullmatch(self.text) is None:
            raise ValueError(f"an array of type {self.text[:20]!r}")
        return np.dtype(self.text)


class _Array:
    """Stands in for an array until its bytes have been checked."""

    shape: Any = ()
    kind: Any = None
    fortran: Any = False
    content: Any = b""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.kind, self.fortran, self.content = state

    def array(self) -> NDArray[Any]:
        content = self.content.encode("latin-1") if isinstance(self.content, str) else self.content
        if not isinstance(self.kind, _Type) or not isinstance(
            content, bytes | bytearray | pickle.PickleBuffer
        ):
            raise ValueError("an array that is not made of numbers")
        dtype, shape = self.kind.dtype(), tuple(int(n) for n in self.shape)
        content = bytes(content)
        if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f"an array of shape {shape} with {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if self.fortran else "C").copy()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: str) -> _Array:
    made = _Array()
    made.__setstate__((1, shape, kind, order == "F", content))
    return made


def _scalar(kind: Any, content: Any) -> _Array:
    return _from_buffer(content, kind, (), "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding.lower().replace("-", "") not in ("latin1", "iso88591"):
        raise ValueError(f"bytes in encoding {encoding[:20]!r}")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}
for _package in ("numpy.core", "numpy._core"):  # before and after NumPy 2
    _KNOWN[f"{_package}.multiarray", "_reconstruct"] = _reconstruct
    _KNOWN[f"{_package}.multiarray", "scalar"] = _scalar
    _KNOWN[f"{_package}.numeric", "_frombuffer"] = _from_buffer


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise ValueError(f"{module}.{name}")
        return _KNOWN[module, name]


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
    number = key.array().item() if isinstance(key, _Array) else key
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"the key {number!r}")
    return number


def _as_array(value: Any) -> NDArray[Any]:
    if isinstance(value, _Array):
        return value.array()
    if isinstance(value, list):
        return np.array([_plain_number(item) for item in value])
    raise ValueError(f"a {type(value).__name__} in the dictionary")


def _plain_number(item: Any) -> Any:
    if isinstance(item, _Array):
        return item.array().item()
    if isinstance(item, int | float):
        return item
    raise ValueError(f"a {type(item).__name__} in a list")
