"""A guided session on live streams: the session, its markers, its recording and its rows, side by side.

Everything here happens in the session's own thread, ten times a second; what a participant does or is shown
is the business of its ``act``: a window's commands, or a headless run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import CALIBRATION_ID
from acquisition.record.recorder import MIN_ROOM_S, is_running, stop_recording
from acquisition.select import kind_of, without
from acquisition.types import MODALITIES, MODALITY_OF_KIND, Chunk, StreamHeader
from app.calibrate.fitting import FinalFit, Learning
from app.calibrate.prepare import Prepared, plan_seconds
from app.calibrate.signals import SignalChecks, SignalListener
from app.live import LiveSession, Observer
from app.model_loading import load_model
from app.outlets import Outlet, new_id
from app.request import LiveRequest
from app.telemetry import Listener, SimulatedStreams, Telemetry
from calibration.consent import consent_record, notice, recorded_kinds
from calibration.quality import QualityLog
from calibration.rows import RowCollector
from calibration.session import Session
from calibration.storage import SessionLock, load_record, make_session, remove_unused, save_record
from calibration.types import Consent, SessionRecord

_LOOK_S = 0.5  # between two looks at the streams
#: From the last marker to the end of the recording: LabRecorder fetches what came twice a second.
_LINGER_S = 1.5


class CalibrationRun(Observer):
    """One run of a session, from the streams to the closed recording.

    ``act`` shows the steps and passes the participant's answers on, ten times a second, in the session's
    thread. ``watcher`` sees what a live session's observer sees; ``listeners`` hear of events and failures.
    ``interrupted`` ends the session when set, with everything recorded kept.
    """

    session: Session  # once the streams are open
    live: LiveSession  # once `run` was called

    def __init__(
        self,
        prepared: Prepared,
        consent: Consent,
        act: Callable[[CalibrationRun, float], None],
        *,
        watcher: Observer | None = None,
        listeners: Sequence[Listener] = (),
        interrupted: threading.Event,
    ) -> None:
        self.prepared, self.consent = prepared, consent
        self.silent: frozenset[str] = frozenset()  # names of the streams that have fallen silent
        self.place = prepared.place or make_session(prepared.data, prepared.request.subject)
        self.run_number = prepared.run
        self._act, self._watcher = act, watcher or Observer()
        self._interrupted, self._ending = interrupted, threading.Event()
        self._quality = QualityLog(line_hz=prepared.request.options.line)
        self._signals = SignalListener(self._quality)
        self.telemetry = Telemetry([self._signals, *listeners])
        self._source_id = new_id(CALIBRATION_ID)  # of the markers; simulated devices are told it before
        self._marked_at = float("-inf")
        self._next_look = float("-inf")
        self._wanted: tuple[int, tuple[str, ...]] | None = None  # the step to leave once the file grows
        self._fault: InputError | None = None
        self.learning: Learning | None = None

    def run(self) -> SessionRecord:
        """Run until the session is over, is interrupted, or cannot continue; return its record.

        Raises InputError if model, streams or files cannot be used, or the recording fails; what was recorded
        is kept.
        """
        self._outlet = Outlet("Affectscope calibration", "Markers", self._source_id)
        try:
            with SessionLock(self.place.folder):
                if self.prepared.record is not None:
                    self._take_over(self.prepared.record)
                self._run_live()
        finally:
            self._signals.close()
            if self.learning is not None:
                self.learning.close()
            self._outlet.close()
            remove_unused(self.place.folder)
        if self._fault is not None:
            raise self._fault
        return self.session.record

    def final_fit(self) -> FinalFit:
        """Return the fit to this run, which is over, and to the ones before it."""
        assert self.learning is not None
        material = partial(self.learning.material, self.session.record)
        return FinalFit(self.prepared.request, self.place, self.session.record, material)

    def _take_over(self, record: SessionRecord) -> None:
        """End recordings that outlived a killed program; refuse a session that was resumed meanwhile."""
        if load_record(self.place.state) != record:
            what, where = "another program has resumed this session in the meantime", str(self.place.folder)
            raise InputError(what, where=where, remedy="run the same command again", code=ErrorCode.SUBJECT)
        for path in (self.place.folder / name for name in record.recordings):
            if is_running(path):
                stop_recording(path)

    def _run_live(self) -> None:
        request, agreed, simulated = self.prepared.request, self.consent.modalities, None
        if request.simulated is not None:
            specs = request.simulated.specs().values()
            wanted = tuple(spec.key for spec in specs if MODALITY_OF_KIND.get(spec.kind) in agreed)
            simulated = replace(request.simulated, streams=wanted, follow=self._source_id)
        streams = without(request.options.streams, [m for m in MODALITIES if m not in agreed])
        options = replace(request.options, streams=streams, record=None)
        live = LiveRequest(
            options,
            webcam=request.webcam if "face" in agreed else None,
            microphone=request.microphone if "voice" in agreed else None,
            discovery_s=request.discovery_s,
            simulated=simulated,
        )
        self.live = LiveSession(live, telemetry=self.telemetry, observer=self, interrupted=self._ending)
        self.live.on_stage = self._watcher.on_stage
        self.live.run(self._attend)

    def proceed(self, step_id: int, now: float, overridden: Iterable[str] = ()) -> None:
        """Leave the signal checks: start the recording, and continue once it has every stream.

        Raises InputError if the recording cannot start.
        """
        overridden = tuple(overridden)
        is_preflight = self.session.view(now).step.kind == "preflight"
        if not is_preflight or self._wanted is not None or self.session.red_checks(overridden):
            self.session.proceed(step_id, now, overridden)  # which says why not
            return
        self.live.recording.start(self.place.recording(self.run_number), now)
        self._wanted = (step_id, overridden)
        self.session.show(message="Starting the recording.")

    def give_up(self, error: InputError, now: float) -> None:
        """Break the session off; `run` raises ``error`` once the recording is closed."""
        self._fault = error
        self.session.abort(now)

    def _attend(self) -> None:
        now = self.live.clock.now()
        if self._interrupted.is_set():
            self.session.abort(now)
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._look_at_streams(now)
        self._look_at_recording(now)
        if self._signals.error is not None:
            raise self._signals.error
        self._act(self, now)
        self.session.step(now)
        self._learn(now)
        if self.session.is_over and now > self._marked_at + _LINGER_S:
            self._ending.set()

    def _look_at_streams(self, now: float) -> None:
        """Refresh the checks, or pause a session one of whose streams has fallen silent."""
        health, specs = self.live.stream_health, self.live.source.specs
        if self._signals.checks is not None:
            if self._wanted is None:  # once the participant has begun, the checks of that moment count
                self.session.show(checks=self._signals.checks.checks(health))
            return
        silent = frozenset(
            spec.name
            for key, spec in specs.items()
            if spec.kind in MODALITY_OF_KIND and key in health and health[key].is_stale
        )
        newly, self.silent = silent - self.silent, silent
        if newly and not self.session.is_over and self.session.view(now).step.kind != "finish":
            self.session.pause(now)
            names = ", ".join(sorted(newly))
            paused = "The session is paused; everything recorded so far is kept."
            self.session.show(message=f"{names}: no more samples. {paused}")

    def _look_at_recording(self, now: float) -> None:
        recording = self.live.recording
        info = recording.info(now)
        if info is None or self.session.is_over:
            return
        if self._wanted is not None and recording.state == "recording":
            (step_id, overridden), self._wanted = self._wanted, None
            self.session.add_recording(Path(info.path.name))
            self._signals.checks = None
            self.session.proceed(step_id, now, overridden)
        elif recording.state in ("failed", "stopped") or (
            recording.state == "stopping" and self._wanted is not None
        ):
            what = f"the recording ended: {info.message}"
            remedy = "fix that and run the same command again: it resumes where this stopped"
            self.give_up(InputError(what, where=str(info.path), remedy=remedy, code=ErrorCode.LOST), now)

    def _learn(self, now: float) -> None:
        assert self.learning is not None
        self.learning.look(self.session.record, now)
        if self.learning.progress is not None:
            self.session.show(progress=self.learning.progress)
        if self.learning.error is not None and not self.session.is_over:
            self.give_up(self.learning.error, now)

    def own_source_ids(self) -> list[str]:
        return [self._source_id, *self._watcher.own_source_ids()]

    def recorded(self, headers: list[StreamHeader]) -> list[StreamHeader]:
        """Exclude raw video and sound without consent to keep them."""
        kept = recorded_kinds(self.consent)
        return [h for h in headers if kind_of(h) in kept or kind_of(h) not in MODALITY_OF_KIND]

    def sidecar(self) -> Mapping[str, object]:
        record = self.session.record
        shown = notice(record.subject, self.place.folder)
        return {
            "task": "calibration",
            "subject": record.subject,
            "session": record.session,
            "run": self.run_number,
            "is_simulated": record.is_simulated,
            "consent": consent_record(self.consent, shown),
            "overridden": list(record.overridden),
            "calibration": dict(record.settings) | {"seed": record.seed, "classes": list(record.classes)},
        }

    def on_open(self, session: LiveSession) -> None:
        request = self.prepared.request
        headers = list(session.source.headers.values())
        is_simulated = bool(SimulatedStreams(headers).simulated)
        self._signals.checks = SignalChecks(
            self.consent,
            self._quality,
            headers,
            self.recorded(headers),
            self.place.folder,
            max(plan_seconds(self.prepared.plan), MIN_ROOM_S),
        )
        rows = RowCollector(session.decoder, run=self.run_number)
        self.learning = Learning(
            request,
            self.place,
            self.run_number,
            rows,
            self._quality,
            self.consent,
            load_model(request.options),  # a network serves one thread at a time
        )
        self.session = Session(
            self.prepared.plan,
            self._first_record(is_simulated),
            on_marker=self._mark,
            on_change=lambda record: save_record(record, self.place.state),
            run=self.run_number,
        )
        save_record(self.session.record, self.place.state)
        self._watcher.on_open(session)

    def _first_record(self, is_simulated: bool) -> SessionRecord:
        request, plan = self.prepared.request, self.prepared.plan
        model = {"model": request.options.model.name, "model_sha256": self.live.checkpoint.sha256}
        if (record := self.prepared.record) is not None:
            known = record.settings.get("model_sha256")
            if known not in (None, model["model_sha256"]):
                other = f"{record.settings.get('model')}, {str(known)[:12]}"
                what = f"session {record.session} was started with another model ({other})"
                remedy = "choose that model with --model, or start a new session with --new"
                where = f"session of {request.subject}"
                raise InputError(what, where=where, remedy=remedy, code=ErrorCode.SUBJECT)
            return replace(record, consent=self.consent)
        settings = {**plan.settings(), **model, "labels": request.labels, "time_scale": request.time_scale}
        return SessionRecord(
            request.subject,
            self.place.number,
            plan.classes,
            request.seed,
            self.consent,
            settings=settings,
            is_simulated=is_simulated,
        )

    def on_recording(self) -> None:
        self._watcher.on_recording()

    def on_chunk(self, chunk: Chunk) -> None:
        self._signals.on_chunk(chunk)
        self._watcher.on_chunk(chunk)

    def after_decode(self) -> None:
        self._watcher.after_decode()

    def _mark(self, text: str, time: float) -> None:
        self._outlet.push(text, time)
        self._marked_at = max(self._marked_at, time, LslClock().now())
