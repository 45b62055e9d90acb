"""A session in a terminal: its model, then predictions, messages and failures as lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.text import Text

from acquisition.errors import InputError, printable
from acquisition.stream_words import ledger_line, why_nothing
from acquisition.text import either
from acquisition.types import MODALITIES
from app.engine.messages import Opened, PhaseName, Timeline
from app.environment import ExitCode
from app.live import LiveSession
from app.replay import ReplaySession
from app.summary import SessionLog, introduction
from app.tables import make_console, progress_bar, say_on
from app.telemetry import N_LATENCIES, SimulatedStreams
from models.prediction import Prediction
from models.trust import ABSTENTIONS, Code, State, Verdict

_LINE_EVERY = 4  # predictions a printed line
_WAITING_EVERY_S = 15.0

Session = LiveSession | ReplaySession


def plain_line(prediction: Prediction) -> str:
    """Return a prediction as one line, for output that is no terminal."""
    probs = "  ".join(f"{label} {p:.2f}" for label, p in prediction.probs.items())
    attention = " ".join(f"{m} {prediction.modality_attention[m]:.2f}" for m in MODALITIES)
    absent = [m for m in MODALITIES if not prediction.present[m]]
    absent = [f"{m} (nobody speaks)" if m == "voice" and prediction.is_quiet else m for m in absent]
    notes = f"  missing: {', '.join(absent)}" if absent else ""
    low = next((reason.facts for reason in prediction.verdict.reasons if reason.code is Code.RELIABILITY), ())
    notes += f"  unreliable: {', '.join(low)}" if low else ""
    answer = f"{said(prediction.verdict)}{because(prediction.verdict)}"
    return f"t={prediction.t_end:.2f}s  {answer:<10}  {probs}  | attention {attention}{notes}"


def said(verdict: Verdict) -> str:
    """Return the answer; without one the state, with the 90 % set where it excludes anything."""
    if verdict.answer is not None:
        return verdict.answer
    if verdict.state is State.UNCERTAIN and 0 < len(verdict.set_90) < verdict.n_labels:
        return f"{verdict.state}, 90 % set: {either(verdict.set_90)}"
    return verdict.state


def because(verdict: Verdict) -> str:
    """Return the first reason why there is no answer; "" where there is one."""
    if verdict.answer is not None or not verdict.reasons or verdict.state is not State.UNCERTAIN:
        return ""
    first = next((reason for reason in verdict.reasons if reason.code in ABSTENTIONS), verdict.reasons[0])
    if first.code is Code.PROBABILITY:
        return f" ({first.facts['probability']:.2f}, {first.facts['needed']:.2f} needed)"
    return f" ({first.code})"


def show_live(session: LiveSession, *, quiet: bool = False) -> int:
    """Run a live session to its end and return the exit code: 3 without a prediction, or with a gap.

    ``quiet`` leaves stdout to others.
    """
    console = make_console(stderr=quiet)
    lines = _Lines(console, session)
    session.on_stage = _Waiting(console)
    with _summarised(session, lines):
        session.run(lines)
    has_predicted = lines.finish()
    return ExitCode.after(session.problems) if has_predicted else ExitCode.DAMAGED_INPUT


def show_replay(session: ReplaySession, *, quiet: bool = False) -> int:
    """Run a replay to its end and return the exit code: 3 if it was damaged or gave no prediction."""
    console = make_console(stderr=quiet)
    lines = _Lines(console, session, quiet=quiet)
    with _summarised(session, lines) as look, progress_bar("replaying", console) as show:

        def progress(share: float) -> None:
            show(share)
            look()
            lines()

        session.run(progress)
    has_predicted = lines.finish()
    for entry in session.damage:
        lines.say(f"damaged: {printable(entry)}")
    return ExitCode.after(session.damage) if has_predicted else ExitCode.DAMAGED_INPUT


@contextmanager
def _summarised(session: Session, lines: _Lines) -> Iterator[Callable[[], None]]:
    """Keep what the session's summary needs, where it is asked for, and write it at the end.

    What a window would be sent is looked at here: as it comes in a live session, in a replay by the function
    that this gives.
    """
    path, options = session.options.summary, session.options
    if path is None:
        yield lambda: None
        return
    from app.engine.health import model_info
    from app.engine.tap import Tap
    from app.summary_page import write_summary

    log = SessionLog()
    tap = Tap(log.take, session.checkpoint.config)
    session.telemetry.listeners.append(tap)
    session.on_chunk = tap.on_chunk
    if isinstance(session, LiveSession):
        tap.start()
    yield tap.step
    tap.stop()
    tap.step()
    timeline, last = None, session.first + session.duration_s
    if isinstance(session, ReplaySession):
        timeline = Timeline(session.request.path, session.first, last, (), ())
    for time in (session.first, last):
        log.see(time)
    streams, model = SimulatedStreams(session.headers), model_info(session.checkpoint, options)
    mode = "live" if timeline is None else "replay"
    log.take(Opened(mode, model, timeline, bool(streams.simulated), streams.real))
    log.ledgers, log.n_skipped = tuple(session.ledgers.values()), session.telemetry.n_skipped
    if (summary := log.summary()) is not None:
        try:
            for written in write_summary(summary, path):
                lines.say(f"summary: {written}")
        except InputError as error:
            if not isinstance(session, LiveSession):
                raise
            session.problems.append(str(error))


class _Waiting:
    """Says for what a session waits: in a terminal one line that changes, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console, self._status = console, console.status("")
        self._said, self._next = "", -math.inf

    def __call__(self, stage: PhaseName, message: str) -> None:
        if stage != "waiting":
            self._status.stop()
        elif self._console.is_terminal:
            self._status.update(
                Text(f"{printable(message)}   Ctrl-C ends it", no_wrap=True, overflow="ellipsis")
            )
            self._status.start()
        elif message != self._said or monotonic() > self._next:
            self._said, self._next = message, monotonic() + _WAITING_EVERY_S
            say_on(self._console, message)


