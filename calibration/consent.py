"""What a participant is told before a session, and what they agree to; nothing opens before.

A modality without consent is not opened, recorded or used. Video of the face and sound of the voice stay
out of the recording unless agreed to on their own: only figures calculated from them may then be kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acquisition.errors import ErrorCode, InputError
from acquisition.types import KIND_OF_MODALITY, MODALITIES, Kind
from calibration.storage import default_data_folder
from calibration.types import Consent

#: Counts up whenever the words below change in meaning.
NOTICE_VERSION = 1

INTENDED_USE = (
    "Affectscope infers emotions. It is a research instrument: not for workplaces, not for education, "
    "not for medicine, and not for decisions about people."
)
TAKING_PART = (
    "Taking part is voluntary. You can pause, skip a trial or stop at any time, without giving a reason."
)
WHAT_HAPPENS = (
    "You rest, then live through short moments of each emotion and say how they felt; some are unpleasant "
    "(fear, disgust, sadness). From this a model of your own signals is fitted."
)
ALWAYS_KEPT = (
    "Kept in any case: what was shown and when, your answers (emotion, pleasantness, excitement), the "
    "quality of the signals, and this consent."
)
TITLES = {"eeg": "Brain signals (EEG)", "eye": "Eyes", "face": "Face (camera)", "voice": "Voice (microphone)"}
_RECORDED = {
    "eeg": "The voltage at each electrode, as the amplifier sends it, goes into the recording.",
    "eye": "Where you look, the size of your pupils and your blinks go into the recording.",
    "face": "The camera's pictures are turned into figures while the session runs; the figures may be kept, "
    "the pictures are not, unless you tick the line below.",
    "voice": "The sound is turned into figures while the session runs; the figures may be kept, the sound is "
    "not, unless you tick the line below.",
}
_USED = {
    "eeg": "Used: the strength of its rhythms, per electrode and second.",
    "eye": "Used: means and changes of pupils, gaze and blinks over four seconds.",
    "face": "Used: features of the face, twice a second.",
    "voice": "Used: the spectrum of the sound; the words are not recognised.",
}
#: What may be kept beyond that, ticked on its own, by modality.
KEEP = {
    "face": "Also keep the video of my face in the recording (whoever has the file can recognise me).",
    "voice": "Also keep the sound of my voice in the recording (whoever has the file can hear what I say).",
}
WITHOUT_RAW = "What is not kept cannot be calculated again from the recording."


@dataclass(frozen=True)
class ModalityNotice:
    """What is recorded and used of one modality."""

    modality: str  # of acquisition.types.MODALITIES
    title: str
    recorded: str
    used: str
    keep: str = ""  # the words of its second tick; empty where it has none


@dataclass(frozen=True)
class Notice:
    """The whole text before a session."""

    version: int
    paragraphs: tuple[str, ...]
    modalities: tuple[ModalityNotice, ...]

    def text(self) -> str:
        """Return it as plain text, a paragraph a line."""
        lines = list(self.paragraphs)
        for one in self.modalities:
            lines += [" ".join(filter(None, (f"{one.title}.", one.recorded, one.used)))]
            lines += [f"[ ] {one.keep}"] if one.keep else []
        return "\n".join(lines)


def notice(subject: str, folder: Path, modalities: Collection[str] = MODALITIES) -> Notice:
    """Return what the participant is told; ``folder`` is the session's, with its whole path."""
    stays = (
        f"Everything stays on this computer, in {folder}, under the code {subject} and without your name; "
        "nothing is sent to the internet. The devices send their signals over the local network, where other "
        "programs can read them."
    )
    data = folder.parent.parent
    elsewhere = "" if data == default_data_folder().absolute() else f' --data-dir "{data}"'
    withdraw = (
        "You can have all of it deleted at any time, recordings and model: "
        f"affectscope subjects delete {subject}{elsewhere}"
    )
    shown = tuple(
        ModalityNotice(one, TITLES[one], _RECORDED[one], _USED[one], KEEP.get(one, ""))
        for one in MODALITIES
        if one in modalities
    )
    paragraphs = (INTENDED_USE, WHAT_HAPPENS, TAKING_PART, stays, ALWAYS_KEPT, withdraw, WITHOUT_RAW)
    return Notice(NOTICE_VERSION, paragraphs, shown)


