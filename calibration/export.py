"""Everything that is kept of a subject in one ZIP file, with a list of what is in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from acquisition.errors import InputError
from calibration.subject_files import KeptFile, kept_files, known_folder, refuse_running

MANIFEST = "manifest.json"
_FORMAT = 1
_PIECE_BYTES = 1 << 20
_FASTEST = 1  # of zlib; samples hardly get smaller with more work
_REMEDY = "free some space, or choose another path with --out"


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    path: Path
    subject: str
    n_files: int
    n_bytes: int  # of the files before they were packed

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "path": str(self.path)}


def export_subject(
    data: Path,
    subject: str,
    out: Path,
    now: datetime,
    progress: Callable[[float], None] = lambda share: None,
) -> Exported:
    """Write all files of a subject to a ZIP file for the user alone, with a manifest of their SHA-256.

    Parameters
    ----------
    data : Path
        The data folder.
    subject : str
    out : Path
        The ZIP file; one that exists is refused. It appears when it is whole.
    now : datetime
        With its time zone, for the manifest.
    progress : callable
        Is told the share that is done, 0..1.

    Raises
    ------
    InputError
        If the id is unknown or not usable, a link is in the folder, a recording is being written, ``out``
        exists or lies in the folder, or the disk is full or cannot be written.
    """
    folder = known_folder(data, subject)
    files = kept_files(data, subject)
    refuse_running(files)
    _check_out(out, folder)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_room(out, files)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _write(
                file, files, {"subject": subject, "exported_at": now.astimezone(UTC).isoformat()}, progress
            )
        os.replace(part, out)
    except OSError as error:
        raise InputError(
            f"the export was not written: {error.strerror or error}", where=str(out), remedy=_REMEDY
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return Exported(out.absolute(), subject, len(files), sum(kept.n_bytes for kept in files))


def _check_out(out: Path, folder: Path) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            "an export cannot lie in the folder it is made of", where=str(out), remedy="choose another path"
        )
    if out.exists() or out.is_symlink():
        raise InputError("the file exists and is not overwritten", where=str(out), remedy="name another one")


def _check_room(out: Path, files: list[KeptFile]) -> None:
    """Refuse at once what would fail after minutes; packing saves little of what samples need."""
    need, free = sum(kept.n_bytes for kept in files), shutil.disk_usage(out.parent).free
    if need > free:
        raise InputError(
            f"expected room for {need / 1e6:,.1f} MB, found {free / 1e6:,.1f} MB free",
            where=str(out.parent.absolute()),
            remedy=_REMEDY,
        )


def _write(
    file: IO[bytes], files: list[KeptFile], about: dict[str, str], progress: Callable[[float], None]
) -> None:
    """Write the archive; sizes and hashes are of what went into it."""
    total, n_done = sum(kept.n_bytes for kept in files), 0
    entries = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as archive:
        for kept in files:
            digest, n_bytes = hashlib.sha256(), 0
            name = kept.relative.as_posix()
            info = zipfile.ZipInfo.from_file(kept.path, name, strict_timestamps=False)
            info.compress_type = zipfile.ZIP_DEFLATED
            with kept.path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    digest.update(piece)
                    n_bytes += len(piece)
                    progress(min(1.0, (n_done + n_bytes) / max(1, total)))
            n_done += n_bytes
            entries.append({"path": name, "n_bytes": n_bytes, "sha256": digest.hexdigest()})
        manifest = {"format": _FORMAT, **about, "n_files": len(entries), "files": entries}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2) + "\n")
