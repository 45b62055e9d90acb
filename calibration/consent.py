"""The notice that a participant reads before a session (`assets/notice.toml`), and their consent.

Nothing is opened before it, and a modality without consent is not opened, recorded or used. Face video and
voice sound are recorded only with a consent of their own; without it, only features computed from them may be
kept.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from acquisition.text import parse_toml
from acquisition.types import KIND_OF_MODALITY, MODALITIES, Kind
from assets import NOTICE
from calibration.storage import default_data_folder
from calibration.types import Consent
from models.config import built


@dataclass(frozen=True)
class ModalityNotice:
    """What is recorded and used of one modality."""

    modality: str  # of acquisition.types.MODALITIES
    title: str
    recorded: str
    used: str
    keep: str = ""  # label of its second tick box; empty without one


_WORDS = parse_toml(NOTICE.read_bytes())
NOTICE_VERSION: int = _WORDS["version"]
INTENDED_USE: str = _WORDS["paragraphs"][0]
MODALITY_NOTICES = tuple(ModalityNotice(**one) for one in _WORDS["modalities"])
TITLES = {one.modality: one.title for one in MODALITY_NOTICES}


@dataclass(frozen=True)
class Notice:
    """The whole text before a session."""

    version: int
    paragraphs: tuple[str, ...]
    modalities: tuple[ModalityNotice, ...]

    def text(self) -> str:
        lines = list(self.paragraphs)
        for one in self.modalities:
            lines += [f"{one.title}. {one.recorded} {one.used}"]
            lines += [f"[ ] {one.keep}"] if one.keep else []
        return "\n".join(lines)


def notice(subject: str, folder: Path) -> Notice:
    """Return what the participant is told; ``folder`` is the session's absolute path."""
    data = folder.parent.parent
    elsewhere = "" if data == default_data_folder().absolute() else f' --data-dir "{data}"'
    given = {"folder": folder, "subject": subject, "data_dir": elsewhere}
    paragraphs = tuple(paragraph.format(**given) for paragraph in _WORDS["paragraphs"])
    return Notice(NOTICE_VERSION, paragraphs, MODALITY_NOTICES)


def give_consent(
    modalities: Collection[str], now: datetime, *, keep_face_video: bool = False, keep_voice: bool = False
) -> Consent:
    """Return the consent to the ticked modalities, given at ``now`` (with time zone); see `check_consent`."""
    unknown = [one for one in modalities if one not in MODALITIES]
    given = tuple(one for one in MODALITIES if one in modalities) + tuple(unknown)
    stamp = now.astimezone(UTC).isoformat(timespec="seconds")
    return check_consent(Consent(given, keep_face_video, keep_voice, stamp, NOTICE_VERSION))


def check_consent(consent: Consent) -> Consent:
    """Return a consent with which a session may begin.

    Raises InputError if it names no modality or an unknown one, keeps what it does not allow to be used, has
    no time, or refers to another version of the notice.
    """
    unknown = [one for one in consent.modalities if one not in MODALITIES]
    if unknown:
        what = f"expected {', '.join(MODALITIES)}, found {', '.join(map(repr, unknown))}"
        raise _refused("modalities", what)
    if len(set(consent.modalities)) != len(consent.modalities):
        raise _refused("modalities", f"a modality is named twice: {', '.join(consent.modalities)}")
    if not consent.modalities:
        remedy = "tick at least one, or close the window: nothing was opened"
        raise _refused("modalities", "no consent to any modality", remedy)
    for name, modality in (("keep_face_video", "face"), ("keep_voice", "voice")):
        if getattr(consent, name) and modality not in consent.modalities:
            what = f"{modality} would be stored but not used"
            raise _refused(name, what, f"tick {modality} too, or do not keep it")
    zone = None
    with suppress(ValueError):
        zone = datetime.fromisoformat(consent.given_at).tzinfo
    if zone is None:
        raise _refused("given_at", f"expected a time with its zone, found {consent.given_at!r}")
    if consent.notice_version != NOTICE_VERSION:
        given = consent.notice_version
        what = f"it refers to notice version {given}; the current version is {NOTICE_VERSION}"
        raise _refused("notice_version", what, "show the notice and ask again")
    return consent


def recorded_kinds(consent: Consent) -> frozenset[Kind]:
    """Return the kinds of signals that may go into the recording."""
    kept = {"face": consent.keep_face_video, "voice": consent.keep_voice}
    return frozenset(KIND_OF_MODALITY[m] for m in consent.modalities if kept.get(m, True))


def consent_record(consent: Consent, shown: Notice) -> dict[str, Any]:
    """Return what the sidecar of a recording keeps: the consent, and the notice it refers to."""
    return {
        "given_at": consent.given_at,
        "notice_version": consent.notice_version,
        "modalities": list(consent.modalities),
        "declined": [one for one in MODALITIES if one not in consent.modalities],
        "keep_face_video": consent.keep_face_video,
        "keep_voice": consent.keep_voice,
        "recorded": sorted(str(kind) for kind in recorded_kinds(consent)),
        "intended_use": INTENDED_USE,
        "notice": shown.text().split("\n"),
    }


def consent_from_record(record: Mapping[str, Any]) -> Consent:
    """Return the consent in a sidecar; everything but the version of its notice is checked.

    Raises InputError if an entry is missing or has the wrong type.
    """
    try:
        found = built(Consent, {one.name: record.get(one.name) for one in fields(Consent)}, "consent")
    except InputError as error:
        raise _refused(str(error.facts["setting"]), error.what) from error
    check_consent(replace(found, notice_version=NOTICE_VERSION))
    return found


def _refused(field: str, what: str, remedy: str = "ask for consent again") -> InputError:
    return InputError(what, where="consent", remedy=remedy, code=ErrorCode.SUBJECT, field=field)
