"""A replay for a window: scans the file, then plays it, with pause, seek and change of speed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from acquisition.clock import ReplayClock, stopwatch
from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.types import Change, StreamEvent
from acquisition.xdf.outline import Outline
from app.engine import messages
from app.engine.health import PERIOD_S, HealthMeter, OcclusionCheck, model_info
from app.engine.pipe import CommandQueue, Stopped, WindowLink, stage_of
from app.engine.tap import Tap
from app.modality_mask import ModalityMask
from app.outputs import Sink
from app.pipeline import Pipeline
from app.replay import INCOMPLETE_REST, ReplayFile, ReplaySteps
from app.request import ReplayRequest
from app.runner import closing
from app.telemetry import Failure, SimulatedStreams, Telemetry
from calibration.check import SelfCheck
from models.prediction import Prediction


def run_replay(request: ReplayRequest, link: WindowLink) -> None:
    """Run a replay for a window until told to stop.

    Commands are carried out while it plays, is ``paused`` or has ``ended``. After seeking back, a window
    gives the same prediction as the first time, unless in between a modality was masked, a baseline ended or
    self-reports updated the model (which stay in force). Its ``warm_up`` differs if a stream has a gap 20 to
    30 s before, since nothing older was read. Files get each prediction once, in order of time. Raises
    `InputError` if the file, a stream in it, the model or an output file cannot be used.
    """
    with contextlib.suppress(Stopped):
        link.tell_stage(messages.Phase("loading", "loading the model", request.speed))
        player = _opened(ReplayFile(request), request.speed, link)
        remedy = "check that its disk is connected, and open it again"
        try:
            with (
                file_errors("cannot be read", request.path, remedy, ErrorCode.RECORDING),
                contextlib.closing(player.sink),
            ):
                player.run()
        finally:
            player.close()


def _opened(file: ReplayFile, speed: float, link: WindowLink) -> Player:
    model = model_info(file.checkpoint, file.options)
    said = -1

    def say_share(share: float) -> None:
        nonlocal said
        if int(share * 10) > said or link.commands.must_stop:
            said = int(share * 10)
            link.tell_stage(
                messages.Phase("loading", f"looking through {file.path.name}: {share:.0%}", speed)
            )

    outline = file.look_through(say_share)
    player = Player(file, speed, link.commands, link.tap, model.device)
    timeline = timeline_of(outline, file, player.first, player.last)
    streams = SimulatedStreams(file.headers)
    link.tell(messages.Opened("replay", model, timeline, bool(streams.simulated), streams.real))
    if file.notice:
        player.say(file.notice)
    for event in damage_events(outline, player.first):
        player.telemetry.on_event(event)
    return player


_N_MOST_DAMAGE = 20
_COPY = "affectscope replay FILE --record COPY writes a copy with the predictions in it"


def timeline_of(outline: Outline, file: ReplayFile, first: float, last: float) -> messages.Timeline:
    """Return the part of a recording from ``first`` to ``last`` (LSL seconds) with its marks and gaps."""
    marks = tuple(
        messages.Mark(marker.time, marker.text, marker.stream)
        for marker in outline.markers
        if first <= marker.time <= last
    )
    nothing = "{0.stream}: nothing for {0.duration_s:.1f} s"
    gaps = tuple(
        messages.Mark(gap.time, nothing.format(gap), gap.stream, gap.duration_s)
        for gap in outline.gaps
        if gap.time + gap.duration_s >= first and gap.time <= last
    )
    return messages.Timeline(file.path, first, last, marks, gaps, outline.damage, file.xdf)


def damage_events(outline: Outline, time: float) -> Iterator[StreamEvent]:
    """Yield the damage of a file in words, and what its timeline does not show."""
    damage = outline.damage
    for entry in damage[:_N_MOST_DAMAGE]:
        yield StreamEvent("", Change.WARNING, time, f"the recording is damaged: {entry}")
    if len(damage) > _N_MOST_DAMAGE:
        text = f"the recording is damaged in {len(damage) - _N_MOST_DAMAGE} more places"
        yield StreamEvent("", Change.WARNING, time, f"{text}; see: affectscope inspect FILE")
    for what, n_shown, n_all in (
        ("markers", len(outline.markers), outline.n_markers),
        ("gaps", len(outline.gaps), outline.n_gaps),
    ):
        if n_shown < n_all:
            message = f"the timeline shows {n_shown} of {n_all} {what}"
            yield StreamEvent("", Change.NOTICE, time, message)


class SaidOnce:
    """Passes events on, each message once, although every seek opens all streams of the file again.

    The message of a stream that ends says that the part replayed has no data of it. After a seek, that part
    begins half a minute before the moment sought, and the message would be wrong.
    """

    def __init__(self, on_event: Callable[[StreamEvent], None]) -> None:
        self._on_event = on_event
        self._said: set[tuple[str, str, float]] = set()
        self.is_again = False  # events may have come before

    def __call__(self, event: StreamEvent) -> None:
        """Pass an event on, without a message that was passed on before."""
        if self.is_again and event.change is Change.ENDED:
            event = replace(event, message="")
        # Only notices at a moment of the file, such as of a masked modality, may repeat.
        is_of_moment = event.change is Change.NOTICE and math.isfinite(event.time)
        sentence = (event.stream, event.message, event.time if is_of_moment else 0.0)
        if self.is_again and sentence in self._said:
            if event.change in (Change.NOTICE, Change.WARNING):
                return
            event = replace(event, message="")
        self._said.add(sentence)
        self._on_event(event)


class OnceInOrder:
    """Writes each prediction once and in order of time, however often a replay seeks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self.n_written = 0  # predictions written so far
        self._newest = -math.inf

    def write(self, prediction: Prediction) -> None:
        if prediction.t_end > self._newest:
            self._newest = prediction.t_end
            self.n_written += 1
            for sink in self._sinks:
                sink.write(prediction)

    def close(self) -> None:
        with closing(self._sinks):
            pass


