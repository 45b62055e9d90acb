"""Decides what each stream is and which ones are used; the same for live streams and for files."""

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from itertools import islice
from typing import TypeVar

from acquisition.errors import ErrorCode, InputError, pasteable, printable
from acquisition.header import CALIBRATION_ID, CLOCK_TYPE, NOTES_ID, PREDICTION_TYPE
from acquisition.types import KIND_OF_MODALITY, Kind, StreamHeader

K = TypeVar("K", bound=Hashable)


_TYPES = {
    Kind.EEG: "eeg",
    Kind.GAZE: "gaze gazedata eye eyes eyegaze eyetracker eyetracking pupil",
    Kind.VIDEO: "video videoraw videocompressed videostream webcam",
    Kind.AUDIO: "audio microphone voice speech",
    Kind.MARKERS: "marker markers stringmarker stringmarkers annotation annotations event events "
    "trigger triggers",
}
_KIND_OF_TYPE = {word: kind for kind, words in _TYPES.items() for word in words.split()}

#: Other sensors of the same device, often under the same name; not even a choice by name makes them EEG.
_OTHER_SENSORS = (
    "acc accelerometer gyro gyroscope imu mocap ppg hr hrv ecg emg eog gsr eda resp telemetry battery "
    "impedance control"
)

_FIELDS = ("name", "type", "source_id", "host", "id")
_CHOICE_KINDS = {**KIND_OF_MODALITY, "markers": Kind.MARKERS}
_USAGE = (
    f"write --streams eeg=name:NAME,eye=type:TYPE,voice=source_id:ID,face=none (fields: {', '.join(_FIELDS)})"
)


def is_own(header: StreamHeader) -> bool:
    return header.type in (CLOCK_TYPE, PREDICTION_TYPE)


def is_notes(header: StreamHeader) -> bool:
    return header.source_id.startswith(NOTES_ID)


def is_calibration(header: StreamHeader) -> bool:
    return header.source_id.startswith(CALIBRATION_ID)


def kind_of(header: StreamHeader) -> Kind:
    """Return what a stream carries, by its type (without case, blanks and underscores).

    The format has a veto: signals are numbers, and a video of one numeric channel is only a frame count.
    """
    kind = _KIND_OF_TYPE.get(_squeezed(header.type), Kind.OTHER)
    is_text = header.channel_format == "string"
    if is_text and kind in (Kind.EEG, Kind.GAZE, Kind.AUDIO):
        return Kind.MARKERS if "event" in header.name.lower() else Kind.OTHER
    if kind is Kind.VIDEO and not is_text and header.n_channels == 1:
        return Kind.OTHER
    return kind