class _Lines:
    """Prints messages, failures and every fourth prediction as they arrive; no prediction if ``quiet``."""

    def __init__(self, console: Console, session: Session, *, quiet: bool = False) -> None:
        self._console, self._session, self._quiet = console, session, quiet
        self._telemetry, self._n_printed = session.telemetry, -_LINE_EVERY
        profile = session.options.profile_summary()
        self._warning = "" if profile is None else profile.warning
        for line in introduction(session.checkpoint.config, session.options.model.name, self._warning):
            self.say(line)

    def __call__(self) -> None:
        telemetry = self._telemetry
        while telemetry.messages:
            self.say(f"- {printable(telemetry.messages.popleft())}")
        while telemetry.failures:
            failure = telemetry.failures.popleft()
            self.say(f"failure in {failure.stage}: {failure.error}")
        is_due = telemetry.n_predictions >= self._n_printed + _LINE_EVERY
        if telemetry.prediction is not None and is_due and not self._quiet:
            self._n_printed = telemetry.n_predictions
            self.say(plain_line(telemetry.prediction))

    def finish(self) -> bool:
        """Print what became of the samples, and the totals; return whether there was a prediction."""
        self()
        for ledger in self._session.ledgers.values():
            self.say(printable(ledger_line(ledger)))
        n_predictions = self._telemetry.n_predictions
        self.say(f"predictions: {n_predictions}, windows skipped: {self._telemetry.n_skipped}")
        if not n_predictions:
            modalities = self._session.checkpoint.config.modalities
            for reason in why_nothing(self._session.ledgers.values(), modalities):
                self.say(f"no prediction: {printable(reason)}")
        else:
            p50, p99 = (of["total"] for of in self._telemetry.latency_ms(50, 99))
            figures = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            self.say(f"total latency {figures}, of the last {min(n_predictions, N_LATENCIES)} predictions")
        if self._warning:
            self.say(f"WARNING: {self._warning}.")
        for problem in getattr(self._session, "problems", ()):
            self.say(f"incomplete: {printable(problem)}")
        return n_predictions > 0

    def say(self, text: str) -> None:
        say_on(self._console, text)
