"""Trials from one recording: an XDF file with markers, or any EEG file with annotations that MNE reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.adapters.eeg import EegAdapter
from acquisition.adapters.options import AdapterOptions
from acquisition.errors import InputError
from acquisition.intake import MakeIntake, intake_maker
from acquisition.montage import SEED_CH_NAMES, load_montage
from acquisition.pump import Pump
from acquisition.select import select_streams
from acquisition.types import ChannelInfo, Chunk, Kind, StreamHeader
from acquisition.windowing import WindowConfig
from acquisition.xdf.format import XdfIndex
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.source import XdfSource
from models.datasets.trials import Trial
from models.features.config import FeatureConfig
from models.features.de import differential_entropy
from models.steps import StepFeatures, usable_channels

_MOST_OVERLAP_S = 0.5


def parse_events(text: str) -> dict[str, str]:
    """Return the class by marker text from ``1=left,2=right,3=idle``.

    Raises
    ------
    InputError
        If the text is no such list, or a marker stands in it twice.
    """
    events: dict[str, str] = {}
    for part in text.split(","):
        marker, equals, name = (piece.strip() for piece in part.partition("="))
        if not (marker and equals and name) or marker in events:
            raise InputError(
                f"expected MARKER=CLASS separated by commas, found {part.strip()!r}",
                where="--events",
                remedy='write for example --events "1=left,2=right,3=idle"',
            )
        events[marker] = name
    return events


def class_names(events: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes in the order of their first mention."""
    return tuple(dict.fromkeys(events.values()))


def no_trials(events: Mapping[str, str], markers: Iterable[str], where: str) -> InputError:
    """Return what to say when no marker begins a trial."""
    counts = Counter(markers).most_common(12)
    expected = f"markers {', '.join(events)}" if events else "markers that begin trials"
    if not counts:
        remedy = "give a recording with markers"
        return InputError(f"expected {expected}, found no markers", where=where, remedy=remedy)
    return InputError(
        f"expected {expected}, found {', '.join(f'{marker} ({n} times)' for marker, n in counts)}",
        where=where,
        remedy='name those that begin a trial: --events "MARKER=CLASS,..."',
    )


def end_to_end(spans: Sequence[tuple[float, float]], where: str) -> list[tuple[float, float]]:
    """Return (begin, end) of trials by their begin, none longer than until the next one begins.

    Two trials that share samples would stand in training and test at once. A little is cut off, as times and
    lengths are rounded; more than that means other lengths or other markers.

    Raises
    ------
    InputError
        If one trial reaches half a second or more into the next.
    """
    cut = []
    for at, (begin, end) in enumerate(spans):
        following = spans[at + 1][0] if at + 1 < len(spans) else math.inf
        if end - following >= _MOST_OVERLAP_S:
            raise InputError(
                f"trial {at + 1} lasts {end - begin:.2f} s, and trial {at + 2} begins "
                f"{following - begin:.2f} s after it: expected trials that do not overlap",
                where=where,
                remedy="give a shorter --trial-s, or --events that name fewer markers",
            )
        cut.append((begin, min(end, following)))
    return cut


STEP_S = 1.0


def entropy_steps(
    x: NDArray[np.floating], sfreq: float, config: FeatureConfig, step_s: float = STEP_S
) -> NDArray[np.float32]:
    """Return the entropy of consecutive steps.

    Parameters
    ----------
    x : ndarray, (C, n_times)
        EEG in µV; what is left over after the last whole step is not used.
    sfreq : float
        Hz.
    config : FeatureConfig
        Bands and mains.
    step_s : float
        Length of a step, and the distance to the next.

    Returns
    -------
    ndarray, (W, C, n_bands), float32
        Nats; NaN where a channel is flat, at its rails or not finite in that step.

    Raises
    ------
    InputError
        If the rate is too low for a band.
    """
    n_channels, n_times = x.shape
    n_step = round(step_s * sfreq)
    n_steps = n_times // n_step
    if n_steps == 0:
        return np.zeros((0, n_channels, len(config.bands)), dtype=np.float32)
    steps = x[:, : n_steps * n_step].reshape(n_channels, n_steps, n_step).transpose(1, 0, 2)  # (W, C, n)
    usable = np.array([usable_channels(step) for step in steps]).reshape(n_steps, n_channels)
    filled = torch.from_numpy(np.where(usable[:, :, None], steps, 0.0))
    de = differential_entropy(filled, sfreq, config).numpy()  # (W, C, n_bands)
    return np.where(usable[:, :, None], de, np.nan).astype(np.float32)