def select_streams(
    headers: Mapping[K, StreamHeader],
    choices: str | None = None,
    kinds: Collection[Kind] = (Kind.EEG, Kind.GAZE, Kind.VIDEO, Kind.AUDIO, Kind.MARKERS),
    *,
    with_notes: bool = True,
    unread: Collection[Kind] = (),
    preferred: Collection[str] = (),
    tell: Callable[[str], None] = lambda notice: None,
) -> dict[K, Kind]:
    """Return which streams are used, and as what: at most one a modality, then the marker streams.

    Parameters
    ----------
    headers : mapping
        Every stream there is; keys are the caller's (uid of a live stream, stream id in a file).
    choices : str or None
        The text of ``--streams``: ``eeg=name:Muse,eye=type:Gaze,voice=source_id:abc,face=none``. A value
        without a field is a name; ``id`` is the key. What is not mentioned is found by type.
    kinds : collection of Kind
        What is wanted; other kinds are ignored.
    with_notes : bool
        False excludes notes typed in a window and a calibration's markers unless they are chosen: live,
        they are another session's, which may end at any moment.
    unread : collection of Kind
        What the model does without: where several streams of such a kind fit, none is used.
    preferred : collection of str
        ``source_id`` of streams that ran before: among several that fit, one of these is used.
    tell : callable
        Told in a sentence what was decided between several.

    Raises
    ------
    InputError
        If a choice is malformed or matches nothing, several streams fit, or nothing is left to use.
    """
    wanted = parse_choices(choices or "")
    usable = _usable(headers)
    chosen: dict[K, Kind] = {}
    for modality, kind in _CHOICE_KINDS.items():
        if kind not in kinds:
            continue
        choice = wanted.get(modality)
        if choice == "none":
            continue
        found = _matching(usable, choice, modality, kind) if choice else _of_kind(usable, kind, with_notes)
        if len(found) > 1 and kind is not Kind.MARKERS:
            known = [key for key in found if usable[key].source_id in preferred]
            if len(known) == 1:
                found = known
                tell(f"{modality}: {usable[known[0]].name} is used, as before")
            elif kind in unread:
                tell(f"{modality}: not used: {len(found)} streams, and the model reads none of them")
                continue
            else:
                raise _ambiguous(usable, found, modality)
        if taken := [key for key in found if key in chosen]:
            raise _unsuitable(f"{_described(usable, taken[0])} is chosen twice", modality)
        chosen.update(dict.fromkeys(found, kind))
    if not any(kind is not Kind.MARKERS for kind in chosen.values()) and set(kinds) - {Kind.MARKERS}:
        what = f"no EEG, eye, face or voice stream to use; {_list_of(usable, usable)}"
        remedy = "start a publisher, or " + _USAGE
        raise InputError(what, where="streams", remedy=remedy, code=ErrorCode.NO_STREAM)
    return chosen


def exclude_unusable(
    chosen: dict[K, Kind], use: Callable[[K, Kind], object], unread: Collection[Kind] = ()
) -> dict[K, InputError]:
    """Drop from ``chosen`` the streams that ``use`` refuses, and return why: a session does without them.

    Raises the `InputError` of one that it needs: EEG, unless that is ``unread``, and the last signal.
    """
    refused: dict[K, InputError] = {}
    for key, kind in list(chosen.items()):
        try:
            use(key, kind)
        except InputError as error:
            others = {other for at, other in chosen.items() if at != key} - {Kind.MARKERS}
            if (kind is Kind.EEG and kind not in unread) or not others:
                raise
            del chosen[key]
            refused[key] = error
    return refused


def lacking(
    headers: Mapping[K, StreamHeader], choices: str | None, modalities: Collection[str]
) -> dict[str, str]:
    """Return which ``modalities`` have no stream yet, and what was chosen for each, "" for any.

    Those excluded by choice are not waited for. Raises `InputError` if the choice is malformed.
    """
    wanted, usable = parse_choices(choices or ""), _usable(headers)
    waited_for = {
        m: wanted.get(m, "") for m in KIND_OF_MODALITY if m in modalities or wanted.get(m, "none") != "none"
    }
    return {
        modality: choice
        for modality, choice in waited_for.items()
        if choice != "none"
        and not (_named(usable, choice) if choice else _of_kind(usable, KIND_OF_MODALITY[modality], False))
    }


def _usable(headers: Mapping[K, StreamHeader]) -> dict[K, StreamHeader]:
    return {key: header for key, header in headers.items() if not is_own(header)}


def _of_kind(usable: Mapping[K, StreamHeader], kind: Kind, with_notes: bool) -> list[K]:
    return [
        key
        for key, header in usable.items()
        if kind_of(header) is kind and (with_notes or not (is_notes(header) or is_calibration(header)))
    ]


def without(choices: str | None, modalities: Collection[str]) -> str | None:
    """Return ``choices``, as `select_streams` takes them, with no stream for some modalities."""
    wanted = parse_choices(choices or "") | dict.fromkeys(modalities, "none")
    return format_choices(wanted)


