"""Trials from one recording: an XDF file with markers, or any EEG file with annotations that MNE reads."""

import hashlib
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions
from acquisition.adapters.eeg import (
    EegAdapter,
    bad_spans,
    by_its_units,
    is_bad_note,
    mne_channels,
    refuse_companion,
    stated_unit,
    trigger_events,
)
from acquisition.adapters.media import marker_text
from acquisition.errors import ErrorCode, InputError, file_errors, pasteable, read_limited
from acquisition.intake import intake_maker
from acquisition.montage import SEED_CH_NAMES, canonical_name, load_montage
from acquisition.pump import Pump
from acquisition.quality import amplitude_of, amplitude_trouble, without_numbers
from acquisition.record.files import later_parts
from acquisition.select import select_streams
from acquisition.types import Chunk, Kind, StreamHeader, StreamSpec
from acquisition.windowing import WindowConfig
from acquisition.xdf.format import XdfIndex, is_xdf
from acquisition.xdf.parts import open_recording
from acquisition.xdf.source import XdfSource
from models.datasets.csv_recordings import CSV_SUFFIXES, eyes_of, has_eyes, raw_of, read_table
from models.datasets.files import first_line, unusable
from models.datasets.layout import STEP_S, covariance_steps, entropy_steps
from models.datasets.trials import Trial
from models.features.config import FeatureConfig
from models.features.covariance import COVARIANCE_HZ, MOST_CHANNELS
from models.features.gaze import eye_features
from models.features.smoothing import smoothed
from models.steps import StepFeatures

_MOST_OVERLAP_S = 0.5
PUPIL_AND_BLINK = (*range(12), 22, 31, 32)  # eye features that need no gaze
_AMPLITUDE_S = 10.0
_BLOCK_S = 60  # a sequence is read by the minute: a recording of a day needs no more memory


@dataclass(frozen=True)
class Reading:
    """How a recording is read."""

    montage: str | None = None  # as ``--montage``: names for channels that the file does not name by 10-20
    features: FeatureConfig | None = None
    ch_names: Sequence[str] = SEED_CH_NAMES  # channels that are wanted, of those the file has
    windows: WindowConfig | None = None  # as in the checkpoint that the trials are for
    sfreq: float | None = None  # Hz, of a text table that does not say it
    unit: str | None = None  # of the EEG, as ``--eeg-unit``

    @property
    def channels(self) -> AdapterOptions:
        """Which channels are EEG, and their names."""
        montage = load_montage(self.montage) if self.montage else None
        if self.unit is not None:
            stated_unit(self.unit, "--eeg-unit")
        return AdapterOptions(montage, self.unit, ch_names=tuple(self.ch_names))


PLAIN = Reading()


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, seconds: LSL's where a marker begins it, else from its first sample."""

    begin: float
    end: float
    event: str = ""  # the marker it began with, or its class


# -- Which markers begin a trial, and of which class -------------------------------------------------------


def parse_events(text: str) -> dict[str, str]:
    """Return the class by marker text from ``1=left,2=right,3=idle``."""
    events: dict[str, str] = {}
    for part in text.split(","):
        marker, equals, name = (piece.strip() for piece in part.partition("="))
        if not (marker and equals and name) or marker in events:
            what, where = f"expected MARKER=CLASS separated by commas, found {part.strip()!r}", "--events"
            raise InputError(what, where=where, remedy='write for example --events "1=left,2=right,3=idle"')
        events[marker] = name
    return events