def raw_file_trials(
    path: Path,
    events: Mapping[str, str] | None = None,
    *,
    montage: str | None = None,
    trial_s: float | None = None,
    subject: str = "",
    config: FeatureConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> list[Trial]:
    """Return one trial for each annotation.

    Parameters
    ----------
    path : Path
        EDF, BDF, BrainVision, FIF, GDF, CNT and whatever else `mne.io.read_raw` knows.
    events : mapping of str to str, optional
        Class by annotation; without it every text is a class of its own.
    montage : str, optional
        As ``--montage``: names for channels that the file does not name by the 10-20 system.
    trial_s : float, optional
        Length of a trial from its onset; without it the annotation's own duration.
    subject : str
        The file's name without it.
    config : FeatureConfig, optional
        Of the entropy, one step a second.
    ch_names : sequence of str
        Channels that are wanted, of those the file has.

    Returns
    -------
    list of Trial
        By onset.

    Raises
    ------
    InputError
        If MNE cannot read the file, no channel has a 10-20 name, the montage does not fit, no annotation
        fits, or a trial lasts less than a step.
    """
    raw = _opened(path)
    annotations = sorted(
        zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True)
    )
    texts = [str(text) for _, _, text in annotations]
    if events is None:
        events = {text: text for text in sorted(set(texts))}
    chosen = [entry for entry in annotations if str(entry[2]) in events]
    if not chosen:
        raise no_trials(events, texts, str(path))
    adapter = _adapter(raw, montage, ch_names, path)
    sfreq, label_names = float(raw.info["sfreq"]), class_names(events)
    spans = [(float(o), float(o) + (float(d) if trial_s is None else trial_s)) for o, d, _ in chosen]
    trials = []
    for number, (begin, end) in enumerate(end_to_end(spans, str(path)), start=1):
        text = chosen[number - 1][2]
        start = round((begin - raw.first_time) * sfreq)
        stop = min(start + round((end - begin) * sfreq), raw.n_times)
        if stop - start < STEP_S * sfreq:
            found_s = max(0, stop - start) / sfreq
            raise InputError(
                f"trial {number} ({text}) holds {found_s:.2f} s, expected at least {STEP_S:g} s",
                where=str(path),
                remedy="give the length of a trial, or fewer events",
            )
        x = _microvolts(raw, adapter, max(start, 0), stop)
        eeg = entropy_steps(x, sfreq, config or FeatureConfig())
        trials.append(
            Trial("raw", subject or path.stem, 1, number, label_names.index(events[str(text)]), label_names,
                  STEP_S, eeg, None, adapter.spec.ch_names, "raw", str(path))
        )  # fmt: skip
    return trials


