"""Variables of a MATLAB file, one at a time, with one line where something is wrong."""

from __future__ import annotations

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.trials import FETCH_ANEW


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


def _scalar(kind: Any, content: Any) -> Any:
    made = _Array()
    made.__setstate__((1, (), kind, False, content))
    return made


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
    """Return a pickled dictionary of arrays by whole number.

    Parameters
    ----------
    content : bytes
        The pickle, of any protocol, from Python 2 or 3.
    where : str
        File and entry, for messages.

    Raises
    ------
    InputError
        If it mentions anything but arrays of numbers, is cut short, or is no such dictionary.
    """
    try:
        loaded = _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
        if not isinstance(loaded, dict):
            raise ValueError(type(loaded).__name__)
        return {_whole_number(key): _as_array(value) for key, value in loaded.items()}
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to say
        found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(
            f"expected a pickled dictionary of number arrays and nothing else, found {found}",
            where=where,
            remedy="get the file anew from its publisher; nothing in it was run",
        ) from error


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
