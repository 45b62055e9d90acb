"""A live session with a window, which watches it and sends it commands."""

import contextlib
import math
import threading
from collections.abc import Collection

from acquisition.errors import InputError
from acquisition.types import Chunk, StreamHeader
from app.engine import messages
from app.engine.health import PERIOD_S, HealthMeter, OcclusionCheck, model_info
from app.engine.messages import ModelInfo, Opened, Phase, PhaseName, SessionCommand
from app.engine.pipe import Stopped, WindowLink, stage_of
from app.engine.tap import Tap
from app.live import LiveSession, NotingObserver, OpenSession
from app.modality_mask import MaskChange, Rest, read_change
from app.outlets import NoteOutlet
from app.request import LiveRequest, SessionOptions
from app.self_check import Questions
from app.telemetry import Failure, Telemetry, simulated_streams


class CommandHandler:
    """Carries out the commands to a running session on ``device`` and collects its figures."""

    def __init__(
        self,
        opened: OpenSession,
        notes: NoteOutlet,
        telemetry: Telemetry,
        tap: Tap,
        device: str,
        check_every_s: float | None = None,
    ) -> None:
        self._opened, self._notes, self._telemetry, self._tap = opened, notes, telemetry, tap
        self._hop_s = opened.checkpoint.config.windows.hop_s
        self._meter = HealthMeter(telemetry, device)
        self._next_health = float("-inf")
        self._recording_state = ""
        self.occlusion = OcclusionCheck(opened.decoder, tap.put)
        self._questions = Questions(opened, self._push, check_every_s)

    def handle(self, command: object) -> None:
        """Carry out a command; if that fails, report a failure and continue."""
        try:
            self._handle(command)
        except InputError as error:
            self._telemetry.on_failure(Failure(stage_of(command), str(error), self._now()))

    def tell_due(self, session: LiveSession) -> None:
        """Tell the figures twice a second, and at once when a recording changes its state."""
        if self._now() >= self._next_health or self._opened.recording.state != self._recording_state:
            self.tell_health(session)

    def tell_health(self, session: LiveSession) -> None:
        now = self._now()
        self._next_health = now + PERIOD_S
        recording = self._opened.recording
        self._recording_state = recording.state
        self._tap.put(
            self._meter.part(
                now,
                streams=session.stream_health,
                recording=recording.info(now),
                masked=self._opened.mask.masked_at(math.inf),
                marked_bad=self._opened.mask.marked_bad_at(math.inf),
                rest=self._opened.mask.rest_at(now + self._hop_s),
                n_view_dropped=self._tap.n_dropped,
                check_due=self._questions.is_due,
                offers=session.offers,
                ledgers=session.ledgers,
            )
        )

    def _handle(self, command: object) -> None:
        match command:
            case messages.Mask(modality, masked, ch_name):
                mask, now = self._opened.mask, self._now()
                self._note(mask.change(modality, masked, now, self._hop_s, ch_name))
            case messages.SetRest(duration_s):
                self._rest(duration_s)
            case messages.SelfCheckMark(what):
                self._questions.note(what)
                self._next_health = float("-inf")
            case messages.Note(text, time):
                said = text if read_change(text.strip(), 0.0) is None else f"typed: {text}"
                self._push(said, self._now() if math.isnan(time) else time)
            case messages.AddStream(uid):
                self._opened.source.join(uid)
            case messages.StartRecording(path):
                self._opened.recording.start(path, self._now())
            case messages.SessionCommand.STOP_RECORDING:
                self._opened.recording.stop(self._now())
            case messages.ChooseSpectrogram(ch_name):
                self._tap.choose_spectrogram(ch_name)
            case messages.EegLook():
                self._tap.show_eeg_as(command)
            case messages.SessionCommand.ASK_OCCLUSION:
                self.occlusion.ask()

    def _note(self, change: MaskChange | Rest) -> None:
        self._push(change.marker, change.time)
        self._next_health = float("-inf")

    def _rest(self, duration_s: float) -> None:
        if self._opened.checkpoint.profile_sha256:
            raise InputError("the profile in use has the participant's level already", where="rest")
        self._note(self._opened.mask.rest(duration_s, self._now(), self._hop_s))

    def restate(self) -> None:
        """Send the mask's state into a recording that starts; a rest under way begins anew, to lie in it."""
        rest = self._opened.mask.rest_at(self._now())
        if rest is not None and rest.duration_s:
            self._rest(rest.duration_s)
        for change in self._opened.mask.restated(self._now(), self._hop_s):
            self._notes.push(change.marker, change.time)

    def _push(self, text: str, time: float) -> None:
        if line := self._notes.push(text, time):
            self._tap.put(messages.Mark(time, line, self._notes.header.name))

    def _now(self) -> float:
        return self._opened.clock.now()