def format_choices(choices: Mapping[str, str]) -> str | None:
    """Return the text of ``--streams`` for choices by modality; "" and what is not mentioned is automatic."""
    return ",".join(f"{modality}={choice}" for modality, choice in choices.items() if choice) or None


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def parse_choices(text: str) -> dict[str, str]:
    """Return the choice by modality; raises `InputError` if the text is malformed."""
    # A name may hold commas, so cut only before ``modality=``.
    names = "|".join(_CHOICE_KINDS)
    parts = re.split(rf",\s*(?=(?:{names})\s*=)", text.strip()) if text.strip() else []
    choices: dict[str, str] = {}
    for part in parts:
        modality, equals, value = part.partition("=")
        modality, value = modality.strip().lower(), value.strip()
        if not equals or modality not in _CHOICE_KINDS or not value:
            what = f"cannot read {part!r}: expected one of {', '.join(_CHOICE_KINDS)}, then = and a stream"
            raise InputError(what, where="--streams", remedy=_USAGE)
        if modality in choices:
            raise InputError(f"{modality} is given twice", where="--streams", remedy=_USAGE)
        choices[modality] = value
    return choices


def _matching(usable: Mapping[K, StreamHeader], choice: str, modality: str, kind: Kind) -> list[K]:
    """Return the streams a choice means; among several, those of the right kind."""
    found = _named(usable, choice)
    if not found:
        field_name, value = _field_value(choice)
        candidates = [key for key, header in usable.items() if kind_of(header) is kind]
        listed = _list_of(usable, candidates or list(usable))
        raise _unsuitable(f"no stream has {field_name} {value!r}; {listed}", modality)
    right = [key for key in found if kind_of(usable[key]) is kind]
    # An unknown type may be chosen by hand; a known other sensor may not.
    possible = right or [
        key
        for key in found
        if kind_of(usable[key]) is Kind.OTHER and _squeezed(usable[key].type) not in _OTHER_SENSORS.split()
    ]
    if not possible:
        raise _unsuitable(f"{_described(usable, found[0])} has no {kind.value}", modality)
    return possible


def _field_value(choice: str) -> tuple[str, str]:
    field_name, colon, value = choice.partition(":")
    return (field_name, value) if colon and field_name in _FIELDS else ("name", choice)


def _named(usable: Mapping[K, StreamHeader], choice: str) -> list[K]:
    field_name, value = _field_value(choice)
    found = [key for key, header in usable.items() if _field(key, header, field_name) == value]
    if field_name == "type" and not found:
        found = [key for key, header in usable.items() if _squeezed(header.type) == _squeezed(value)]
    return found


def _unsuitable(what: str, modality: str) -> InputError:
    where = f"--streams {modality}"
    return InputError(what, where=where, remedy=_USAGE, code=ErrorCode.WRONG_STREAM, modality=modality)


def _field(key: object, header: StreamHeader, field_name: str) -> str:
    if field_name == "id":
        return str(key)
    text: str = getattr(header, "hostname" if field_name == "host" else field_name)
    return text


def _ambiguous(usable: Mapping[K, StreamHeader], found: list[K], modality: str) -> InputError:
    for field_name in ("name", "source_id", "type", "host", "id"):
        values = [_field(key, usable[key], field_name) for key in found]
        # What is changed when it is shown cannot be pasted; the last field always can.
        if len(set(values)) == len(values) and all(v and v == printable(v) for v in values):
            break
    choice = f"{modality}={field_name}:{values[0]}"
    return InputError(
        f"{len(found)} streams fit {modality}: {_list_of(usable, found)}",
        where="streams",
        remedy=f"choose with --streams {pasteable(choice)} or {modality}=none",
        code=ErrorCode.AMBIGUOUS_STREAM,
        modality=modality,
        n_streams=len(found),
    )


_MOST_LISTED = 20


def _list_of(usable: Mapping[K, StreamHeader], keys: Collection[K]) -> str:
    listed = [_described(usable, key) for key in islice(keys, _MOST_LISTED)]
    listed += [f"and {len(keys) - _MOST_LISTED:,} more"] if len(keys) > _MOST_LISTED else []
    return "; ".join(listed) or "there are no streams"


def _described(usable: Mapping[K, StreamHeader], key: K) -> str:
    header = usable[key]
    return f"{header.name!r} (type {header.type}, source_id {header.source_id or 'empty'}, id {key})"
