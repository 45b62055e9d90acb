"""From a window to a prediction: features that are computed once a step, one network, one device.

The decoder caches what depends on one step alone (a second's DE, a step's eye features, a face's token,
a clip's tokens) until it leaves the context, so a tick adds one step. Shapes never depend on what is
present: missing things are masks, so that one CUDA graph, and one set of last bits, serves every window.

A step's samples are copied once, out of the ring that the acquiring thread overwrites. Where all channels
are the model's and usable, features read that copy. The window's input is rebuilt at every tick from the
cached steps: that takes a hundredth of a tick, and nothing can become stale.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.clock import stopwatch
from acquisition.errors import ErrorCode, InputError
from acquisition.quality import BAD, LEAST_SFREQ, QualityMeter
from acquisition.types import MODALITIES, MODALITY_OF_KIND, Kind, Step, StreamSpec, Window
from acquisition.windowing import EDGE_SLACK_S
from models.checkpoint import Checkpoint
from models.encoders.expression import LandmarkNet
from models.features.covariance import Seconds
from models.features.gaze import ScreenGeometry
from models.features.log_mel import n_log_mel_frames, resample
from models.forward import EegStream, Forward
from models.level import AnswerFilter, Evidence, Recent, RunningLevel, Shadow
from models.network import NOTHING_KNOWN, KnownTokens
from models.normalise import MIN_BASELINE_STEPS, Baseline, Normaliser
from models.prediction import Given, Latency, Prediction
from models.steps import (
    CachedFace,
    CachedStep,
    CachedVoice,
    EegStep,
    FaceBox,
    FaceStep,
    StepFeature,
    StepFeatures,
)
from models.trust import LEAST_RELIABLE, MOSTLY, ModelFacts, SelfReports, SignalFacts, judge
from models.window_batch import NetworkInput, assemble, eeg_steps, join

#: Told (modality, step index, what is cached of the step) when a step was computed: see `Decoder.on_step`.
OnStep = Callable[[str, int, CachedStep], None]

#: `Prediction.normalisation` while the level runs.
RUNNING = "running level"
_STREAM_LEVEL_S = 10  # a streaming encoder starts anew whenever the level moves

#: Modalities whose features are computed where the network runs.
_ON_DEVICE = ("eeg", "voice")
#: Modalities of which a step alone makes tokens: another core can, meanwhile.
_MEDIA = ("face", "voice")


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the network and the verdict are given of a window."""

    window: Window
    inputs: NetworkInput
    known: KnownTokens
    is_aside: bool
    facts: ModelFacts
    n_bad: int  # electrodes

    @property
    def shapes(self) -> tuple[object, ...]:
        """What windows that go through the network together have in common."""
        return tuple(self.inputs.eeg_positions.tolist()), *(x.shape for x in vars(self.inputs).values())


#: A modality, a step, and what is cached of it.
_Cached = tuple[str, Step, CachedStep]


def _is_new(step: Step) -> bool:
    return step.valid and not step.known and step.data is not None


def _second(window: Window) -> int:
    return math.floor(window.t_end + EDGE_SLACK_S)


