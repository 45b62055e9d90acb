"""A live session with a window, which watches it and sends it commands."""

import contextlib
import math
import threading
from collections.abc import Collection

from acquisition.errors import InputError
from acquisition.types import Chunk, StreamHeader
from app.engine import messages
from app.engine.health import PERIOD_S, HealthMeter, OcclusionCheck, model_info
from app.engine.messages import Opened, Phase, PhaseName, SessionCommand
from app.engine.pipe import Stopped, WindowLink, stage_of
from app.live import LiveSession, NotingObserver
from app.modality_mask import MaskChange, Rest, read_change
from app.request import LiveRequest, SessionOptions
from app.self_check import Questions
from app.telemetry import Failure, SimulatedStreams, Telemetry


class WatchedSession(NotingObserver):
    """Connects a live session to a window: shows it, carries out commands, tells figures and sends notes."""

    _check_every_s: float | None = None  # of a self-check
    _session: LiveSession
    _is_open = False

    def __init__(self, options: SessionOptions, link: WindowLink) -> None:
        self._options, self._link, self._tap = options, link, link.tap

    def on_stage(self, stage: PhaseName, message: str = "") -> None:
        """Tell the window; raises `Stopped` if it has stopped the session."""
        self._link.tell_stage(Phase(stage, message))

    def on_open(self, session: LiveSession) -> None:
        self._session, self._model = session, model_info(session.checkpoint, self._options)
        self._link.tell_stage(self._opening(session.source.headers.values()))
        self._link.tell(Phase("running"))
        self._hop_s = session.checkpoint.config.windows.hop_s
        self._meter = HealthMeter(session.telemetry, self._model.device)
        self._next_health, self._recording_state = -math.inf, ""
        self._occlusion = OcclusionCheck(session.decoder, self._tap.put)
        self._questions = Questions(session, self._push, self._check_every_s)
        self._is_open = True

    def on_streams(self, headers: Collection[StreamHeader]) -> None:
        self._link.tell(self._opening(headers))

    def _opening(self, headers: Collection[StreamHeader]) -> Opened:
        streams = SimulatedStreams(headers)
        return Opened("live", self._model, None, bool(streams.simulated), streams.real, tuple(headers))

    def on_chunk(self, chunk: Chunk) -> None:
        self._tap.on_chunk(chunk)

    def after_decode(self) -> None:
        if self._is_open:
            self._occlusion.work()

    def on_recording(self) -> None:
        """Note in the recording what is masked at its start; a rest under way begins anew, to lie in it."""
        if not self._is_open:
            return
        rest = self._session.mask.rest_at(self._now())
        if rest is not None and rest.duration_s:
            self._rest(rest.duration_s)
        for change in self._session.mask.restated(self._now(), self._hop_s):
            self._notes.push(change.marker, change.time)

    def _tell_due(self) -> None:
        """Tell the figures twice a second, and at once when a recording changes its state."""
        if self._now() >= self._next_health or self._session.recording.state != self._recording_state:
            self._tell_health()

    def _tell_health(self) -> None:
        now, session = self._now(), self._session
        self._next_health = now + PERIOD_S
        recording, mask = session.recording, session.mask
        self._recording_state = recording.state
        self._tap.put(
            self._meter.part(
                now,
                streams=session.stream_health,
                recording=recording.info(now),
                masked=mask.masked_at(math.inf),
                marked_bad=mask.marked_bad_at(math.inf),
                rest=mask.rest_at(now + self._hop_s),
                n_view_dropped=self._tap.n_dropped,
                check_due=self._questions.is_due,
                offers=session.offers,
                ledgers=session.ledgers,
            )
        )

    def _try(self, command: object) -> None:
        """Carry out a command; if that fails, report a failure and continue."""
        try:
            self._carry_out(command)
        except InputError as error:
            self._session.telemetry.on_failure(Failure(stage_of(command), str(error), self._now()))

    def _carry_out(self, command: object) -> None:
        match command:
            case messages.Mask(modality, masked, ch_name):
                self._note(MaskChange(self._now(), modality, masked, ch_name))
            case messages.SetRest(duration_s):
                self._rest(duration_s)
            case messages.SelfCheckMark(what):
                self._questions.note(what)
                self._next_health = -math.inf
            case messages.Note(text, time):
                said = text if read_change(text.strip(), 0.0) is None else f"typed: {text}"
                self._push(said, self._now() if math.isnan(time) else time)
            case messages.AddStream(uid):
                self._session.source.join(uid)
            case messages.StartRecording(path):
                self._session.recording.start(path, self._now())
            case messages.SessionCommand.STOP_RECORDING:
                self._session.recording.stop(self._now())
            case messages.ChooseSpectrogram(ch_name):
                self._tap.choose_spectrogram(ch_name)
            case messages.EegLook():
                self._tap.show_eeg_as(command)
            case messages.SessionCommand.ASK_OCCLUSION:
                self._occlusion.ask()

    def _note(self, change: MaskChange | Rest) -> None:
        change = self._session.mask.add(change, self._hop_s)
        self._push(change.marker, change.time)
        self._next_health = -math.inf

    def _rest(self, duration_s: float) -> None:
        if self._session.checkpoint.profile_sha256:
            raise InputError("the profile in use has the participant's level already", where="rest")
        self._note(Rest(self._now(), duration_s))

    def _push(self, text: str, time: float) -> None:
        if line := self._notes.push(text, time):
            self._tap.put(messages.Mark(time, line, self._notes.header.name))

    def _now(self) -> float:
        return self._session.clock.now()

    def close(self) -> None:
        if self._is_open:
            self._tell_health()
        super().close()


#: Seconds to wait at the end for the recorded file. LabRecorder needs about 4 s to close one, longer than a
#: window may take to close; its supervisor waits instead.
_CLOSE_RECORDING_S = 0.0


class LiveEngine(WatchedSession):
    def __init__(self, request: LiveRequest, link: WindowLink) -> None:
        super().__init__(request.options, link)
        self._request, self._check_every_s = request, request.check_every_s
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until told to stop, the time is over, or a thread fails.

        Raises `InputError` if model, streams or files cannot be used.
        """
        with contextlib.suppress(Stopped):
            session = LiveSession(
                self._request,
                telemetry=Telemetry([self._tap]),
                observer=self,
                interrupted=self._stopping,
                close_recording_s=_CLOSE_RECORDING_S,
            )
            try:
                session.run(self._show)
            finally:
                self.close()

    def _show(self) -> None:
        for command in self._link.commands.take():
            if command is SessionCommand.STOP:
                self._stopping.set()
            else:
                self._try(command)
        self._tell_due()