#: Read before a window's own context: 10 s to measure a stream's rate, and a margin for late samples.
_LEFT_CONTEXT_S = 12.0
#: Between hops the screen gets samples this often, in real seconds.
_TICK_S = 1 / 30
#: A replay that lags this many real seconds behind does not try to catch up.
_MOST_LAG_S = 0.5
#: A paused view gets samples a little beyond the window's end, which lies between two of them: an earlier
#: time would be shown without its prediction.
_BEYOND_S = 0.1


class Player:
    """Plays the file in a loop; a ``speed`` of infinity runs as fast as possible."""

    def __init__(self, file: ReplayFile, speed: float, commands: CommandQueue, tap: Tap, device: str) -> None:
        self.telemetry = Telemetry([tap])
        self.sink = OnceInOrder(file.sinks(lambda: self._steps.pipeline.ledgers().values()))
        self._file, self._commands, self._tap = file, commands, tap
        self._speed, self._phase = speed, "running"
        self._hop_s = file.checkpoint.config.windows.hop_s
        self._source = file.open()
        self.first, self.last = file.span(self._source)
        self._start_s = file.start_s or 0.0  # of `first`, seconds from the recording's first sample
        self._decoder = file.make_decoder(self._on_failure)
        self._decoder.warm_up()  # a moment sought is decoded from all of its steps at once
        self._modality_mask = ModalityMask(file.recorded_changes)
        self._check: SelfCheck | None = None  # the first pipeline's, for all of them
        self._occlusion = OcclusionCheck(self._decoder, tap.put)
        self._meter = HealthMeter(self.telemetry, device)
        self._next_health = -math.inf  # on the stopwatch
        self._events = SaidOnce(self.telemetry.on_event)
        self._now = self.first  # LSL seconds up to which the file has been read
        self._clock = ReplayClock(self.first, speed)
        self._is_stopped = False
        self._begin(int(self.first // self._hop_s) + 1)

    def close(self) -> None:
        self._source.close()
        self._file.close()

    def say(self, message: str, change: Change = Change.NOTICE) -> None:
        self.telemetry.say(message, self._now, change)

    def run(self) -> None:
        self._enter("running")
        while not self._is_stopped:
            self._handle(self._commands.take())
            self._tell_health()
            self._occlusion.work()
            if self._phase == "running":
                self._advance()
            elif not self._occlusion.has_work:
                self._commands.wait(PERIOD_S)

    def _advance(self) -> None:
        """Do the next hop if it is due; else read a little for the display, and wait."""
        if self._steps.is_over:
            self._end()
            return
        next_time = self._steps.next_time
        remaining_s = self._clock.real_s_until(next_time)
        if remaining_s <= 0:
            self._step()
            return
        self._now = max(self._now, min(self._clock.now(), next_time))
        self._steps.pipeline.acquire(self._now)
        self._commands.wait(min(remaining_s, _TICK_S))

    def _step(self) -> None:
        self._now = self._steps.next_time
        for prediction in self._steps.step():
            self._hand_on(prediction)
        lag_s = (self._clock.now() - self._now) / self._speed if math.isfinite(self._speed) else 0.0
        if lag_s > _MOST_LAG_S:
            self._clock.restart(self._now)
        if self._steps.next_time > self._now + 1.5 * self._hop_s:
            self._clock.restart(self._steps.next_time)  # skip the gap

    def _hand_on(self, prediction: Prediction) -> None:
        self.telemetry.on_prediction(prediction)
        self.sink.write(prediction)

    def _end(self) -> None:
        if self._decoder.is_in_baseline:
            self.say(INCOMPLETE_REST, Change.WARNING)
        self._enter("ended")

    def _enter(self, phase: messages.PhaseName) -> None:
        self._phase = phase
        if phase != "running":
            reached = self.last if phase == "ended" else self._now
            self._steps.pipeline.acquire(reached + _BEYOND_S)
        self._tap.put(messages.Phase(phase, speed=self._speed))

    def _handle(self, commands: list[object]) -> None:
        """Carry out commands; of several moments sought, as when a slider is drawn, the last one counts.

        A command to stop comes before all others, which may take seconds.
        """
        seeks = [at for at, command in enumerate(commands) if isinstance(command, messages.Seek)]
        for at, command in enumerate(commands):
            if self._commands.must_stop or any(other is messages.SessionCommand.STOP for other in commands):
                self._is_stopped = True
                return
            if isinstance(command, messages.Seek) and at != seeks[-1]:
                continue
            try:
                self._carry_out(command)
            except InputError as error:
                self.telemetry.on_failure(Failure(stage_of(command), str(error), self._now))

    def _carry_out(self, command: object) -> None:
        match command:
            case messages.SessionCommand.STOP:
                self._is_stopped = True
            case messages.SessionCommand.PAUSE:
                if self._phase == "running":
                    self._enter("paused")
            case messages.Play(speed):
                self._play(speed)
            case messages.Seek(time):
                self._seek(time)
            case messages.Mask(modality, masked, ch_name):
                self._mask(modality, masked, ch_name)
            case messages.SessionCommand.ASK_OCCLUSION:
                if self._decoder.newest is None:
                    raise InputError("there is no prediction to check yet", where="occlusion")
                self._occlusion.ask()
            case messages.ChooseSpectrogram(ch_name):
                self._tap.choose_spectrogram(ch_name)
            case messages.EegLook():
                self._tap.show_eeg_as(command)
            case messages.Note() | messages.SelfCheckMark():
                raise InputError("a replay cannot add notes or record", where="note", remedy=_COPY)
            case messages.StartRecording() | messages.SessionCommand.STOP_RECORDING:
                raise InputError("a replay cannot add notes or record", where="recording", remedy=_COPY)

    def _play(self, speed: float) -> None:
        if not speed > 0:  # NaN is refused too
            raise InputError(f"expected a speed above 0, got {speed:g}", where="play")
        self._speed = speed
        if self._phase == "ended" and self._steps.is_over:
            self._go_to(self.first)  # once more from the start
        self._clock.restart(self._now, speed)
        self._enter("running")

    def _seek(self, time: float) -> None:
        if not math.isfinite(time):
            raise InputError(f"expected a time within the recording, got {time}", where="seek")
        self._go_to(min(max(time, self.first), self.last))
        if self._phase == "running":
            return
        if not self._steps.is_over:
            self._step()  # the window at that moment, to be looked at
        self._enter("paused")

    def _go_to(self, time: float) -> None:
        """Open the file so that the next window is the one at ``time``, whole."""
        config = self._file.checkpoint.config.windows
        left_s = config.context_s + _LEFT_CONTEXT_S
        start_s = self._start_s + time - self.first - left_s
        source = self._file.open(start_s if start_s > self._start_s else None)
        self._source.close()
        self._source = source
        self._decoder.restart()
        self._occlusion.forget()
        self._events.is_again = True
        index = min(math.ceil(time / self._hop_s - 1e-9), math.floor(self.last / self._hop_s))
        self._begin(max(index, int(self.first // self._hop_s) + 1))
        if self._decoder.is_in_baseline:
            self.say("the baseline starts again here")

    def _begin(self, index: int) -> None:
        pipeline = Pipeline(
            self._source,
            self._decoder,
            live=False,
            on_event=self._events,
            on_chunk=self._tap.on_chunk,
            mask=self._modality_mask,
            check=self._check,
        )
        self._check = pipeline.check
        self._file.let_follow(pipeline, self._source)
        pipeline.aligner.start_at(index * self._hop_s)
        self._steps = ReplaySteps(pipeline, index, self.last)
        self._now = index * self._hop_s
        self._clock.restart(self._now)

    def _mask(self, modality: str, masked: bool, ch_name: str) -> None:
        self._modality_mask.settle(modality, masked, ch_name)
        self._next_health = -math.inf
        # A paused window shows the effect at once; a baseline would count its steps twice.
        if self._phase != "running" and not self._decoder.is_in_baseline:
            prediction = self._steps.pipeline.decode_again()
            if prediction is not None:
                self._hand_on(prediction)

    def _tell_health(self) -> None:
        if stopwatch() < self._next_health:
            return
        self._next_health = stopwatch() + PERIOD_S
        masked = self._modality_mask.masked_at(self._now)
        self._tap.put(
            self._meter.part(
                self._now,
                masked=masked,
                marked_bad=self._modality_mask.marked_bad_at(self._now),
                rest=self._modality_mask.rest_at(self._now),
                n_view_dropped=self._tap.n_dropped,
                n_predictions=self.sink.n_written,
                ledgers=self._steps.pipeline.ledgers(),
            )
        )

    def _on_failure(self, message: str) -> None:
        self.telemetry.on_failure(Failure("device", message, self._now))
