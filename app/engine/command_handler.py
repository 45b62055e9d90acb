"""Carries out a window's commands to a running session, and reports the session's figures."""

import math

from acquisition.errors import InputError
from app.engine import messages
from app.engine.health import PERIOD_S, HealthMeter, OcclusionCheck
from app.engine.pipe import stage_of
from app.engine.tap import Tap
from app.live import LiveSession, OpenSession
from app.modality_mask import MaskChange, Rest, read_change
from app.outlets import NoteOutlet
from app.self_check import Questions
from app.telemetry import Failure, Telemetry


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