class Decoder:
    """Features and network behind ``decode(window)``.

    Parameters
    ----------
    screen : ScreenGeometry, optional
        For eye features in degrees.
    line_hz : float, optional
        50 or 60 leaves the mains out of its band, in place of the checkpoint's setting.
    baseline_s : float, optional
        Normalise with the statistics of the first seconds instead of the training's.
    landmarks : LandmarkNet, optional
        Kept for the pipeline, which measures every webcam frame with it, beside the model.
    on_failure : callable
        Told in one sentence when the device was lost and the CPU took over.

    Attributes
    ----------
    masked : frozenset of str
        Modalities masked manually: the network takes them for absent, while their steps are still
        computed, so that they return at once. May be set from any thread.
    marked_bad : tuple of str
        Electrodes marked bad by hand: see `mark_bad`.
    newest : Prediction or None
        Of the newest window that was decoded; None before the first and where nothing was present.
    kept_level : mapping or None
        What `keep_level` asked for, ready for JSON; None until its second has come.
    defers : bool
        `decode` returns predictions without answers, which `answer` gives to many at a time.
    aside : bool
        The next window has no consequences: a live run skipped it, and what is decoded later must not differ.
    rest_failed : bool
        The newest rest (`begin_rest`) had too few valid steps: the level runs on.
    on_step : callable or None
        Sees every step as it is computed, whichever window it came with.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "cpu",
        screen: ScreenGeometry | None = None,
        line_hz: float | None = None,
        baseline_s: float | None = None,
        landmarks: LandmarkNet | None = None,
        on_failure: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.config, self.landmarks = checkpoint.config, landmarks
        self.masked: frozenset[str] = frozenset()
        self.marked_bad: tuple[str, ...] = ()
        self.newest: Prediction | None = None
        self.rest_failed = self.aside = self.defers = False
        self._asked: list[_Asked] = []  # windows that wait for `answer`
        self.on_step: OnStep | None = None
        self.kept_level: Mapping[str, Any] | None = None
        if line_hz is not None:
            self.config = replace(self.config, features=replace(self.config.features, line_hz=line_hz))
        self._check_channels = checkpoint.check_channels
        self.facts = checkpoint.facts
        self._is_simulated: dict[str, bool] = {}  # of each stream by key
        self._baseline = Baseline(baseline_s) if baseline_s else None
        self.normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors, checkpoint.normalisation)
        n_samples = round(self.config.windows.voice_s * self.config.features.voice_sfreq)
        self._n_longest_clip = n_log_mel_frames(n_samples)
        self._forward = Forward(checkpoint.network, torch.device(device), on_failure)
        self._step_features = StepFeatures(
            self.config.features,
            self._forward.device,
            screen,
            raw_eeg=self.config.network.takes_raw_eeg,
            voice_form=self.config.network.voice_form,
        )
        self.evidence, self._fixed = checkpoint.evidence, checkpoint.level
        self._bare, self._level, self._filter = self.normaliser, self._new_level(), self._new_filter()
        self._recent_steps: Recent = {}  # of the newest window
        self._shadow: Shadow | None = None
        self._thread = ThreadPoolExecutor(1, "face and voice")
        self._encodes_eeg = "eeg" in self.config.modalities and not self.config.network.takes_raw_eeg
        self._judged: tuple[int, int] | None = None  # a second, and how many electrodes are bad in it
        self._eye: tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]] | None = None  # its input and its tokens
        self._eeg_stream = EegStream(checkpoint.network) if self.config.network.streams else None
        if self._fixed is not None:
            self._centre()
        self._cached: dict[tuple[str, int], CachedStep] = {}
        self._n_voice_tokens = self._forward.n_voice_tokens(self._n_longest_clip)
        self._ch_names: tuple[str, ...] = ()  # EEG channels in use
        self._picks: list[int] | None = None  # their columns in the stream; None: all, in this order
        self._positions = torch.zeros(1, dtype=torch.long)  # their indices in config.ch_names

    # --- streams ---

    def check(self, spec: StreamSpec) -> list[str]:
        """Return the EEG channels of a stream that the model reads; changes nothing.

        Raises `InputError`: the model or the profile in use cannot use the stream's EEG channels or its
        rate.
        """
        if spec.kind is not Kind.EEG:
            return []
        where = f"stream {spec.name!r}"
        lowest = 2 * self.config.features.raw_fmax_hz if self.config.network.takes_raw_eeg else 0.0
        if 0 < spec.sfreq < lowest:
            what = f"expected EEG at {lowest:g} Hz or more for this model, got {spec.sfreq:g} Hz"
            remedy, code = "use a model on band entropies", ErrorCode.WRONG_STREAM
            raise InputError(what, where=where, remedy=remedy, code=code, stream=spec.name)
        known = [name for name in spec.ch_names if name in self.config.ch_names]
        if not known:
            of_stream, of_model = ", ".join(spec.ch_names), ", ".join(self.config.ch_names)
            what = f"no channel of the stream ({of_stream}) is one of the model's ({of_model})"
            remedy, code = "map them with --montage FILE.toml", ErrorCode.CHANNELS
            raise InputError(what, where=where, remedy=remedy, code=code, stream=spec.name)
        self._check_channels(known, where)
        return known

    def open(self, spec: StreamSpec) -> None:
        """Fit the decoder to a stream; raises `InputError` as `check` does."""
        known = self.check(spec)
        if spec.kind in MODALITY_OF_KIND:
            self._is_simulated[spec.key] = spec.is_simulated
        if spec.kind is Kind.AUDIO and spec.sfreq > 0:  # other rates load a package of SciPy: not mid-session
            resample(np.zeros(round(spec.sfreq)), spec.sfreq, self.config.features)
        if spec.kind is not Kind.EEG:
            return
        self._ch_names = tuple(known)
        is_all = self._ch_names == spec.ch_names
        self._picks = None if is_all else [spec.ch_names.index(name) for name in known]
        self._positions = torch.tensor([self.config.ch_names.index(name) for name in known])
        self._cached = {key: value for key, value in self._cached.items() if key[0] != "eeg"}
        self._step_features.reset()
        self._reset_stream()

    @property
    def positions(self) -> tuple[int, ...]:
        """Indices of the connected EEG channels in ``config.ch_names``; empty without an EEG stream."""
        return tuple(self._positions.tolist()) if self._ch_names else ()

    def knows(self, modality: str, index: int) -> bool:
        """Tell whether a step's features are cached, so that its samples need not be cut again."""
        return (modality, index) in self._cached

    def mark_bad(self, ch_names: tuple[str, ...]) -> None:
        """Take these electrodes, and no others, for unusable in every step of the windows from now on.

        Others than those in use change nothing. Call it where `decode` is called.
        """
        if ch_names != self.marked_bad:
            self.marked_bad, self._judged = ch_names, None
            for key, step in self._cached.items():
                if isinstance(step, EegStep):
                    self._cached[key] = self._with_tangent(self._without_marked(step))
            self._reset_stream()

    def _without_marked(self, step: EegStep) -> EegStep:
        if not self.marked_bad and step.carries is None:
            return step
        return step.without(torch.tensor([name in self.marked_bad for name in self._ch_names]))

    def _with_tangent(self, step: EegStep) -> EegStep:
        """Return the step with what its usable channels' covariance is, for evidence that reads it."""
        tangent = None if self.evidence is None else self.evidence.discriminant.tangent
        if tangent is None or step.covariance is None:
            return step
        parts = step.covariance[None], step.usable.numpy()[None], self._positions.tolist()
        row = tangent.rows(Seconds.of(*parts, len(self.config.ch_names)))[0]
        return replace(step, tangent=row)

    def _reset_stream(self) -> None:
        if self._eeg_stream is not None:
            self._eeg_stream.reset()

    def _new_level(self) -> RunningLevel | None:
        self._level_moved = False  # since the normaliser was centred on it
        self._taken_s = -math.inf  # second whose steps entered the level last
        self._keep_from_s = math.inf
        self._recorded: list[Mapping[str, Any]] = []  # levels to continue from, in order of time
        self._as_live_from_s = -math.inf  # the end of a window from which on a replay has the recorded level
        if self.evidence is None:
            return None
        return RunningLevel(self.evidence.discriminant, self.evidence.config, self._fixed)

    def _new_filter(self) -> AnswerFilter | None:
        if self.evidence is None:
            return None
        return AnswerFilter(self.evidence.config, self.config.windows.hop_s)

    def keep_level(self, from_s: float) -> None:
        """Keep the level as of the first second from ``from_s`` on: for a recording begun mid-session."""
        self._keep_from_s, self.kept_level = from_s, None

    def use_level(self, recorded: Any, where: str = "level") -> None:
        """Continue from a `kept_level` when its second has come, and warm up until then; ignore None.

        Raises `InputError` if it is not a level of this model.
        """
        if recorded is None or self._level is None or self._level.fixed is not None:
            return
        try:
            RunningLevel(self.evidence.discriminant, self.evidence.config).restore(recorded["state"])  # type: ignore[union-attr]
            second, fixed_by = operator.index(recorded["second"]), recorded["fixed_by"]
            if not (fixed_by is None or isinstance(fixed_by, str)):
                raise ValueError(f"fixed_by: expected text, found {fixed_by!r}")
            level = {"second": second, "state": recorded["state"], "fixed_by": fixed_by}
            self._recorded.append(level)
            # What is normalised about it begins with the next second.
            self._as_live_from_s = self._recorded[0]["second"] + 1 + self.config.evidence.average_s  # type: ignore[union-attr]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            what = f"the level does not fit the model: {said}"
            remedy = "move the sidecar away: the level then starts anew"
            raise InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE) from error

    def restart(self) -> None:
        """Forget every window, because what comes next does not continue it.

        A baseline that is over stays in force; one that is not starts again, but a rest is dropped.
        """
        self._cached, self._judged = {}, None
        self._reset_stream()
        self._step_features.reset()
        self.newest = None
        self._filter = self._new_filter()  # the level stays: it is the same subject's
        if self._shadow is not None:
            self._shadow.restart()
        self._taken_s = -math.inf
        if self._baseline is not None:
            self._baseline = None if self._baseline.is_rest else Baseline(self._baseline.duration_s)

    def begin_rest(self, duration_s: float, t: float) -> None:
        """Set the level anew by the seconds from ``t`` (data time) on; 0 s ends a rest early.

        Then, and until it is over, the level runs. Call it where `decode` is called.
        """
        self._baseline, self.rest_failed = Baseline(duration_s, t) if duration_s else None, False
        if self._baseline is not None and self._level is not None:
            self._fixed = None
            self._level = self._new_level()
            self._centre()

    # --- decoding ---

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Load and run everything once, so that the first window does not pay for it."""
        n_eeg = round(self.config.windows.eeg_step_s * 1000)
        noise = np.random.default_rng(0).normal(size=(len(self.config.ch_names), n_eeg))
        self._features("eeg", Step(0, 0.0, True, 1.0, 1000.0, noise))
        times = np.arange(0, self.config.windows.pupil_s, 1 / 60)
        gaze = np.column_stack([np.full((len(times), 4), 0.5), np.ones(len(times))])
        self._features("eye", Step(0, times[-1], True, 1.0, 60.0, gaze, times))
        self._features("voice", Step(0, 0.0, True, 1.0, 16000.0, np.zeros(16000)))
        self._features("face", Step(0, 0.0, True, 1.0, 0.0, np.zeros((240, 320, 3), dtype=np.uint8)))
        size = self.config.features.face_size
        self._forward.encode_face(torch.zeros(3, size, size))
        absent = dict.fromkeys(MODALITIES, False)
        nothing = Window(0, 0.0, {}, absent, dict.fromkeys(MODALITIES, 0.0), 0.0, 0.0)
        self._forward(self._assembled(nothing)[0])
        self._step_features.reset()

    @torch.inference_mode()
    def decode(self, window: Window) -> Prediction | None:
        """Return the prediction for a window, or None if no modality is present in it."""
        started = stopwatch()
        media = self._begin_media(window)
        self._take_new_steps(window)
        if self._level_moved and self._begins_second(window):
            self._centre()
        inputs, present = self._assembled(window)
        assembled = stopwatch()
        known = self._known(window, inputs, is_waiting=media is not None)
        network_s = stopwatch() - assembled
        if media is not None:
            self._keep(media.result())
            inputs, present = self._assembled(window)
        given = self._weigh(window, inputs)
        self._end_step(window)
        featured = stopwatch()
        if not any(present.values()):
            self.newest = None
            return None
        prediction = self._unanswered(window, inputs, present, given)
        n_bad = self._n_bad(window) if present["eeg"] else 0
        asked = _Asked(window, inputs, known, self.aside, self.facts, n_bad)
        if self.defers:
            self._asked.append(asked)
        else:
            prediction = self._answered(asked, prediction, self._forward(inputs, known))
        done = stopwatch()
        latency = Latency(
            features=(featured - started - network_s) * 1e3, network=(done - featured + network_s) * 1e3
        )
        self.newest = replace(prediction, latency=latency)
        return self.newest

    @torch.inference_mode()
    def answer(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Answer what `decode` returned since the last call: windows of the same shapes in one pass.

        Probabilities are within 1e-5 of those that every window gets by itself.
        """
        waiting, self._asked = self._asked, []
        answered: list[Prediction] = []
        for _, group in groupby(waiting, key=lambda asked: asked.shapes):
            together, started = list(group), stopwatch()
            known = {
                modality: (torch.cat(tokens), torch.cat(received))
                for modality in together[0].known
                for tokens, received in [zip(*(asked.known[modality] for asked in together), strict=True)]
            }
            output = self._forward(join([asked.inputs for asked in together]), known)
            network = (stopwatch() - started) * 1e3 / len(together)
            for at, asked in enumerate(together):
                row = {name: values[at : at + 1] for name, values in output.items()}
                one = self._answered(asked, predictions[len(answered)], row)
                took = one.latency
                latency = replace(took, network=took.network + network, total=took.total + network)
                answered.append(replace(one, latency=latency))
        return answered

    @torch.inference_mode()
    def take_steps(self, window: Window) -> None:
        """Compute and cache what is new in a window; `on_step` sees what it would with `decode`."""
        media = self._begin_media(window)
        self._take_new_steps(window)
        if media is not None:
            self._keep(media.result())
        self._end_step(window)

    def _assembled(self, window: Window) -> tuple[NetworkInput, dict[str, bool]]:
        """Return a window's input from the cached steps, and which modalities are present in it."""
        given = window, self._cached, self.config, self.normaliser, self._positions, self._n_voice_tokens
        return assemble(*given, self.masked)

    def _begin_media(self, window: Window) -> Future[list[_Cached]] | None:
        """Begin with new pictures and sound in a thread of their own; None if none is waited for.

        OpenCV and torch work without the interpreter's lock: a second core makes these tokens while the
        first encodes EEG. What comes of a step does not depend on when. A GPU takes one thing at a time.
        """
        new = [(m, step) for m in _MEDIA for step in window.steps.get(m, ()) if _is_new(step)]
        if new and self._forward.takes_steps:
            return self._thread.submit(self._cached_of, new)
        self._keep(self._cached_of(new))
        return None

    @torch.inference_mode()
    def _cached_of(self, new: Sequence[tuple[str, Step]]) -> list[_Cached]:
        return [(m, step, self._encoded(m, self._features(m, step), step)) for m, step in new]

    def _take_new_steps(self, window: Window) -> None:
        """Compute and cache what is new of EEG, left context first, and eyes."""
        for step in filter(_is_new, window.context):
            self._keep([("eeg", step, self._encoded("eeg", self._features("eeg", step), step))])
        for modality in ("eeg", "eye"):
            for step in filter(_is_new, window.steps.get(modality, ())):
                features = self._features(modality, step)
                self._keep([(modality, step, self._encoded(modality, features, step))])
                self._collect_baseline(step, features)

    def _keep(self, found: Iterable[_Cached]) -> None:
        for modality, step, cached in found:
            self._cached[modality, step.index] = cached
            if self.on_step is not None:
                self.on_step(modality, step.index, cached)

    def _known(self, window: Window, inputs: NetworkInput, *, is_waiting: bool) -> KnownTokens:
        """Return what need not be encoded as a whole: EEG that streams, and eyes that have not moved on.

        EEG is encoded too while the tokens of pictures and sound are waited for.
        """
        if not self._forward.takes_steps:
            return NOTHING_KNOWN
        known = {}
        if self._eeg_stream is not None:
            steps = eeg_steps(window, self._cached) or [None] * self.config.n_eeg_steps
            known["eeg"] = self._eeg_stream.take(window.index, steps, inputs)
        elif is_waiting and not self.defers and self._encodes_eeg:
            known["eeg"] = self._forward.encode_steps("eeg", inputs)
        if "eye" in self.config.modalities:
            given = inputs.eye, inputs.eye_step_mask, inputs.eye_feature_mask
            if self._eye is None or not all(map(torch.equal, given, self._eye[0])):
                self._eye = given, self._forward.encode_steps("eye", inputs)
            known["eye"] = self._eye[1]
        return known

    def _collect_baseline(self, step: Step, features: StepFeature) -> None:
        if self._baseline is None:
            return
        if isinstance(features, EegStep):
            if self.config.network.takes_raw_eeg:
                return  # its scale is that of samples, which a quiet minute does not shift
            n_bands = len(self.config.features.bands)
            entropy = torch.full((len(self.config.ch_names), n_bands), torch.nan)
            entropy[self._positions] = features.usable_de
            self._baseline.add(step.t_end, "eeg", entropy)
        elif isinstance(features, Tensor) and features.shape == (self.config.network.n_eye_features,):
            self._baseline.add(step.t_end, "eye", features)

    @property
    def is_in_baseline(self) -> bool:
        """True until the baseline is over; predictions still rest on the training statistics."""
        return self._baseline is not None

    def _end_step(self, window: Window) -> None:
        """Drop the steps that no later window holds, and apply a baseline that is over."""
        oldest = window.index - round(self.config.windows.context_s / self.config.windows.hop_s) - 2
        for key in [key for key in self._cached if key[1] < oldest]:
            del self._cached[key]
        if self._baseline is not None and self._baseline.is_over(window.t_end):
            baseline, self._baseline = self._baseline, None
            self.rest_failed = baseline.is_rest and baseline.n_steps < MIN_BASELINE_STEPS
            if self.rest_failed:
                return
            self._bare = self.normaliser = baseline.refit(self._bare)
            self._fix_level()
            self._reset_stream()

    def _features(self, modality: str, step: Step) -> StepFeature:
        if modality == "eeg" and self._picks is not None:
            step = replace(step, data=step.data[self._picks])
        if modality not in _ON_DEVICE:
            return self._step_features(modality, step)

        def compute(network: object, device: torch.device) -> StepFeature:
            self._step_features.device = device  # the CPU once the GPU has failed
            return self._step_features(modality, step)

        found = self._forward.run(compute)
        return self._without_marked(found) if isinstance(found, EegStep) else found

    def _encoded(self, modality: str, features: StepFeature, step: Step) -> CachedStep:
        """Return what is cached of a step: features, or tokens where an encoder sees one step alone.

        Only a modality the model was trained with is encoded.
        """
        trained = modality in self.config.modalities
        if isinstance(features, EegStep):
            return self._with_tangent(features)
        if isinstance(features, FaceStep):
            crop = features.crop if trained else None
            token = None if crop is None else self._forward.encode_face(crop)
            return CachedFace(token, features.box, features.time)
        if modality == "voice" and trained:
            assert isinstance(features, Tensor)
            tokens, mask, times = self._forward.encode_voice(self._padded(features))
            speech_s = None
            if self.config.network.voice_activity:
                wave = resample(step.data, step.sfreq, self.config.features)
                speech_s = self._forward.run(lambda net, device: net.speech_s(wave.to(device)))
            return CachedVoice(tokens, mask, times, len(step.data) / step.sfreq, speech_s)
        return features

    def _padded(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames (1, F, n_mels) and mask (1, F) of the longest clip's shape."""
        n_longest = self._n_longest_clip
        n_frames = min(len(log_mel), n_longest)
        frames = log_mel.new_zeros(1, n_longest, log_mel.shape[1])
        frames[0, :n_frames] = log_mel[:n_frames]
        mask = torch.zeros(1, n_longest, dtype=torch.bool, device=log_mel.device)
        mask[0, :n_frames] = True
        return frames, mask

    # --- level and evidence ---

    def _weigh(self, window: Window, inputs: NetworkInput) -> dict[str, Given]:
        """Put evidence and reliability into a window's input, then take its newest second into the level."""
        if self.evidence is None or self._level is None:
            return {}
        self._recent_steps = recent = self._recent(window)
        given = self.evidence.given(recent, self._level)
        inputs.evidence = self.evidence.scores(given)[None]
        measures = self.evidence.measures(recent, given, self._level)
        inputs.reliability = self.evidence.range.reliability(measures)[None]
        if self._begins_second(window):
            self._taken_s = second = _second(window)
            runs = self._level.fixed is None
            if not self._baseline:
                self._level.agreement.take(inputs.evidence[0].numpy(), inputs.present[0].numpy())
            if runs:
                said = (inputs.evidence[0] * inputs.present[0][:, None]).sum(dim=0)
                said = torch.zeros_like(said) if self._baseline else said
                self._level.take(recent, said.numpy(), reliability=inputs.reliability[0])
            while self._recorded and second >= self._recorded[0]["second"]:
                self._restore_level(self._recorded.pop(0))
            if second >= self._keep_from_s:
                origin = None if runs else self._bare.origin
                kept = {"second": second, "state": self._level.state(), "fixed_by": origin}
                self.kept_level, self._keep_from_s = kept, math.inf
            self._level_moved = runs and (not self.config.network.streams or second % _STREAM_LEVEL_S == 0)
        return given

    def _begins_second(self, window: Window) -> bool:
        """True for the first window of a whole second that counts: then the level moves."""
        return _second(window) > self._taken_s and not self.aside

    def _restore_level(self, recorded: Mapping[str, Any]) -> None:
        assert self._level is not None
        self._level.restore(recorded["state"])
        if recorded["fixed_by"] is not None:
            self._bare = replace(self._bare, origin=str(recorded["fixed_by"]))
            self._fix_level()

    def _fix_level(self) -> None:
        """Keep the level as it is from now on."""
        if self._level is not None:
            self._fixed = self._level.fixed = {m: self._level.mean(m) for m in self._level.modalities}
            self._centre()

    def _centre(self) -> None:
        """Normalise about the level from the next window on: for a whole second, as its eyes are one step."""
        self._level_moved = False
        if self._level is None:
            return
        means = {m: torch.from_numpy(self._level.mean(m)).float() for m in self._level.modalities}
        if "eeg" in means:  # features of covariances, if any, are behind
            shape = len(self.config.ch_names), len(self.config.features.bands)
            means["eeg"] = means["eeg"][: math.prod(shape)].unflatten(0, shape)
        origin = self._bare.origin if self._level.fixed is not None else RUNNING
        self.normaliser = self._bare.centred_on(means, origin)
        self._reset_stream()

    def _recent(self, window: Window) -> dict[str, NDArray[np.floating]]:
        """Return raw features of a window's steps a second apart, oldest first, (n, F) by modality."""
        found: dict[str, NDArray[np.floating]] = {}
        stride = round(1 / self.config.windows.face_grid_s)
        for modality, steps in window.steps.items():
            apart = steps[::-1][:: stride if modality == "face" else 1][::-1]
            known = [self._cached[modality, step.index] for step in apart if step.valid]
            rows = [row for cached in known if (row := self._row(cached)) is not None]
            if rows and apart[-1].valid:
                found[modality] = np.stack(rows)
        return found

    def _row(self, cached: CachedStep) -> NDArray[np.floating] | None:
        """Return a step's features (F,), NaN where unknown; None where it holds nothing."""
        if isinstance(cached, EegStep):
            everywhere = torch.full((len(self.config.ch_names), cached.de.shape[1]), torch.nan)
            everywhere[self._positions] = cached.usable_de
            row = everywhere.flatten().numpy()
            return row if cached.tangent is None else np.concatenate([row, cached.tangent])
        if isinstance(cached, CachedFace):
            return None if cached.token is None else cached.token.numpy()
        if isinstance(cached, CachedVoice):
            has_speech = cached.mask.any() and cached.speaks
            return cached.tokens[cached.mask].mean(dim=0).numpy() if has_speech else None
        return cached.numpy()

    # --- the self-check ---

    def judge_by(
        self, evidence: Evidence | None, shadow: Evidence | None, reports: SelfReports | None
    ) -> None:
        """Use other evidence, with a ``shadow`` beside it, and reports from the next window on."""
        self.evidence = evidence
        if shadow is None:
            self._shadow = None
        elif self._shadow is None:
            self._shadow = Shadow(shadow, self.config.windows.hop_s)
        else:
            self._shadow.evidence = shadow
        self.facts = replace(self.facts, reports=reports)

    def newest_deviations(self) -> dict[str, NDArray[np.floating]]:
        """Return the newest window's steps about the level, (n, F) by modality present and reliable."""
        newest, level = self.newest, self._level
        if newest is None or level is None:
            return {}
        used = [m for m in newest.given if newest.present[m] and newest.reliability[m] >= LEAST_RELIABLE]
        return {m: self._recent_steps[m] - level.mean(m) for m in used}

    @property
    def has_fixed_level(self) -> bool:
        """True where a profile, a baseline or a rest has set the level."""
        return self._level is not None and self._level.fixed is not None

    def evidence_without(self, prediction: Prediction, ch_names: Collection[str], band: int = -1) -> Tensor:
        """Return a prediction's evidence (1, 4, n_labels) as if EEG channels, or a band, were unknown."""
        assert prediction.inputs is not None
        if self.evidence is None or "eeg" not in prediction.given:
            return prediction.inputs.evidence
        hidden = np.zeros((len(self.config.ch_names), len(self.config.features.bands)), dtype=bool)
        hidden[[name in ch_names for name in self.config.ch_names]] = True
        if band >= 0:
            hidden[:, band] = True
        given = prediction.given["eeg"]  # features of covariances, if any, are of all channels and bands
        eeg = given.without(np.pad(hidden.ravel(), (0, len(given.known) - hidden.size)))
        return self.evidence.scores({**prediction.given, "eeg": eeg})[None]

    # --- the answer ---

    @torch.inference_mode()
    def probabilities(self, inputs: NetworkInput) -> dict[str, float]:
        """Return the answer to a batch of one alone, by label; call it where `decode` is called."""
        return self._by_label(self._forward(inputs)["logits"][0])

    def _by_label(self, logits: Tensor) -> dict[str, float]:
        probs = torch.softmax(logits, dim=-1).double().tolist()
        if not all(map(math.isfinite, probs)):  # finite weights may still overflow
            what = "the network's answer is not a number: its weights are damaged"
            raise InputError(what, where="model", remedy="copy the model again", code=ErrorCode.MODEL)
        return dict(zip(self.config.labels, probs, strict=True))

    def _unanswered(
        self, window: Window, inputs: NetworkInput, present: dict[str, bool], given: Mapping[str, Given]
    ) -> Prediction:
        """Return all of a prediction but what the network says."""
        face_box, face_time = self._newest_face(window)
        reliability = zip(MODALITIES, inputs.reliability[0].tolist(), strict=True)
        return Prediction(
            index=window.index,
            t_end=window.t_end,
            label="",
            probs={},
            modality_attention={},
            channel_attention={},
            time_attention=(),
            present=present,
            # Of the face's frames, those count in which a face was found.
            coverage={**window.coverage, "face": float(inputs.face_mask[0].float().mean())},
            waited_s=window.waited_s,
            warm_up=window.warm_up or window.t_end < self._as_live_from_s,
            normalisation=self.normaliser.origin,
            marked_bad=self.marked_bad,
            inputs=inputs,
            band_de=self._newest_entropy(window),
            band_ch_names=self._ch_names,
            face_box=face_box,
            face_time=face_time,
            is_quiet=window.present["voice"] and self._is_quiet(window),
            level_trials=math.nan if self._level is None or self._fixed else self._level.worth,
            agreement=math.nan if self._level is None else self._level.agreement.value,
            given=given,
            reliability={m: r for m, r in reliability if present[m] and m in given},
        )

    def _answered(self, asked: _Asked, prediction: Prediction, output: Mapping[str, Tensor]) -> Prediction:
        """Return a prediction with what the network said, to a batch of one, and the verdict."""
        logits, index = output["logits"][0], prediction.index
        answer, shadow = self._filter, self._shadow
        if asked.is_aside:
            answer, shadow = deepcopy((answer, shadow))
        probs = self._by_label(logits if answer is None else answer(index, logits))
        modalities, channels, times = (
            output[f"{axis}_attention"][0].double().tolist() for axis in ("modality", "channel", "time")
        )
        names, present = prediction.band_ch_names, prediction.present
        by_shadow = shadow.logits(index, asked.inputs, output, prediction.given) if shadow else None
        answered = replace(
            prediction,
            label=self.config.labels[int(np.argmax(list(probs.values())))],
            probs=probs,
            modality_attention=dict(zip(MODALITIES, modalities, strict=True)),
            channel_attention=dict(zip(names, channels, strict=True)) if present["eeg"] else {},
            time_attention=tuple(times),
            shadow={} if by_shadow is None else self._by_label(by_shadow),
        )
        n_bad = asked.n_bad if answered.modality_attention["eeg"] >= MOSTLY else 0
        is_simulated = bool(self._is_simulated) and all(self._is_simulated.values())
        return replace(
            answered, verdict=judge(answered, asked.facts, SignalFacts(n_bad, len(names), is_simulated))
        )

    def _n_bad(self, window: Window) -> int:
        """Return how many electrodes are bad: judged once a second, as of its first window that counts."""
        if self.aside:
            return self._count_bad(window)
        if self._judged is None or self._judged[0] != _second(window):
            self._judged = _second(window), self._count_bad(window)
        return self._judged[1]

    def _count_bad(self, window: Window) -> int:
        """Return how many electrodes are bad in the newest EEG step, judged alone: no replay can differ."""
        *_, step = window.steps["eeg"]
        marked = set(self.marked_bad).intersection(self._ch_names)
        if step.data is None or step.sfreq < LEAST_SFREQ:
            return len(marked)
        meter = QualityMeter(self._ch_names, step.sfreq, self.config.features.line_hz)
        meter.push((step.data if self._picks is None else step.data[self._picks]).T)
        return len(marked.union(c.ch_name for c in meter.assess(step.t_end) if c.state == BAD))

    def _newest_entropy(self, window: Window) -> NDArray[np.float32]:
        """Return (C, n_bands) nats of the newest EEG step, NaN where there is nothing to go by."""
        steps = window.steps.get("eeg", ())
        newest = self._cached.get(("eeg", steps[-1].index)) if steps and steps[-1].valid else None
        if not isinstance(newest, EegStep):
            return np.full((len(self._ch_names), len(self.config.features.bands)), np.nan, dtype=np.float32)
        return newest.usable_de.to(torch.float32).numpy()

    def _is_quiet(self, window: Window) -> bool:
        clips = [self._cached.get(("voice", step.index)) for step in window.steps["voice"][-1:] if step.valid]
        return any(isinstance(clip, CachedVoice) and not clip.speaks for clip in clips)

    def _newest_face(self, window: Window) -> tuple[FaceBox | None, float]:
        """Return the newest step's face box, and the time of the newest frame that was searched."""
        box, time = None, float("nan")
        for step in window.steps.get("face", ()):
            face = self._cached.get(("face", step.index)) if step.valid else None
            box = face.box if isinstance(face, CachedFace) else None
            time = face.time if isinstance(face, CachedFace) else time
        return box, time