def give_consent(
    modalities: Collection[str], now: datetime, *, keep_face_video: bool = False, keep_voice: bool = False
) -> Consent:
    """Return the consent, of ``now`` (with its time zone), to what was ticked; see `check_consent`."""
    unknown = [one for one in modalities if one not in MODALITIES]
    given = tuple(one for one in MODALITIES if one in modalities) + tuple(unknown)
    stamp = now.astimezone(UTC).isoformat(timespec="seconds")
    return check_consent(Consent(given, keep_face_video, keep_voice, stamp, NOTICE_VERSION))


def check_consent(consent: Consent) -> Consent:
    """Return a consent that a session may begin with.

    Raises InputError if it names no modality or an unknown one, keeps what it does not allow to be used, has
    no time, or is to other words than today's.
    """
    unknown = [one for one in consent.modalities if one not in MODALITIES]
    if unknown:
        raise _refused(f"expected {', '.join(MODALITIES)}, found {', '.join(map(repr, unknown))}")
    if len(set(consent.modalities)) != len(consent.modalities):
        raise _refused(f"a modality is named twice: {', '.join(consent.modalities)}")
    if not consent.modalities:
        raise _refused(
            "no modality is agreed to", "tick at least one, or close the window: nothing was opened"
        )
    for is_kept, modality in ((consent.keep_face_video, "face"), (consent.keep_voice, "voice")):
        if is_kept and modality not in consent.modalities:
            raise _refused(
                f"{modality} is to be kept but not to be used", f"tick {modality} too, or keep neither"
            )
    if not _is_time(consent.given_at):
        raise _refused(f"expected a time with its zone, found {consent.given_at!r}")
    if consent.notice_version != NOTICE_VERSION:
        raise _refused(
            f"it is to version {consent.notice_version} of the notice, today's is {NOTICE_VERSION}",
            "show the notice and ask again",
        )
    return consent


def used_kinds(consent: Consent) -> frozenset[Kind]:
    """Return the kinds of signals that may be opened and used."""
    return frozenset(KIND_OF_MODALITY[modality] for modality in consent.modalities)


def recorded_kinds(consent: Consent) -> frozenset[Kind]:
    """Return the kinds of signals that may go into the recording."""
    excluded = set()
    if not consent.keep_face_video:
        excluded.add(Kind.VIDEO)
    if not consent.keep_voice:
        excluded.add(Kind.AUDIO)
    return used_kinds(consent) - excluded


def consent_record(consent: Consent, shown: Notice) -> dict[str, Any]:
    """Return what the sidecar of a recording keeps: the answer, and the words it answers."""
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
    """Return the consent that a sidecar holds, checked but for the version of its notice.

    Raises InputError if something is missing or of another kind.
    """
    try:
        modalities = record["modalities"]
        keeps = record["keep_face_video"], record["keep_voice"]
        given_at, version = record["given_at"], record["notice_version"]
    except (KeyError, TypeError) as error:
        raise _refused(f"the record is not whole: {error} is missing") from error
    is_sound = (
        isinstance(modalities, list)
        and all(isinstance(one, str) for one in modalities)
        and all(isinstance(keep, bool) for keep in keeps)
        and isinstance(given_at, str)
        and isinstance(version, int)
    )
    if not is_sound:
        raise _refused("the record holds values of another kind")
    check_consent(Consent(tuple(modalities), *keeps, given_at, NOTICE_VERSION))
    return Consent(tuple(modalities), *keeps, given_at, version)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _refused(what: str, remedy: str = "ask for the consent again") -> InputError:
    return InputError(what, where="consent", remedy=remedy, code=ErrorCode.SUBJECT)