class WatchedSession(NotingObserver):
    """Connects a live session to a window: shows it, handles commands, and sends notes as a stream."""

    _telemetry: Telemetry  # of the session, before its streams are opened
    _model: ModelInfo  # once the session is open
    _check_every_s: float | None = None  # of a self-check

    def __init__(self, options: SessionOptions, link: WindowLink) -> None:
        self._options, self._link = options, link
        self._handler: CommandHandler | None = None

    def on_stage(self, stage: PhaseName, message: str = "") -> None:
        """Tell the window; raises `Stopped` if it has stopped the session."""
        self._link.tell_stage(Phase(stage, message))

    def on_open(self, opened: OpenSession) -> None:
        assert self._notes is not None
        self._model = model = model_info(opened.checkpoint, self._options)
        self._link.tell_stage(self._opening(opened.source.headers.values()))
        self._link.tell(Phase("running"))
        given = opened, self._notes, self._telemetry, self._link.tap, model.device, self._check_every_s
        self._handler = CommandHandler(*given)

    def on_streams(self, headers: Collection[StreamHeader]) -> None:
        self._link.tell(self._opening(headers))

    def _opening(self, headers: Collection[StreamHeader]) -> Opened:
        streams = simulated_streams(headers)
        return Opened("live", self._model, None, bool(streams.simulated), streams.real, tuple(headers))

    def on_recording(self) -> None:
        """Note in the recording what is masked, and whether the participant rests, at its start."""
        if self._handler is not None:
            self._handler.restate()

    def on_chunk(self, chunk: Chunk) -> None:
        self._link.tap.on_chunk(chunk)

    def after_decode(self) -> None:
        if self._handler is not None:
            self._handler.occlusion.work()

    def _close(self, session: LiveSession | None) -> None:
        if self._handler is not None and session is not None:
            self._handler.tell_health(session)
        self.close()


#: Seconds to wait at the end for the recorded file. LabRecorder needs about 4 s to close one, longer than a
#: window may take to close; its supervisor waits instead.
_CLOSE_RECORDING_S = 0.0


class LiveEngine(WatchedSession):
    def __init__(self, request: LiveRequest, link: WindowLink) -> None:
        super().__init__(request.options, link)
        self._request, self._check_every_s = request, request.check_every_s
        self._telemetry = Telemetry(listener=link.tap)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until told to stop, the time is over, or a thread fails.

        Raises `InputError` if model, streams or files cannot be used.
        """
        with contextlib.suppress(Stopped):
            session = LiveSession(
                self._request,
                telemetry=self._telemetry,
                observer=self,
                interrupted=self._stopping,
                close_recording_s=_CLOSE_RECORDING_S,
            )
            try:
                session.run(lambda: self._attend(session))
            finally:
                self._close(session)

    def _attend(self, session: LiveSession) -> None:
        handler = self._handler
        assert handler is not None
        for command in self._link.commands.take():
            if command is SessionCommand.STOP:
                self._stopping.set()
            else:
                handler.handle(command)
        handler.tell_due(session)