def class_names(events: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes in the order of their first mention."""
    return tuple(dict.fromkeys(events.values()))


def _no_trials(events: Mapping[str, str], markers: Iterable[str], path: Path) -> InputError:
    found = _counted(markers)
    expected = f"markers {', '.join(events)}" if events else "markers that begin trials"
    if not found:
        return unusable(f"expected {expected}, found no markers", path, "give a recording with markers")
    remedy = 'state which begin a trial: --events "MARKER=CLASS,..."'
    return unusable(f"expected {expected}, found {found}", path, remedy, ErrorCode.DATA)


def _counted(markers: Iterable[str]) -> str:
    return ", ".join(f"{marker} ({n} times)" for marker, n in Counter(markers).most_common(12))


def found_markers(path: Path) -> str:
    """Return an XDF file's most frequent markers and counts, in words; `InputError` without such a stream."""
    return _counted(text for _, text in _markers(path, _index(path), None)) or "none"


def end_to_end(spans: Sequence[tuple[float, float]], path: Path) -> list[tuple[float, float]]:
    """Return (begin, end) of trials by their begin, none longer than until the next one begins.

    Two trials that share samples would stand in training and test at once. A little is cut off, as times and
    lengths are rounded; more than that means other lengths or other markers. Raises `InputError` if one trial
    reaches half a second or more into the next.
    """
    cut = []
    for at, (begin, end) in enumerate(spans):
        following = spans[at + 1][0] if at + 1 < len(spans) else math.inf
        if end - following >= _MOST_OVERLAP_S:
            what = (
                f"trials {at + 1} and {at + 2} overlap: trial {at + 1} lasts {end - begin:.2f} s, but trial "
                f"{at + 2} starts {following - begin:.2f} s after trial {at + 1} starts"
            )
            remedy = "give a shorter --trial-s, or --events that name fewer markers"
            raise unusable(what, path, remedy, ErrorCode.DATA, trial=at + 1)
        cut.append((begin, min(end, following)))
    return cut


# -- Files that MNE reads ----------------------------------------------------------------------------------


def raw_file_trials(
    path: Path,
    events: Mapping[str, str] | None = None,
    reading: Reading = PLAIN,
    *,
    trial_s: float | None = None,
) -> list[Trial]:
    """Return one trial for each annotation, by onset, with the entropy of its EEG every second.

    ``events`` has the class by annotation; without it every text is a class of its own. A trial lasts
    ``trial_s`` from its onset, or as long as its annotation, up to the next where that is 0.

    Raises `InputError` if MNE cannot read the file, no channel has a 10-20 name, the montage does not fit, no
    annotation fits, or a trial lasts less than a step.
    """
    file = _RawFile(path, reading)
    annotations = file.events()
    if events is None:
        events = {text: text for text in sorted({text for _, _, text in annotations})}
    chosen = [entry for entry in annotations if entry[2] in events]
    if not chosen:
        raise _no_trials(events, [text for _, _, text in annotations], path)
    first = file.raw.first_time
    later = [onset for onset, _, _ in annotations] + [first + file.raw.n_times / file.sfreq]
    if len(annotations) == 1:  # a note on the file, not the beginning of a trial
        later = []

    def end(onset: float, length_s: float) -> float:
        if length := trial_s or length_s:
            return onset + length
        return min((time for time in later if time > onset), default=onset)

    names = class_names(events)
    spans = [(onset, end(onset, length_s)) for onset, length_s, _ in chosen]
    placed = [(begin - first, stop - first) for begin, stop in end_to_end(spans, path)]
    found = zip(placed, chosen, strict=True)
    return [
        file.trial_at(span, number, names.index(events[text]), names)
        for number, (span, (_, _, text)) in enumerate(found, start=1)
    ]


def raw_file_sequence(path: Path, reading: Reading = PLAIN) -> Trial:
    """Return a whole file as one sequence of steps without label (-1), for pre-training."""
    file = _RawFile(path, reading)
    n_times, block = file.raw.n_times, round(_BLOCK_S * file.sfreq)
    parts = [file.entropy(at, min(at + block, n_times)) for at in range(0, n_times, block)]
    return file.trial(1, -1, (), np.concatenate(parts))


def data_files(path: Path) -> list[Path]:
    """Return the files that hold a recording's samples: of BrainVision or EEGLAB not the header's."""
    if is_xdf(path) or path.suffix.lower() in CSV_SUFFIXES:
        return [path, *later_parts(path)]
    named = [Path(name) for name in opened(path).filenames if name is not None]
    if files := sorted(name for name in named if name.is_file()):
        return files
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def opened(path: Path, reading: Reading = PLAIN) -> Any:
    """Return an EEG file, or a text table of EEG, as an ``mne.io.Raw``; `InputError` if it cannot be read."""
    from mne.io import read_raw

    if not path.is_file() and not path.is_dir():
        raise unusable("expected an EEG file, found none", path, "")
    if path.is_file() and path.stat().st_size == 0:
        raise unusable("the file is empty (0 bytes)", path, "copy it again from where it was recorded")
    if path.suffix.lower() in CSV_SUFFIXES:
        return raw_of(read_table(path), reading.sfreq, reading.unit, montage=reading.montage is not None)
    refuse_companion(path)
    _refuse_devices(path)
    if path.suffix.lower() == ".mat":
        raise unusable("a MATLAB file may hold anything", path, "export the recording as EDF or EEGLAB .set")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            raw = read_raw(path, verbose="warning")
        if len(set(raw._raw_extras[0].get("n_samps", ()))) > 1 and len(raw.filenames) == 1:
            raw = _of_one_rate(path, raw)  # EDF: read by blocks MNE would resample each block by itself
        if found := interrupted_edf(path):
            from mne import Annotations

            notes, breaks = found
            notes = [*notes, *((at, 0.0, "boundary") for at in breaks)]
            raw.set_annotations(
                Annotations(*(zip(*notes, strict=True) if notes else ([], [], []))), verbose="error"
            )
    except InputError:
        raise
    except FileNotFoundError as error:  # BrainVision's .eeg, EEGLAB's .fdt
        what = f"the file of samples that it names is missing: {error.filename or first_line(error)}"
        raise unusable(what, path, "copy it there, or correct its name in the header") from error
    except Exception as error:  # a damaged file makes MNE raise whatever its bytes happen to say
        remedy = "give an EDF, BDF, BrainVision, FIF, GDF or CNT file"
        what = f"MNE cannot read the EEG file: {first_line(error)}"
        raise unusable(what, path, remedy) from error
    if not raw.ch_names:
        raise unusable("holds annotations only, no channel", path, "give the file that holds the signals")
    raw.info["temp"] = dict.fromkeys(
        f"MNE: {first_line(str(one.message))}" for one in said
    )  # for `reader_notes`
    return raw


def _samples(path: Path, raw: Any, picks: Sequence[int] | None, start: int, stop: int) -> NDArray[np.float64]:
    try:
        samples: NDArray[np.float64] = raw.get_data(picks, start=start, stop=stop)
    except Exception as error:  # as in opening: whatever the bytes happen to say
        what = f"the samples cannot be read: {first_line(error)}"
        raise unusable(what, path, "check that the file is complete; copy it again") from error
    return samples


_NAMED_IN = re.compile(r"^\s*(?:DataFile|MarkerFile)\s*=\s*(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def _refuse_devices(path: Path) -> None:
    """Refuse a BrainVision header that names a FIFO or a device, which would never end."""
    if path.suffix.lower() in (".vhdr", ".ahdr") and path.is_file():
        with file_errors("cannot be read", path):
            text = read_limited(path).decode("latin-1")
        for name in _NAMED_IN.findall(text):
            named = path.parent / name.replace("$b", path.stem)
            if named.exists() and not named.is_file():
                raise unusable(f"the file that it names is no regular file: {name}", path, "correct its name")


def reader_notes(raw: Any) -> list[str]:
    """Return what MNE warned of as it opened a file."""
    return list(raw.info.get("temp") or ())


def _of_one_rate(path: Path, raw: Any) -> Any:
    """Return an EDF file, opened as ``raw``, without channels that have another rate than its electrodes.

    Where the electrodes themselves differ, MNE resamples the whole signals to the highest rate, in memory.
    """
    from mne.io import read_raw

    rates = dict(zip(raw.ch_names, raw._raw_extras[0]["n_samps"], strict=False))
    electrodes = {rate for name, rate in rates.items() if canonical_name(name) in SEED_CH_NAMES}
    if len(electrodes) != 1:
        return read_raw(path, preload=True, verbose="error")
    others = [name for name, rate in rates.items() if rate not in electrodes]
    return read_raw(path, exclude=others, verbose="error")


#: Onset and duration in seconds, and text.
Note = tuple[float, float, str]
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\x00]*)\x14\x00")


