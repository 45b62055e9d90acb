"""Dataclasses from what JSON gives, with names and types checked."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from acquisition.errors import InputError

T = TypeVar("T")


def check_keys(
    data: Mapping[str, Any], known: Sequence[str], where: str, required: Sequence[str] = ()
) -> None:
    """Refuse keys that are not known, and the lack of one that is required."""
    unknown, missing = sorted(set(data) - set(known)), sorted(set(required) - set(data))
    if unknown or missing:
        raise InputError(
            f"expected the keys {sorted(known)}, found unknown {unknown} and missing {missing}",
            where=where,
            remedy="the file was changed by hand or written by another version of the program",
        )


def build(cls: type[T], data: Any, where: str) -> T:
    """Build a dataclass from a dict, recursing into dataclass fields."""
    if not isinstance(data, Mapping):
        raise InputError(f"expected an object, found {type(data).__name__}", where=where)
    assert is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    check_keys(data, [f.name for f in fields(cls)], where, required)
    values = {name: cast_as(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    return typing.cast(T, cls(**values))


def cast_as(kind: Any, value: Any, where: str) -> Any:
    """Return ``value`` as ``kind``, which is a dataclass, a plain type or ``tuple[x, ...]``."""
    if is_dataclass(kind):
        return build(typing.cast(type, kind), value, where)
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"expected a list, found {type(value).__name__} {value!r}", where=where)
        item = typing.get_args(kind)[0]
        return tuple(cast_as(item, entry, where) for entry in value)
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        found = f"{type(value).__name__} {value!r}"
        raise InputError(f"expected {kind.__name__}, found {found}", where=where)
    return float(value) if kind is float else value
