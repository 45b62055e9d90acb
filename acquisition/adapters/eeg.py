"""EEG: the channels with 10-20 names, in µV."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions, converted_spec
from acquisition.errors import ErrorCode, InputError
from acquisition.montage import Montage, canonical_name, headset_of, is_numbered_cap, nearest_wanted
from acquisition.types import ChannelInfo, Kind, StreamHeader

_N_NAMED = 12  # channels that a message names

_UV_PER_UNIT = {
    # Words; powers of ten of a volt, as some senders write them; FIFF codes (V, and its decimal prefixes).
    **dict.fromkeys(("v", "volt", "volts", "0", "107", "fiff_unit_v"), 1e6),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "-3", "fiff_unitm_m"), 1e3),
    # MICRO SIGN and GREEK SMALL LETTER MU look the same and both occur.
    **dict.fromkeys(
        ("\u00b5v", "\u03bcv", "uv", "microv", "microvolt", "microvolts", "-6", "fiff_unitm_mu"), 1.0
    ),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "-9", "fiff_unitm_n"), 1e-3),
}


def uv_per_unit(unit: str) -> float | None:
    """Return how many µV a unit is, of a stream's, a file's or an option's text; None if it is not known."""
    plain = _plain_unit(unit)
    if coded := re.fullmatch(r"-?\d+\s*\((\w+)\)", plain):  # "-6 (FIFF_UNITM_MU)"
        plain = coded[1]
    if scaled := re.fullmatch(r"(\d*\.?\d+(?:e-?\d+)?)\s*\*?\s*([^\W\d]+)", plain):  # counts: "0.02235uV"
        scale = float(scaled[1]) * _UV_PER_UNIT.get(scaled[2], 0.0)
        return scale if 0 < scale < math.inf else None
    return _UV_PER_UNIT.get(plain)


def stated_unit(unit: str, where: str) -> float:
    """Return what `uv_per_unit` does of an option; raises `InputError` if it is not known."""
    if (scale := uv_per_unit(unit)) is None:
        raise InputError(f"expected uV, mV, V, nV or a scale such as 0.02235uV, found {unit}", where=where)
    return scale


def mne_channels(raw: Any) -> tuple[ChannelInfo, ...]:
    """Return label, type and unit of the channels of an ``mne.io.Raw``, whose data are in V where it knows.

    Of units that it does not know MNE makes volts, and says n/a; its type is misc, or they have none.
    """
    units = {name: "" if unit == "n/a" else "V" for name, unit in raw._orig_units.items()}
    bad = set(raw.info["bads"])
    return tuple(
        ChannelInfo(label, "bad" if label in bad else "" if kind == "misc" else kind, units.get(label, "V"))
        for label, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    )


#: Files that hold a part of a recording, and how the file ends that has to be given.
_HEADERS = {".eeg": ".vhdr", ".vmrk": ".vhdr", ".fdt": ".set"}


def refuse_companion(path: Path) -> None:
    """Raise `InputError` for a file of BrainVision or EEGLAB that is not the header."""
    end = path.suffix.lower()
    if (header := _HEADERS.get(end)) is None:
        return
    there = path.with_suffix(header)
    if end == ".eeg" and not there.is_file() and path.read_bytes()[:4] in (b"EEG-", b"BNI "):
        return  # Nihon Kohden's
    remedy = f"give its header file: {there.name if there.is_file() else f'the {header} that names it'}"
    what = f"a {end} file is only a part of a recording: its header says the channels and the rate"
    raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)


def is_bad_note(text: str) -> bool:
    """Tell if an annotation marks a stretch that is not to be used, or a break, as MNE or EEGLAB do."""
    return text.lower().startswith("bad") or text.lower() in ("boundary", "edge")


def bad_spans(raw: Any) -> list[tuple[int, int]]:
    """Return from which sample to which (exclusive) an ``mne.io.Raw`` is annotated as bad, or broken off."""
    own, sfreq = raw.annotations, float(raw.info["sfreq"])
    notes = zip(own.onset - raw.first_time, own.duration, map(str, own.description), strict=True)
    return [
        (round(at * sfreq), round((at + length) * sfreq) + 1)
        for at, length, text in notes
        if is_bad_note(text)
    ]


def trigger_events(raw: Any) -> list[tuple[float, str]]:
    """Return onset (seconds, as of annotations) and code of each event in an ``Raw``'s trigger channels."""
    kinds = zip(raw.ch_names, raw.get_channel_types(), strict=True)
    triggers = [name for name, kind in kinds if kind == "stim"]
    if not triggers:
        return []
    from mne import find_events

    # The upper bits of BioSemi's Status are the amplifier's own.
    codes = find_events(raw, triggers, shortest_event=1, mask=0xFFFF, mask_type="and", verbose="error")
    return [(at / float(raw.info["sfreq"]), str(code)) for at, _, code in codes.tolist()]