def interrupted_edf(path: Path) -> tuple[list[Note], list[float]] | None:
    """Return the annotations of an EDF+ file with gaps (EDF+D, BDF+D), and where it is broken off; else None.

    MNE reads such records end to end. Times are seconds of signal from the first sample, as in that reading;
    what is annotated inside a gap is placed at its end. The layout is that of Kemp and Olivan (2003).
    """
    if path.suffix.lower() not in (".edf", ".bdf"):
        return None
    with path.open("rb") as file:
        head = file.read(256)
        if head[192:197] not in (b"EDF+D", b"BDF+D"):
            return None
        n_head, n_records, n_signals = (int(head[a:b]) for a, b in ((184, 192), (236, 244), (252, 256)))
        record_s, fields = float(head[244:252]), file.read(n_head - 256)
        labels = [
            fields[16 * at : 16 * at + 16].decode("ascii", "replace").strip() for at in range(n_signals)
        ]
        n_bytes = 3 if head[192:193] == b"B" else 2
        counts = [int(fields[216 * n_signals + 8 * at :][:8]) * n_bytes for at in range(n_signals)]
        own = [at for at, label in enumerate(labels) if label.endswith("Annotations")]
        onsets, notes = list[float](), list[Note]()
        # A recording that was broken off counts 0 or -1 records.
        while len(record := file.read(sum(counts))) == sum(counts) > 0 and not 0 < n_records <= len(onsets):
            tals = [t for at in own for t in _TAL.findall(record[sum(counts[:at]) :][: counts[at]])]
            if not (tals and record_s > 0):
                what = f"record {len(onsets) + 1} says no time or lasts none, so that its gaps are not known"
                raise unusable(what, path, "give a file without gaps (EDF+C)")
            onsets.append(float(tals[0][0]))
            notes += [(float(onset), float(length or 0), text) for onset, length, said in tals
                      for text in said.decode("utf-8", "replace").split("\x14") if text]  # fmt: skip
    starts = np.array(onsets)

    def of_signal(time: float) -> float:
        at = max(int(np.searchsorted(starts, time, side="right")) - 1, 0)
        return at * record_s + min(time - onsets[at], record_s)

    breaks = [
        (at + 1) * record_s for at in np.flatnonzero(abs(np.diff(starts) - record_s) > record_s * 0.001)
    ]
    placed = [(of_signal(onset), length, marker_text(text)) for onset, length, text in sorted(notes)]
    return placed, [float(at) for at in breaks]