def raw_file_sequence(
    path: Path,
    montage: str | None = None,
    *,
    subject: str = "",
    config: FeatureConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> Trial:
    """Return a whole file as one unlabelled sequence of steps, for pre-training.

    Parameters
    ----------
    path : Path
    montage : str, optional
    subject : str
    config : FeatureConfig, optional
    ch_names : sequence of str
        All as in `raw_file_trials`.

    Returns
    -------
    Trial
        From the first sample to the last, whatever the annotations say; its label is -1.

    Raises
    ------
    InputError
        If MNE cannot read the file, no channel has a 10-20 name, or the montage does not fit.
    """
    raw = _opened(path)
    adapter = _adapter(raw, montage, ch_names, path)
    sfreq, config = float(raw.info["sfreq"]), config or FeatureConfig()
    block = round(60 * sfreq)  # a minute at a time: a recording of a day needs no more memory
    parts = [
        entropy_steps(_microvolts(raw, adapter, at, min(at + block, raw.n_times)), sfreq, config)
        for at in range(0, raw.n_times, block)
    ]
    return Trial("raw", subject or path.stem, 1, 1, -1, (), STEP_S, np.concatenate(parts), None,
                 adapter.spec.ch_names, "raw", str(path))  # fmt: skip


def data_files(path: Path) -> list[Path]:
    """Return the files that hold a recording's samples: of BrainVision or EEGLAB not the header's.

    Raises
    ------
    InputError
        If it is neither XDF nor what MNE reads.
    """
    if path.suffix.lower() in (".xdf", ".xdfz"):
        return [path]
    named = [Path(name) for name in _opened(path).filenames if name is not None]
    if files := sorted(name for name in named if name.is_file()):
        return files
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _opened(path: Path) -> Any:
    from mne.io import read_raw

    if not path.is_file() and not path.is_dir():
        raise InputError("expected an EEG file, found none", where=str(path))
    try:
        return read_raw(path, verbose="error")
    except Exception as error:  # a damaged file makes MNE raise whatever its bytes happen to say
        found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(
            f"expected an EEG file that MNE reads, found: {found}",
            where=str(path),
            remedy="give an EDF, BDF, BrainVision, FIF, GDF or CNT file",
        ) from error


def _adapter(raw: Any, montage: str | None, wanted: Sequence[str], path: Path) -> EegAdapter:
    """Return what picks, names and scales the channels, as it does those of a stream."""
    channels = tuple(
        ChannelInfo(label, "" if kind == "misc" else kind, "V")  # MNE's misc: a unit it does not know
        for label, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    )
    header = StreamHeader(path.name, "EEG", "", "", "", float(raw.info["sfreq"]), len(channels), "double64",
                          channels)  # fmt: skip
    options = AdapterOptions(load_montage(montage) if montage else None, ch_names=tuple(wanted))
    return EegAdapter(header, "eeg", options)


def _microvolts(raw: Any, adapter: EegAdapter, start: int, stop: int) -> NDArray[np.float64]:
    """Return (C, n_times) of the adapter's channels."""
    try:
        x = raw.get_data(start=start, stop=stop)
    except Exception as error:  # as in opening: whatever the bytes happen to say
        raise InputError(
            f"the samples cannot be read: {str(error).splitlines()[0][:100] if str(error) else error!r}",
            where=str(raw.filenames[0]),
            remedy="is the file complete? copy it again",
        ) from error
    return adapter.convert(x.T).T


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, LSL seconds."""

    begin: float
    end: float
    event: str = ""  # the marker it began with


def xdf_trials(
    path: Path,
    montage: str | None,
    events: Mapping[str, str],
    *,
    trial_s: float | None = None,
    subject: str = "",
    streams: str | None = None,
    features: FeatureConfig | None = None,
    windows: WindowConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> list[Trial]:
    """Return one trial for each marker of ``events``, with the steps that lie wholly inside it.

    Parameters
    ----------
    path : Path
        XDF file with EEG and markers; eye features are added where there is a gaze stream.
    montage : str or None
        As ``--montage``: names for channels that the stream does not name.
    events : mapping of str to str
        Class by marker text.
    trial_s : float, optional
        Length of a trial in seconds from its marker; without it a trial lasts until the next marker.
    subject : str
        The file's name without it.
    streams : str, optional
        As ``--streams``.
    features, windows : FeatureConfig and WindowConfig, optional
        As in the checkpoint that the trials are for.
    ch_names : sequence of str
        Channels that are wanted, of those the stream has.

    Returns
    -------
    list of Trial
        In the order of the markers; ``step_s`` is the shift of EEG steps (1 s), which end on the hop grid.
        A step across a gap is NaN.

    Raises
    ------
    InputError
        If the file or a stream cannot be used, no marker fits, or no trial holds a step.
    """
    features, windows = features or FeatureConfig(), windows or WindowConfig()
    index = scan_xdf(path)
    options = AdapterOptions(load_montage(montage) if montage else None, ch_names=tuple(ch_names))
    make_intake = intake_maker(options, windows.max_gap_s)
    spans = marked_spans(path, events, trial_s=trial_s, streams=streams, index=index, make_intake=make_intake)
    steps = _Steps(path, index, streams, make_intake, features, windows)
    label_names = class_names(events)
    trials = []
    for number, span in enumerate(spans, start=1):
        eeg, eye = steps.inside(span)
        if len(eeg) == 0:
            raise InputError(
                f"trial {number} lasts {span.end - span.begin:.2f} s, too short for a step of "
                f"{windows.eeg_step_s:g} s",
                where=str(path),
                remedy="give the length of a trial",
            )
        label = label_names.index(events[span.event])
        trials.append(
            Trial("xdf", subject or path.stem, 1, number, label, label_names, windows.eeg_shift_s,
                  eeg, eye, steps.ch_names, "raw", str(path))
        )  # fmt: skip
    steps.close()
    return trials


def xdf_sequence(
    path: Path,
    montage: str | None = None,
    *,
    subject: str = "",
    streams: str | None = None,
    features: FeatureConfig | None = None,
    windows: WindowConfig | None = None,
    ch_names: Sequence[str] = SEED_CH_NAMES,
) -> Trial:
    """Return a whole recording as one unlabelled sequence of steps, for pre-training.

    As `xdf_trials`, but needs no markers; ``label`` is -1 and ``label_names`` is empty.
    """
    features, windows = features or FeatureConfig(), windows or WindowConfig()
    options = AdapterOptions(load_montage(montage) if montage else None, ch_names=tuple(ch_names))
    make_intake = intake_maker(options, windows.max_gap_s)
    steps = _Steps(path, scan_xdf(path), streams, make_intake, features, windows)
    eeg, eye = steps.inside(Span(steps.source.first_time, steps.source.last_time))
    steps.close()
    return Trial("xdf", subject or path.stem, 1, 1, -1, (), windows.eeg_shift_s,
                 eeg, eye, steps.ch_names, "raw", str(path))  # fmt: skip


def marked_spans(
    path: Path,
    events: Mapping[str, str],
    *,
    trial_s: float | None = None,
    streams: str | None = None,
    index: XdfIndex | None = None,
    make_intake: MakeIntake | None = None,
) -> list[Span]:
    """Return the stretches that begin with a marker of ``events``, in the order of the markers.

    Parameters
    ----------
    path, events, trial_s, streams
        As in `xdf_trials`.
    index : XdfIndex, optional
        The file's, where the caller has scanned it already.
    make_intake : callable, optional
        Builds a stream's way in.

    Raises
    ------
    InputError
        If the file or its markers cannot be used, or none fits.
    """
    index = index or scan_xdf(path)
    markers = _markers(path, index, streams, make_intake or intake_maker())
    spans = _spans(markers, events, trial_s)
    if not spans:
        raise no_trials(events, [text for _, text in markers], str(path))
    alone = end_to_end([(span.begin, span.end) for span in spans], str(path))
    return [replace(span, end=end) for span, (_, end) in zip(spans, alone, strict=True)]


def _markers(
    path: Path, index: XdfIndex, streams: str | None, make_intake: MakeIntake
) -> list[tuple[float, str]]:
    """Return (time, text) of all markers of the file, by time."""
    headers = {stream_id: stream.header for stream_id, stream in index.streams.items()}
    kinds = select_streams(headers, streams, (Kind.MARKERS,)).kinds
    if not kinds:
        raise InputError(
            "expected a stream of markers, found none",
            where=str(path),
            remedy=f"see: affectscope inspect {path.name}",
        )
    source = XdfSource(path, kinds, make_intake, index=index)
    chunks = [item for item in source.read(math.inf) if isinstance(item, Chunk)]
    source.close()
    found = [pair for chunk in chunks for pair in zip(chunk.times.tolist(), chunk.data, strict=True)]
    return sorted(found, key=lambda pair: pair[0])  # stable: markers of one moment keep their order


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

    def __init__(
        self,
        path: Path,
        index: XdfIndex,
        streams: str | None,
        make_intake: MakeIntake,
        features: FeatureConfig,
        windows: WindowConfig,
    ) -> None:
        headers = {stream_id: stream.header for stream_id, stream in index.streams.items()}
        kinds = select_streams(headers, streams, (Kind.EEG, Kind.GAZE)).kinds
        self.source = XdfSource(path, kinds, make_intake, index=index)
        self._features = StepFeatures(features, torch.device("cpu"))
        self._windows = windows
        self._n_bands, self._n_eye = len(features.bands), features.eye_features
        self._pump = Pump(self.source, windows)
        self._pump.acquire(-math.inf)  # opens the streams
        eeg = self._pump.aligner.spec("eeg")
        if eeg is None:
            raise InputError(
                "expected a stream of EEG with samples, found none",
                where=str(path),
                remedy=f"see: affectscope inspect {path.name}",
            )
        self.ch_names = eeg.ch_names

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def inside(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return (W, C, n_bands) entropy and (W, E) eye features of the steps wholly inside a span.

        Spans have to come in the order of time.
        """
        config = self._windows
        first = math.ceil((span.begin + config.eeg_step_s) / config.hop_s - 1e-9)
        last = math.floor(span.end / config.hop_s + 1e-9)
        indices = range(first, last + 1, round(config.eeg_shift_s / config.hop_s))
        eeg = np.full((len(indices), len(self.ch_names), self._n_bands), np.nan, dtype=np.float32)
        eye = np.full((len(indices), self._n_eye), np.nan, dtype=np.float32)
        for row, index in enumerate(indices):
            t_end = index * config.hop_s
            self._pump.acquire(t_end)
            window = self._pump.window_at(t_end, newest_only=True)
            step = window.steps["eeg"][-1]
            if step.valid:
                found = self._features.eeg(step)
                eeg[row] = np.where(found.usable.numpy()[:, None], found.de.numpy(), np.nan)
            if "eye" in window.steps and window.steps["eye"][-1].valid:
                eye[row] = self._features.eye(window.steps["eye"][-1]).numpy()
        return eeg, None if self._pump.aligner.spec("eye") is None else eye