#: Units that no electrode has: the channel is another sensor whatever its label.
_OTHER_UNITS = "g mg dps deg/s m/s^2 mmhg celsius percent % ohm kohm ohms s ms"

#: Channel types of the same amplifier that are not EEG.
_OTHER_TYPES = (
    "aux misc acc accelerometer gyro gyroscope ppg eog ecg ekg emg gsr eda resp trigger triggers trig stim "
    "marker markers counter packetcounter timestamp time battery impedance temperature status bip "
    "bad"
)


class ShownAdapter:
    """All channels as they come, in µV where their unit is one of a voltage: to be shown, not decoded."""

    def __init__(self, header: StreamHeader, key: str, kind: Kind, why: str) -> None:
        channels = header.channels or (ChannelInfo(),) * header.n_channels
        scales = [uv_per_unit(channel.unit) for channel in channels]
        self._header = header
        labels = [_label(header, i) for i in range(header.n_channels)]
        names = [f"{name} #{i}" if labels.count(name) > 1 else name for i, name in enumerate(labels)]
        units = [
            channel.unit or "unscaled" if scale is None else "µV"
            for channel, scale in zip(channels, scales, strict=True)
        ]
        spec = converted_spec(header, key, kind, names, units, [f"shown, not decoded: {why}"])
        self.spec = replace(spec, is_shown_only=True)

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float64]:
        """Return (n_samples, n_channels) float64."""
        return by_its_units(self._header, np.asarray(values))


class EegAdapter:
    """Picks the wanted EEG channels of a stream and scales them to µV.

    Raises `InputError` if no channel has a wanted name, or the montage does not fit the stream.
    """

    def __init__(self, header: StreamHeader, key: str, options: AdapterOptions) -> None:
        where = f"EEG stream {header.name!r}"
        if header.channel_format == "string":
            what = "expected numbers, but the stream sends text"
            raise InputError(what, where=where, code=ErrorCode.CHANNELS)
        notes = [text] if (text := described_wrongly(header)) else []
        montage = options.montage
        if montage is None and options.kept is not None and (montage := options.kept(header)):
            notes.append(f"channels as mapped for this device: {montage.name}")
        names = electrodes_of(header, montage, options.ch_names, notes)
        if not names:
            raise _no_channels(header, options, where)
        self._indices = np.array(sorted(names), dtype=np.intp)
        channels = [header.channels[i] if header.channels else ChannelInfo() for i in self._indices]
        unit = options.eeg_unit or (montage.unit if montage is not None else "")
        scales = [uv_per_unit(unit or channel.unit) for channel in channels]
        if unscaled := [ch for ch, scale in zip(channels, scales, strict=True) if scale is None]:
            units = ", ".join(sorted({repr(channel.unit) for channel in unscaled}))
            notes.append(
                f"unit {units} of {len(unscaled)} EEG channels is unknown: not scaled, assumed to be µV "
                "(--eeg-unit states it)"
            )
        self._scales = np.array([1.0 if scale is None else scale for scale in scales])
        self._is_scaled = bool((self._scales != 1.0).any())
        self._takes_all = len(self._indices) == header.n_channels
        excluded = [i for i in range(header.n_channels) if i not in names]
        if excluded:
            labels = [_label(header, i) for i in excluded]
            notes.append(f"channels excluded: {' '.join(labels)}")
        self.spec = converted_spec(
            header,
            key,
            Kind.EEG,
            [names[int(i)] for i in self._indices],
            ["unscaled" if scale is None else "µV" for scale in scales],
            notes,
        )

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float64]:
        """Return (n_samples, n_channels) float64 µV from (n_samples, n_stream_channels) values."""
        block = np.asarray(values)
        picked = block if self._takes_all else block[:, self._indices]
        data = picked.astype(np.float64)  # a copy in any case: the caller may reuse its buffer
        if self._is_scaled:
            data *= self._scales
        return data