class _RawFile:
    """An EEG file, and the adapter that picks, names and scales its channels as it does those of a stream."""

    def __init__(self, path: Path, reading: Reading, raw: Any = None) -> None:
        self.raw = opened(path, reading) if raw is None else raw
        self.sfreq = float(self.raw.info["sfreq"])
        channels = mne_channels(self.raw)
        header = StreamHeader(path.name, "EEG", "", "", "", self.sfreq, len(channels), "double64", channels)
        table = path.suffix.lower() in CSV_SUFFIXES  # its unit was stated, and is V by now
        self._adapter = EegAdapter(
            header, "eeg", replace(reading.channels, eeg_unit="V" if table else reading.unit)
        )
        self._path, self._config = path, reading.features or FeatureConfig()
        self._notes, self._holes = self._annotated()
        first = self.samples(0, min(round(_AMPLITUDE_S * self.sfreq), self.raw.n_times)).T
        _check_unit(self._adapter.spec, amplitude_of(first, self.sfreq), path, reading)

    def _annotated(self) -> tuple[list[Note], list[tuple[int, int]]]:
        """Return the notes that may be events, and from which sample to which nothing can be used."""
        own = self.raw.annotations
        texts = map(marker_text, own.description)
        notes = sorted(zip(own.onset.tolist(), own.duration.tolist(), texts, strict=True))
        return [note for note in notes if not is_bad_note(note[2])], bad_spans(self.raw)

    def events(self) -> list[Note]:
        """Return onset and duration in seconds and text of the annotations, else of trigger channels."""
        return self._notes or [(onset, 0.0, code) for onset, code in trigger_events(self.raw)]

    def samples(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return EEG (C, n_times) in µV; NaN where it is annotated as bad, or broken off."""
        x = _samples(self._path, self.raw, None, start, stop)
        found = self._adapter.convert(x.T).T
        for begin, end in self._holes:  # a step that holds one of these samples is not usable
            found[:, max(begin - start, 0) : max(end - start, 0)] = np.nan
        return found

    def entropy(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the entropy (W, C, n_bands) of the steps of these samples."""
        plain = replace(self._config, smoothing=None)  # these may be a part of a trial
        return entropy_steps(self.samples(start, stop), self.sfreq, plain)

    def trial_at(self, span: tuple[float, float], number: int, label: int, names: tuple[str, ...]) -> Trial:
        """Return the trial from one second to another, counted from the first sample."""
        begin, end = span
        start, n_times = round(begin * self.sfreq), self.raw.n_times
        stop = n_times if end == math.inf else min(start + round((end - begin) * self.sfreq), n_times)
        if stop - start < STEP_S * self.sfreq:
            found_s = max(0, stop - start) / self.sfreq
            what = f"trial {number} ({names[label]}) has {found_s:.2f} s, expected at least {STEP_S:g} s"
            remedy = "give the length of a trial, or fewer events"
            if end - begin < STEP_S and begin == 0 and self.raw.annotations:
                remedy += "; a file that is one condition: --label CLASS=GLOB, or --trials TABLE"
            raise unusable(what, self._path, remedy, ErrorCode.DATA, trial=number)
        found = self.trial(number, label, names, self.entropy(max(start, 0), stop))
        covariance = covariance_steps(self.samples(max(start, 0), stop), self.sfreq, self._config)
        return replace(found, covariance=covariance)

    def trial(self, number: int, label: int, names: tuple[str, ...], eeg: NDArray[np.float32]) -> Trial:
        eeg = smoothed(eeg, self._config.smoothing)
        return Trial("raw", self._path.stem, 1, number, label, names, STEP_S,
                     eeg, None, self._adapter.spec.ch_names, "raw", str(self._path))  # fmt: skip


def describe(path: Path, reading: Reading = PLAIN) -> dict[str, Any]:
    """Return what an EEG file or table holds, and what training would make of it, in types that JSON knows.

    The amplitude is the median SD of a second in µV, by the file's units. ``refused`` is the reason why it
    cannot be used with this reading. Raises `InputError` if it cannot be read at all.
    """
    raw = opened(path, reading)
    kinds, is_table = raw.get_channel_types(), path.suffix.lower() in CSV_SUFFIXES
    channels, sfreq = mne_channels(raw), float(raw.info["sfreq"])
    eeg = [at for at, kind in enumerate(kinds) if kind == "eeg"]
    header = StreamHeader("", "", "", "", "", sfreq, len(eeg), "", tuple(channels[at] for at in eeg))
    stop = min(round(_AMPLITUDE_S * sfreq), raw.n_times)
    first = by_its_units(header, _samples(path, raw, eeg, 0, stop).T if eeg else np.empty((0, 0)))
    lost = without_numbers(first, [raw.ch_names[at] for at in eeg])
    notes = [*reader_notes(raw), *filter(None, [lost])]
    found: dict[str, Any] = {
        "path": str(path), "n_channels": len(channels), "sfreq": sfreq, "duration_s": raw.n_times / sfreq,
        "ch_names": raw.ch_names, "types": kinds,
        "units": sorted({text for text in raw._orig_units.values() if text != "n/a"})
        or (["V, by its format"] if eeg and not raw._orig_units and not is_table else []),
        "bads": raw.info["bads"], "amplitude_uv": amplitude_of(first, sfreq) if first.size else math.nan,
        "refused": "", "notes": notes, "holes_s": [], "events": {},
    }  # fmt: skip
    try:
        file = _RawFile(path, reading, raw)
    except InputError as error:
        return found | {"refused": f"{error.what} ({error.remedy})"}
    holes = [(start / sfreq, stop / sfreq) for start, stop in file._holes]
    return found | {"notes": [*notes, *file._adapter.spec.notes], "holes_s": holes,
                    "events": Counter(text for *_, text in file.events())}  # fmt: skip


def _check_unit(spec: StreamSpec, amplitude: float, path: Path, reading: Reading) -> None:
    if reading.unit is not None or amplitude == 0:  # flat at first says nothing of its unit
        return
    unknown = "unscaled" in spec.units
    if what := amplitude_trouble(amplitude) or (
        f"the unit of its EEG is not stated; as µV its amplitude (SD of a second) is {amplitude:.2g}"
        if unknown
        else ""
    ):
        raise unusable(
            what, path, "give --eeg-unit uV, mV, V, nV or a scale such as 0.02235uV", ErrorCode.DATA
        )


class _EyeFile:
    """A text table of pupils: eye features every second, those that need gaze unknown."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path, self._config = path, reading.features or FeatureConfig()
        self._times, self._gaze = eyes_of(read_table(path))

    def trial_at(self, span: tuple[float, float], number: int, label: int, names: tuple[str, ...]) -> Trial:
        """Return the trial from one second to another, counted from the first row."""
        begin, end = span[0], min(span[1], self._times[-1])
        ends = np.arange(begin + self._config.eye_step_s, end + 1e-9, STEP_S)
        if not len(ends):
            what = f"trial {number} ({names[label]}) has {max(0.0, end - begin):.2f} s"
            remedy = f"expected at least {self._config.eye_step_s:g} s"
            raise unusable(what, self._path, remedy, ErrorCode.DATA, trial=number)
        at = (self._times >= begin) & (self._times <= end)
        times, gaze = self._times[at], self._gaze[at]
        eye = np.stack([eye_features(times, gaze, t_end, self._config) for t_end in ends])
        eye[:, [at for at in range(eye.shape[1]) if at not in PUPIL_AND_BLINK]] = np.nan
        return Trial("raw", self._path.stem, 1, number, label, names, STEP_S,
                     None, eye, (), "raw", str(self._path))  # fmt: skip


def trials_at(path: Path, spans: Sequence[Span], names: tuple[str, ...], reading: Reading) -> list[Trial]:
    """Return the trials of stretches, seconds from the first sample; ``event`` is the class."""
    numbered = sorted(enumerate(spans, start=1), key=lambda one: one[1].begin)
    alone = end_to_end([(span.begin, span.end) for _, span in numbered], path)
    open_: Any = _Steps if is_xdf(path) else _EyeFile if _is_eye_file(path) else _RawFile
    file = open_(path, reading)
    found = {
        number: file.trial_at(at, number, names.index(span.event), names)
        for (number, span), at in zip(numbered, alone, strict=True)
    }
    return [found[number] for number in sorted(found)]


def _is_eye_file(path: Path) -> bool:
    return path.suffix.lower() in CSV_SUFFIXES and path.is_file() and has_eyes(path)


def sample_digest(path: Path, reading: Reading) -> str:
    """Return a hash of a recording's samples of the first minute, the same under any name and header."""
    digest = hashlib.sha256()
    if is_xdf(path) or _is_eye_file(path):
        digest.update(path.read_bytes())
    else:
        file = _RawFile(path, reading)
        x = file.samples(0, min(round(_BLOCK_S * file.sfreq), file.raw.n_times))
        digest.update(x.astype("<f4").tobytes())
    return digest.hexdigest()


# -- XDF ---------------------------------------------------------------------------------------------------


def xdf_trials(
    path: Path, events: Mapping[str, str], reading: Reading = PLAIN, *, trial_s: float | None = None
) -> list[Trial]:
    """Return one trial for each marker of ``events`` (class by text): the steps wholly inside it.

    Trials are in the order of the markers, last ``trial_s`` or until the next marker, and hold eye features
    where there is a gaze stream. Steps are a second apart and end on the hop grid; one across a gap is NaN.

    Raises `InputError` if the file or a stream cannot be used, no marker fits, or no trial holds a step.
    """
    steps = _Steps(path, reading)
    names, spans = class_names(events), marked_spans(path, events, trial_s=trial_s, index=steps.index)
    trials = [
        steps.trial(span, number, names.index(events[span.event]), names)
        for number, span in enumerate(spans, start=1)
    ]
    steps.source.close()
    return trials


def xdf_sequence(path: Path, reading: Reading = PLAIN) -> Trial:
    """Return a whole recording as one sequence of steps without label (-1), for pre-training."""
    steps = _Steps(path, reading)
    trial = steps.trial_at((0.0, math.inf), 1, -1, ())
    steps.source.close()
    return trial


def marked_spans(
    path: Path,
    events: Mapping[str, str],
    *,
    trial_s: float | None = None,
    streams: str | None = None,
    index: XdfIndex | None = None,
) -> list[Span]:
    """Return the stretches that begin with a marker of ``events``; ``index`` spares a scan of the file."""
    markers = _markers(path, index or _index(path), streams)
    spans = _spans(markers, events, trial_s)
    if not spans:
        raise _no_trials(events, [text for _, text in markers], path)
    alone = end_to_end([(span.begin, span.end) for span in spans], path)
    return [replace(span, end=end) for span, (_, end) in zip(spans, alone, strict=True)]


def _markers(path: Path, index: XdfIndex, streams: str | None) -> list[tuple[float, str]]:
    """Return (time, text) of all markers of the file, by time."""
    kinds = select_streams(index.headers, streams, (Kind.MARKERS,))
    if not kinds:
        raise _lacks_stream("a stream of markers", path, "markers")
    source = XdfSource(path, kinds, intake_maker(), index=index)
    chunks = [item for item in source.read(math.inf) if isinstance(item, Chunk)]
    source.close()
    found = [pair for chunk in chunks for pair in zip(chunk.times.tolist(), chunk.data, strict=True)]
    return sorted(found, key=lambda pair: pair[0])  # stable: markers of one moment keep their order


def _index(path: Path) -> XdfIndex:
    """Index a recording, with its other parts if it is the first: tables count seconds from a file's."""
    return open_recording(path, alone=not later_parts(path))


def _lacks_stream(what: str, path: Path, kind: str) -> InputError:
    return InputError(
        f"expected {what}, found none",
        where=str(path),
        remedy=f"see: affectscope inspect {pasteable(path.name)}",
        code=ErrorCode.NO_STREAM,
        kind=kind,
    )


def _spans(
    markers: Sequence[tuple[float, str]], events: Mapping[str, str], trial_s: float | None
) -> list[Span]:
    """Return the trials; without ``trial_s`` up to the next later marker, so the last one may have none."""
    spans = []
    for at, (begin, text) in enumerate(markers):
        if text not in events:
            continue
        later = [time for time, _ in markers[at + 1 :] if time > begin]
        if trial_s is not None:
            spans.append(Span(begin, begin + trial_s, text))
        elif later:
            spans.append(Span(begin, later[0], text))
    return spans


class _Steps:
    """EEG and eye features of a recording, read once from front to back."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.windows = reading.windows or WindowConfig()
        self._path, self.index = path, _index(path)
        features = reading.features or FeatureConfig()
        kinds = select_streams(self.index.headers, None, (Kind.EEG, Kind.GAZE))
        self.source = XdfSource(
            path, kinds, intake_maker(reading.channels, self.windows.max_gap_s), index=self.index
        )
        band = features.covariance_hz or COVARIANCE_HZ
        self._features = StepFeatures(replace(features, covariance_hz=band), torch.device("cpu"))
        self._n_bands, self._n_eye = len(features.bands), features.eye_features
        self._pump = Pump(self.source, self.windows)
        self._pump.acquire(-math.inf)  # opens the streams
        eeg = self._pump.aligner.spec("eeg")
        if eeg is None:
            raise _lacks_stream("a stream of EEG with samples", path, "eeg")
        self._ch_names = eeg.ch_names
        beginning = XdfSource(path, kinds, intake_maker(reading.channels), index=self.index)
        chunks = [
            item
            for item in beginning.read(beginning.first_time + _AMPLITUDE_S)
            if isinstance(item, Chunk) and item.stream == eeg.key
        ]
        beginning.close()
        if chunks:
            first = np.concatenate([chunk.data for chunk in chunks])
            span = float(chunks[-1].times[-1] - chunks[0].times[0])
            _check_unit(eeg, amplitude_of(first, eeg.sfreq or len(first) / max(span, 1.0)), path, reading)

    def trial_at(self, span: tuple[float, float], number: int, label: int, names: tuple[str, ...]) -> Trial:
        """Return the trial from one second to another, counted from the recording's beginning."""
        first, last = self.source.first_time, self.source.last_time
        return self.trial(Span(first + span[0], min(first + span[1], last)), number, label, names)

    def trial(self, span: Span, number: int, label: int, names: tuple[str, ...]) -> Trial:
        """Return the steps wholly inside a span; spans have to come in the order of time."""
        eeg, eye, covariance = self._inside(span)
        if len(eeg) == 0 and names:
            what = f"trial {number} lasts {max(0.0, span.end - span.begin):.2f} s, too short for a step of "
            what += f"{self.windows.eeg_step_s:g} s"
            raise unusable(what, self._path, "give the length of a trial", ErrorCode.DATA, trial=number)
        return Trial("xdf", self._path.stem, 1, number, label, names, self.windows.eeg_shift_s,
                     eeg, eye, self._ch_names, "raw", str(self._path), covariance)  # fmt: skip

    def _inside(
        self, span: Span
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Return entropy (W, C, n_bands), eye features (W, E), covariances (W, C, C) of whole steps."""
        config = self.windows
        first = math.ceil((span.begin + config.eeg_step_s) / config.hop_s - 1e-9)
        last = math.floor(span.end / config.hop_s + 1e-9)
        indices = range(first, last + 1, round(config.eeg_shift_s / config.hop_s))
        eeg = np.full((len(indices), len(self._ch_names), self._n_bands), np.nan, dtype=np.float32)
        eye = np.full((len(indices), self._n_eye), np.nan, dtype=np.float32)
        n = len(self._ch_names)
        covariance = None if n > MOST_CHANNELS else np.zeros((len(indices), n, n), dtype=np.float32)
        for row, index in enumerate(indices):
            t_end = index * config.hop_s
            self._pump.acquire(t_end)
            window = self._pump.window_at(t_end, newest_only=True)
            newest = self._features.newest(window)
            if "eeg" in newest:
                eeg[row] = newest["eeg"].usable_de.numpy()
                if covariance is not None:
                    covariance[row] = newest["eeg"].covariance
            if "eye" in newest:
                eye[row] = newest["eye"].numpy()
        return eeg, None if self._pump.aligner.spec("eye") is None else eye, covariance
