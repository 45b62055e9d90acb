"""Trials from an XDF recording with markers, through the streams' own way in and the live feature path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.adapters.options import AdapterOptions
from acquisition.errors import InputError
from acquisition.intake import MakeIntake, intake_maker
from acquisition.montage import SEED_CH_NAMES, load_montage
from acquisition.ring import Ring
from acquisition.select import select_streams
from acquisition.types import Chunk, Kind, StreamEvent, StreamSpec
from acquisition.windowing import WindowConfig, cut_eeg, cut_eye
from acquisition.xdf.format import XdfIndex
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.source import XdfSource
from models.datasets.events import class_names, end_to_end, no_trials
from models.datasets.types import Trial
from models.features.config import FeatureConfig
from models.steps import StepFeatures


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
        self._specs: dict[Kind, StreamSpec] = {}
        self._rings: dict[str, Ring] = {}
        self._n_bands, self._n_eye = len(features.bands), features.eye_features
        self._take(self.source.read(-math.inf))
        if Kind.EEG not in self._specs:
            raise InputError(
                "expected a stream of EEG with samples, found none",
                where=str(path),
                remedy=f"see: affectscope inspect {path.name}",
            )

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The EEG channels."""
        return self._specs[Kind.EEG].ch_names

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
            self._take(self.source.read(index * config.hop_s))
            spec = self._specs[Kind.EEG]
            step = cut_eeg(self._rings[spec.key], spec.sfreq, config, index, False)
            if step.valid:
                found = self._features.eeg(step)
                eeg[row] = np.where(found.usable.numpy()[:, None], found.de.numpy(), np.nan)
            if Kind.GAZE in self._specs:
                gaze = self._specs[Kind.GAZE]
                step = cut_eye(self._rings[gaze.key], gaze.sfreq, config, index, False)
                if step.valid:
                    eye[row] = self._features.eye(step).numpy()
        return eeg, eye if Kind.GAZE in self._specs else None

    def _take(self, items: Sequence[Chunk | StreamEvent]) -> None:
        for item in items:
            if isinstance(item, Chunk):
                self._rings[item.stream].append(item)
            elif item.spec is not None:
                self._specs[item.spec.kind] = item.spec
                keep_s = self._windows.context_s + 5.0
                self._rings[item.spec.key] = Ring(len(item.spec.ch_names), keep_s)