def by_its_units(header: StreamHeader, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return EEG (n_samples, n_channels) in µV by the units that the header gives, whatever its channels."""
    scales = [uv_per_unit(channel.unit) or 1.0 for channel in header.channels]
    return values.astype(np.float64) * (np.array(scales) if scales else 1.0)


def described_wrongly(header: StreamHeader) -> str:
    """Return what is wrong with the number of a header's descriptions of channels; "" where nothing is."""
    if header.n_described in (0, header.n_channels):
        return ""
    return f"{header.n_described} descriptions for {header.n_channels} channels, so its labels are not used"


def _plain_unit(unit: str) -> str:
    return unit.strip().lower()


def _label(header: StreamHeader, index: int) -> str:
    return (header.channels[index].label if header.channels else "") or f"#{index}"


def _by_label(header: StreamHeader, wanted: Sequence[str], notes: list[str]) -> dict[int, str]:
    """Return 10-20 names by channel index, for channels that label, type and unit agree are EEG."""
    names: dict[int, str] = {}
    if is_numbered_cap(channel.label for channel in header.channels):
        return names
    for index, channel in enumerate(header.channels):
        name = canonical_name(channel.label)
        is_other = (
            channel.type.strip().lower() in _OTHER_TYPES.split()
            or _plain_unit(channel.unit) in _OTHER_UNITS.split()
        )
        if name not in wanted or is_other:
            continue
        if name in names.values():
            notes.append(f"channel {channel.label} appears twice; using the first")
            continue
        names[index] = name
    return names


def electrodes_of(
    header: StreamHeader, montage: Montage | None, wanted: Sequence[str], notes: list[str]
) -> dict[int, str]:
    """Return 10-20 names by channel index: those wanted, by the montage or, without one, by the labels.

    ``notes`` takes sentences about it. Raises `InputError` if the montage does not fit the stream.
    """
    if montage is None:
        return _by_label(header, wanted, notes)
    refused = partial(InputError, where=f"EEG stream {header.name!r}", code=ErrorCode.CHANNELS)
    labels = [channel.label.strip().upper() for channel in header.channels]
    if montage.labels and not montage.indices and not any(labels):
        raise refused(
            f"montage {montage.name} uses channel labels, but the {header.n_channels} channels have none",
            remedy="give a TOML file whose table [indices] maps channel numbers, from 0, to 10-20 names",
        )
    missing = [label for label in montage.labels if label not in labels]
    if montage.complete and missing and any(labels):
        raise refused(
            f"montage {montage.name} names {' '.join(missing)}, but the stream has {' '.join(labels)}"
        )
    n_known = sum(canonical_name(label) in wanted for label in labels)
    if montage.is_headset and n_known >= len(montage.indices) > 0:
        return _by_label(header, wanted, notes)  # it names its electrodes, which may have been moved
    if beyond := [index for index in montage.indices if index >= header.n_channels]:
        last = header.n_channels - 1
        raise refused(f"montage {montage.name} names channel {beyond[0]}, but the stream has 0 to {last}")
    names = {i: montage.labels[label] for i, label in enumerate(labels) if label in montage.labels}
    names.update(montage.indices)
    if montage.near:
        stand_ins = nearest_wanted(names, wanted)
        for index, (name, degrees) in stand_ins.items():
            notes.append(f"{names[index]} stands for {name}, {degrees:.0f} degrees away")
            names[index] = name
    names = {index: name for index, name in names.items() if name in wanted}
    if twice := sorted({name for name in names.values() if list(names.values()).count(name) > 1}):
        raise refused(f"montage {montage.name} assigns {' '.join(twice)} to several channels")
    return names


_ANY_MONTAGE = "with a headset's name (see --help) or FILE.toml (labels or indices to 10-20 names)"


def _no_channels(header: StreamHeader, options: AdapterOptions, where: str) -> InputError:
    labels = _some(
        [_label(header, i) for i in range(min(header.n_channels, _N_NAMED + 1))], header.n_channels
    )
    if described_wrongly(header):
        labels += f" ({described_wrongly(header)})"
    bad = [channel.label for channel in header.channels if channel.type == "bad"]
    marked = [label for label in bad if canonical_name(label) in options.ch_names]
    if marked:
        what = f"every channel with a known name is marked as bad: {_some(marked, len(marked))}"
        remedy = "unmark in the file those that can be used"
        return InputError(what, where=where, remedy=remedy, code=ErrorCode.CHANNELS)
    known = _some(options.ch_names, len(options.ch_names))
    headset = headset_of([channel.label for channel in header.channels], header.name)
    return InputError(
        f"no channel has a known name: the stream has {labels}; known names are {known}",
        where=where,
        remedy=f"pass --montage {headset or _ANY_MONTAGE}, or map them in the window (Ctrl+Shift+E)",
        code=ErrorCode.CHANNELS,
    )


def _some(names: Sequence[str], n_all: int) -> str:
    if n_all <= _N_NAMED:
        return " ".join(names)
    return f"{' '.join(names[:_N_NAMED])} … ({n_all} in all)"
