"""The whole path from source to prediction, on one screen.

    Source.read(now) --Chunk--> Pump (rings, hop grid) --Window--> Decoder --Prediction--> sinks

`Pipeline` has no thread and reads no clock: live runs drive `acquire` and `decode` from two threads,
replay and tests call `step`. Live and replay differ only in the source and the clock they are given.
"""

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from acquisition.clock import stopwatch
from acquisition.pump import Pump
from acquisition.quality import AmplitudeWatch
from acquisition.text import percent
from acquisition.types import (
    MODALITY_NAMES,
    Change,
    Chunk,
    Kind,
    Lateness,
    Source,
    StreamEvent,
    StreamSpec,
    Window,
)
from app.modality_mask import CheckMark, ModalityMask, Rest
from calibration.check import Outcome, SelfCheck, Shown
from models.decoder import Decoder
from models.features.face import FaceMeter
from models.prediction import Latency, Prediction
from models.trust import LEAST_RELIABLE, Code

_DOUBT_S = 5.0  # chosen: a movement is over by then

_REST_FAILED = (
    "the rest had too little valid EEG and gaze, and is not used: check the signals, and rest again"
)
_LEVEL_SET = "the participant's own level is set"


class Pipeline(Pump):
    """A pump with a decoder: features, network, manual masking, rests and self-reports.

    Without a ``mask``, the decoder's own ``masked`` counts. The other parameters are those of `Pump`.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        *,
        live: bool,
        on_event: Callable[[StreamEvent], None] = lambda event: None,
        on_chunk: Callable[[Chunk], None] = lambda chunk: None,
        mask: ModalityMask | None = None,
        check: SelfCheck | None = None,
        lateness_s: float | None = None,
    ) -> None:
        windows = decoder.config.windows
        super().__init__(
            source,
            windows if lateness_s is None else replace(windows, lateness_s=lateness_s),
            live=live,
            known=decoder.knows,
            on_open=self._open,
            on_event=on_event,
            on_chunk=self._came,
        )
        self._pass_on = on_chunk
        self._amplitudes: dict[str, AmplitudeWatch] = {}
        #: By modality: whether its signal is unlike that of training, and when that was last seen to hold.
        self._doubted: dict[str, tuple[bool, float]] = {}
        self._decoding = threading.Lock()  # a stream that joins must not change the decoder under a window
        self._counted_to = -1  # index of the newest window counted as faulty: one may be decoded again
        self._not_before = -1  # index of a window; those before were cut from other EEG channels
        self.decoder, self._mask = decoder, mask
        self._meter = None if decoder.landmarks is None else FaceMeter(decoder.landmarks, is_live=live)
        self._video = ""  # the stream that is measured
        self._rest: Rest | None = None  # the newest that the decoder was told
        set_threshold, _ = decoder.facts.set_thresholds
        self.check = check or SelfCheck(decoder.config.labels, decoder.evidence, set_threshold)
        self._checked_to = -math.inf
        self._stepped_to = -math.inf
        self._stepped: Window | None = None
        self._decoded: frozenset[int] = frozenset()  # windows of the live run that is replayed
        self._decoded_to = -1

    def follow(self, lateness: Mapping[str, Sequence[Lateness]], decoded: Collection[float]) -> None:
        """Let windows lack what those of a live run lacked, and have no consequences where it skipped them.

        ``lateness`` is by stream key; ``decoded`` are the ends of its windows, none of another model's run.
        """
        self.aligner.follow(lateness)
        self._decoded = frozenset(round(t / self.aligner.config.hop_s) for t in decoded)
        self._decoded_to = max(self._decoded, default=-1)

    def _open(self, spec: StreamSpec) -> None:
        with self._decoding:
            self.decoder.open(spec)
            if self.live and spec.kind is Kind.EEG and self.aligner.spec("eeg") is not None:
                self._not_before = self.aligner.next_index

    def _came(self, chunk: Chunk) -> None:
        self._pass_on(chunk)
        if (meter := self._meter) is not None and chunk.stream == self._video:
            meter.take(chunk.times, chunk.data)
        watch = self._amplitudes.get(chunk.stream)
        if watch is not None and (trouble := watch.take(chunk)):
            self._on_event(StreamEvent(chunk.stream, Change.WARNING, float(chunk.times[-1]), trouble))

    def _take(self, event: StreamEvent) -> None:
        super()._take(event)
        if event.change is not Change.OPENED or event.spec is None:
            return
        kind = event.spec.kind
        if kind in (Kind.EEG, Kind.AUDIO) and not event.spec.is_shown_only:
            self._amplitudes[event.stream] = AmplitudeWatch(event.spec)
        elif kind is Kind.VIDEO:
            self._video = event.stream
        elif kind is Kind.GAZE and self._meter is not None:
            self._meter = None
            what = "an eye tracker is in use: blinks and head pose are not measured from the webcam"
            self._on_event(StreamEvent("", Change.NOTICE, event.time, what))

    def measure_frame(self) -> bool:
        """Measure a webcam frame, if one waits and is to be, and tell; in a thread of its own when live."""
        meter = self._meter  # an eye tracker that joins ends it
        return meter is not None and meter.measure(n_most=1)

    def decode(self, window: Window, now: Callable[[], float]) -> Prediction | None:
        """Turn a window into a prediction; None when no modality is present."""
        with self._decoding:
            return None if window.index < self._not_before else self._decode(window, now)

    def _decode(self, window: Window, now: Callable[[], float]) -> Prediction | None:
        started, is_skipped = stopwatch(), False
        if any(window.present.values()):
            is_skipped = window.index < self._decoded_to and window.index not in self._decoded
        self.decoder.aside = is_skipped
        if self._mask is not None:
            self.decoder.masked = self._mask.of_window(window.t_end)
            self.decoder.mark_bad(self._mask.marked_bad_at(window.t_end))
            rest = None if is_skipped else self._mask.rest_at(window.t_end)
            if rest is not None and rest is not self._rest:
                self._rest = rest
                self.decoder.begin_rest(rest.duration_s, window.t_end)
            if math.isinf(self._checked_to):  # older marks are of windows that this pipeline did not decode
                self._checked_to = window.t_end - self.aligner.config.hop_s
            for mark in self._mask.checks(self._checked_to, window.t_end):
                self._self_check(mark)
            self._checked_to = window.t_end
        rests = self.decoder.is_in_baseline
        prediction = self.decoder.decode(window)
        self._count_faulty(window, prediction)
        if rests and not self.decoder.is_in_baseline:
            failed = self.decoder.rest_failed
            what, change = (_REST_FAILED, Change.WARNING) if failed else (_LEVEL_SET, Change.NOTICE)
            self._on_event(StreamEvent("", change, window.t_end, what))
        if prediction is None:
            return None
        if not is_skipped:
            self._doubt(prediction)
        if self.check.is_asking and not is_skipped:
            self.check.keep(Shown(prediction, self.decoder.newest_deviations(), self.decoder.has_fixed_level))
        if (meter := self._meter) is not None:
            if not self.live:
                meter.measure(window.t_end)
            prediction = replace(prediction, face_measures=meter.at(window.t_end))
        features, network = prediction.latency.features, prediction.latency.network
        if not self.live:
            total = (stopwatch() - started) * 1e3
            latency = Latency(
                hand_over=total - features - network, features=features, network=network, total=total
            )
            return replace(prediction, latency=latency)
        done = now()
        arrival = (window.newest_arrival - window.newest_push) * 1e3
        wait = (window.closed_at - window.newest_arrival) * 1e3
        total = (done - window.newest_push) * 1e3
        hand_over = total - arrival - wait - features - network
        age = (done - window.t_end) * 1e3
        return replace(prediction, latency=Latency(arrival, wait, hand_over, features, network, total, age))

    def _count_faulty(self, window: Window, prediction: Prediction | None) -> None:
        """Count a window whose EEG came, but of which no electrode can be used."""
        is_used = prediction is not None and prediction.present["eeg"]
        hidden = is_used or "eeg" in self.decoder.masked or "eeg" not in self.decoder.config.modalities
        if window.present["eeg"] and not hidden and window.index > self._counted_to:
            self._counted_to = window.index
            self.note_faulty("eeg")

    def _doubt(self, prediction: Prediction) -> None:
        """Say once an episode when a modality's signal has been unlike that of training for some seconds."""
        t = prediction.t_end
        for modality, share in prediction.reliability.items():
            is_doubted, since = self._doubted.get(modality, (False, t))
            if (share < LEAST_RELIABLE) == is_doubted:
                since = t
            elif t - since >= _DOUBT_S:
                is_doubted, since = not is_doubted, t
                if is_doubted:
                    what = f"{MODALITY_NAMES[modality]}: the signal is unlike that of training"
                    what += (
                        f" (reliability {percent(share)}) and hardly counts: check its unit and the sensors"
                    )
                    spec = self.aligner.spec(modality)
                    key = modality if spec is None else spec.key
                    self._on_event(StreamEvent(key, Change.WARNING, t, what, code=Code.RELIABILITY))
            self._doubted[modality] = is_doubted, since

    def _self_check(self, mark: CheckMark) -> None:
        outcome, check = self.check.take(mark.what, mark.time), self.check
        self.decoder.judge_by(check.evidence, check.shadow if check.has_shadow else None, check.reports)
        change = Change.WARNING if outcome is Outcome.PROMOTED else Change.NOTICE
        if words := check.words(outcome):
            self._on_event(StreamEvent("", change, mark.time, words))

    def step(self, now: float) -> list[Prediction]:
        """Acquire, and decode every window that is due, in order. For replay and tests."""
        self.acquire(now)
        self._tell_mask_changes(now)
        predictions = []
        for window in self.due_windows(now):
            self._stepped = window
            prediction = self.decode(window, lambda: now)
            if prediction is not None:
                predictions.append(prediction)
        return predictions

    def _tell_mask_changes(self, now: float) -> None:
        for change in self._mask.between(self._stepped_to, now) if self._mask is not None else ():
            self._on_event(StreamEvent("", Change.NOTICE, change.time, change.sentence))
        self._stepped_to = now

    def decode_again(self) -> Prediction | None:
        """Decode the newest window of `step` once more, as when a modality was masked since."""
        window = self._stepped
        return None if window is None else self.decode(window, lambda: window.closed_at)
