"""The description of a profile, read without torch, which the window's process must not load."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError, read_limited
from acquisition.text import parse_json
from acquisition.types import MODALITIES
from calibration.verdict import DO_NOT_TRUST, VerdictCode
from models.config import built

CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
FORMAT_VERSION = 2  # 1: heads on modality tokens, of base models that are no longer
KIND = "calibration profile"
HEADS = ("discriminant",)  # `models.mixed_discriminant`, updated with the session's trials
REMEDY = "copy the profile's folder again, or make it again: affectscope calibrate refit FILE"


def profile_error(part: str, what: str, where: Path | str, remedy: str = REMEDY) -> InputError:
    """Return the error for a profile that cannot be used because of one part: a file, entry or tensor."""
    return InputError(what, where=str(where), remedy=remedy, code=ErrorCode.PROFILE, part=part)


@dataclass(frozen=True)
class ProfileSummary:
    """What a profile was fitted to, and its accuracy. Plain values of ``config.json``."""

    subject: str  # pseudonymous
    classes: tuple[str, ...]  # in the order of the head's logits
    modalities: tuple[str, ...]  # consented to and fitted
    ch_names: tuple[str, ...]  # EEG channels that were connected, of the model's; () without EEG
    head: str  # one of HEADS
    verdict: str  # a calibration.verdict.VerdictCode
    base_name: str
    base_sha256: str
    features_sha256: str  # calibration.profile.features_sha256
    words: str = ""  # the verdict in sentences
    figures: Mapping[str, float | int | None] = field(default_factory=dict)
    date: str = ""  # ISO 8601, of the session
    session: int = 1
    labels: str = "intended"  # | reported: what the head was fitted to
    is_simulated: bool = False
    screen_cm: str | None = None  # as it was given; eye features in degrees depend on it
    distance_cm: float | None = None
    own_scores: tuple[float, ...] = ()  # 1 - p(true) of each trial, held out: `models.trust.ModelFacts`

    @property
    def is_trusted(self) -> bool:
        """False where the program must say `DO_NOT_TRUST`."""
        return self.verdict != VerdictCode.NOT_DISTINGUISHABLE

    @property
    def name(self) -> str:
        return f"{self.subject}, session {self.session}"

    @property
    def warning(self) -> str:
        """The warning wherever it is used; empty for a profile better than chance."""
        if self.is_trusted:
            return ""
        return f"{DO_NOT_TRUST}: its calibration was {self.verdict}"

    def remark(self) -> dict[str, Any]:
        """Return what is written with every prediction in a file."""
        return {"profile": self.name, "profile_verdict": self.verdict, "do_not_trust": not self.is_trusted}

    def check_base(self, sha256: str, where: str) -> None:
        """Refuse another base model with both hashes, as an InputError."""
        if sha256 != self.base_sha256:
            what = (
                f"this profile belongs to a base model with sha256 {self.base_sha256[:16]}, "
                f"found one with {sha256[:16]}"
            )
            remedy = f"choose the model it was fitted to ({self.base_name}) with --model, or calibrate again"
            raise profile_error("base_sha256", what, where, remedy)

    def to_dict(self) -> dict[str, Any]:
        """Return what goes to JSON; `from_dict` turns it back into an equal summary."""
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return {"format_version": FORMAT_VERSION, "kind": KIND, **values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str) -> ProfileSummary:
        """Build a summary from `to_dict`'s form; keys that are not its own are ignored.

        Raises InputError if a key is missing, a value is wrong, or the file is not a profile of this version.
        """
        if data.get("kind") != KIND:
            what = f"is not a {KIND}: found kind {data.get('kind')!r}"
            remedy = "give a profile's folder with --profile and a model's with --model"
            raise profile_error("kind", what, where, remedy)
        if data.get("format_version") != FORMAT_VERSION:
            what = f"expected format_version {FORMAT_VERSION}, found {data.get('format_version')!r}"
            remedy = "open it with the version of the program that wrote it, or calibrate again"
            raise profile_error("format_version", what, where, remedy)
        try:
            summary = built(cls, {one.name: data[one.name] for one in fields(cls) if one.name in data}, where)
        except InputError as error:
            raise profile_error(str(error.facts["setting"]), error.what, where) from error
        summary._check(where)
        return summary

    def _check(self, where: str) -> None:
        in_order = tuple(m for m in MODALITIES if m in self.modalities)
        for what, allowed, found in (
            ("head", HEADS, self.head),
            ("verdict", tuple(VerdictCode), self.verdict),
            ("modalities", (in_order or ("some of them",),), self.modalities),
        ):
            if found not in allowed:
                raise profile_error(what, f"{what}: expected one of {list(allowed)}, found {found!r}", where)
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            what = f"classes: expected two or more distinct names, found {list(self.classes)}"
            raise profile_error("classes", what, where)
        if not all(0 <= score <= 1 for score in self.own_scores):
            raise profile_error("own_scores", f"expected 0 to 1, found {list(self.own_scores)}", where)


def read_config(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Return a profile's ``config.json``, an object, as a dict and as it lies there; else InputError."""
    path = folder / CONFIG_FILE
    if not path.is_file() and (inside := folder / "profile" / CONFIG_FILE).is_file():
        what = f"is a session's folder: its profile is {inside.parent}"
        raise profile_error(CONFIG_FILE, what, folder, f"name that one: --profile {inside.parent}")
    text = read_file(path)
    try:
        data = parse_json(text)
    except ValueError as error:  # bad JSON or bad UTF-8
        raise profile_error(CONFIG_FILE, f"is not valid JSON: {error}", path) from error
    if not isinstance(data, dict):
        raise profile_error(CONFIG_FILE, f"expected a JSON object, found {type(data).__name__}", path)
    return data, text


def read_summary(folder: Path | str) -> ProfileSummary:
    """Read a profile's description, without its weights.

    Raises InputError if the folder contains no profile, or a damaged one.
    """
    folder = Path(folder)
    data, _ = read_config(folder)
    summary = ProfileSummary.from_dict(data, str(folder / CONFIG_FILE))
    if not (folder / WEIGHTS_FILE).is_file():
        raise profile_error(WEIGHTS_FILE, f"{WEIGHTS_FILE} is missing", folder)
    return summary


def is_profile(folder: Path) -> bool:
    """Tell whether a folder says that it is a profile, usable or not."""
    with contextlib.suppress(InputError):
        return bool(read_config(folder)[0].get("kind") == KIND)
    return False


def model_sha256(folder: Path | str) -> str:
    """Return the hash by which a profile names its base model, `models.checkpoint.Checkpoint.sha256`.

    Raises InputError if a file of it cannot be read.
    """
    files = (read_file(Path(folder) / name, 8_000_000_000) for name in (CONFIG_FILE, WEIGHTS_FILE))
    return hashlib.sha256(b"".join(files)).hexdigest()


_MOST_BYTES = 256_000_000  # of a profile's file


def read_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    try:
        return read_limited(path, most_bytes, inside=path.parent)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        remedy = f"choose a folder with {CONFIG_FILE} and {WEIGHTS_FILE} with --profile"
        raise profile_error(path.name, what, path, remedy) from error
