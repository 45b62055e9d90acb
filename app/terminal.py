"""A session in a terminal: its model, then predictions, messages and failures as lines."""

from rich.console import Console

from acquisition.errors import printable
from acquisition.stream_words import ledger_line, why_nothing
from acquisition.text import either
from acquisition.types import MODALITIES
from app.environment import ExitCode
from app.live import LiveSession
from app.replay import ReplaySession
from app.tables import progress_bar, say
from app.telemetry import N_LATENCIES
from models.config import ModelConfig
from models.prediction import SHOWN, Prediction, names_expression
from models.trust import Code, State, Verdict

#: Shown for as long as emotions are inferred.
NOTICE = "Emotion inference active"
_LINE_EVERY = 4  # predictions a printed line

Session = LiveSession | ReplaySession


def plain_line(prediction: Prediction) -> str:
    """Return a prediction as one line, for output that is no terminal."""
    probs = "  ".join(f"{label} {p:.2f}" for label, p in prediction.probs.items())
    attention = " ".join(f"{m} {prediction.modality_attention[m]:.2f}" for m in MODALITIES)
    absent = [m for m in MODALITIES if not prediction.present[m]]
    absent = [f"{m} (nobody speaks)" if m == "voice" and prediction.is_quiet else m for m in absent]
    notes = f"  missing: {', '.join(absent)}" if absent else ""
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
    first = verdict.reasons[0]
    if first.code is Code.PROBABILITY:
        return f" ({first.facts['probability']:.2f}, {first.facts['needed']:.2f} needed)"
    return f" ({first.code})"


def show_live(session: LiveSession, *, quiet: bool = False) -> int:
    """Run a live session to its end and return the exit code: 3 without a prediction.

    ``quiet`` leaves stdout to others.
    """
    lines = _Lines(Console(stderr=quiet), session)
    lines.introduce()
    session.run(lines)
    return ExitCode.GOOD if lines.finish() else ExitCode.DAMAGED_INPUT


def show_replay(session: ReplaySession, *, quiet: bool = False) -> int:
    """Run a replay to its end and return the exit code: 3 if it was damaged or gave no prediction."""
    console = Console(stderr=quiet)
    lines = _Lines(console, session, quiet=quiet)
    lines.introduce()
    with progress_bar("replaying", console) as show:

        def progress(share: float) -> None:
            show(share)
            lines()

        session.run(progress)
    has_predicted = lines.finish()
    for entry in session.damage:
        lines.say(f"damaged: {printable(entry)}")
    return ExitCode.after(session.damage) if has_predicted else ExitCode.DAMAGED_INPUT


def introduction(config: ModelConfig, title: str, warning: str = "") -> list[str]:
    """Return what is printed about the model before a run: its name, warnings and limits."""
    lines = [f"{NOTICE}. Model: {title}.", *([f"WARNING: {warning}."] if warning else [])]
    if config.is_simulated:
        lines.append("It was trained on simulated data: its output is not valid for real people.")
    if names_expression(config.modalities):
        lines.append(SHOWN)
    unused = [modality for modality in MODALITIES if modality not in config.modalities]
    if unused:
        trained, others = " and ".join(config.modalities), " and ".join(unused)
        lines.append(
            f"It was trained with {trained} only: {others} are treated as missing, even if connected."
        )
    return lines


def _warning(session: Session) -> str:
    """Return why the profile in use must not be trusted; empty if it may be."""
    summary = session.options.profile_summary()
    return "" if summary is None else summary.warning


def _model_title(session: Session) -> str:
    name, trained_on = session.options.model.name, session.checkpoint.config.trained_on
    return f"{name} ({trained_on})" if trained_on else name


class _Lines:
    """Prints messages, failures and every fourth prediction as they arrive; no prediction if ``quiet``."""

    def __init__(self, console: Console, session: Session, *, quiet: bool = False) -> None:
        self._console, self._session, self._quiet = console, session, quiet
        self._telemetry, self._warning = session.telemetry, _warning(session)
        self._n_messages = self._n_failures = 0
        self._n_printed = -_LINE_EVERY

    def introduce(self) -> None:
        for line in introduction(self._session.checkpoint.config, _model_title(self._session), self._warning):
            self.say(line)

    def __call__(self) -> None:
        """Print what is new."""
        snapshot = self._telemetry.snapshot()
        for message in snapshot.new_messages(self._n_messages):
            self.say(f"- {printable(message)}")
        self._n_messages = snapshot.n_messages
        for failure in snapshot.new_failures(self._n_failures):
            self.say(f"failure in {failure.stage}: {failure.error}")
        self._n_failures = snapshot.n_failures
        is_due = snapshot.n_predictions >= self._n_printed + _LINE_EVERY
        if snapshot.prediction is not None and is_due and not self._quiet:
            self._n_printed = snapshot.n_predictions
            self.say(plain_line(snapshot.prediction))

    def finish(self) -> bool:
        """Print what became of the samples, and the totals; return whether there was a prediction."""
        self()
        for ledger in self._session.ledgers.values():
            self.say(printable(ledger_line(ledger)))
        snapshot = self._telemetry.snapshot()
        self.say(f"predictions: {snapshot.n_predictions}, windows skipped: {snapshot.n_skipped}")
        if not snapshot.n_predictions:
            modalities = self._session.checkpoint.config.modalities
            for reason in why_nothing(self._session.ledgers.values(), modalities):
                self.say(f"no prediction: {printable(reason)}")
        else:
            n = min(snapshot.n_predictions, N_LATENCIES)
            figures = f"p50 {snapshot.total_p50_ms:.1f} ms, p99 {snapshot.total_p99_ms:.1f} ms"
            self.say(f"total latency {figures}, of the last {n} predictions")
        if self._warning:
            self.say(f"WARNING: {self._warning}.")
        return snapshot.n_predictions > 0

    def say(self, text: str) -> None:
        say(self._console, text)
