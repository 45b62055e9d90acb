"""The self-check of a live session: puts its questions, and notes the answers as LSL markers."""

import contextlib
import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from app.live import LiveSession, NotingObserver
from app.modality_mask import CheckMark
from app.request import LiveRequest
from app.telemetry import Telemetry
from app.view.text import one_line
from app.view.trust import words_of
from calibration.check import Reminder
from calibration.markers import ASKED, UNDO
from models.trust import Code, Verdict


class Questions:
    """Puts questions to whoever a session watches; ``push`` sends a marker and its time, LSL seconds."""

    def __init__(
        self, session: LiveSession, push: Callable[[str, float], object], every_s: float | None
    ) -> None:
        self._session, self._push = session, push
        self._hop_s = session.checkpoint.config.windows.hop_s
        self._reminder = Reminder(every_s, session.clock.now())
        self._asked = -math.inf  # LSL seconds of the newest question's mark
        self.labels = session.checkpoint.config.labels

    @property
    def now(self) -> float:
        return self._session.clock.now()

    @property
    def is_due(self) -> bool:
        return self._reminder.is_due(self.now)

    def note(self, what: str) -> None:
        """Note a question (`ASKED`), its answer (a label) or `UNDO`, from the next window on."""
        now = self.now
        # An answer lies in a later window than its question, whose window holds what was shown.
        mark = CheckMark(max(now, self._asked + self._hop_s), what)
        mark = self._session.mask.add(mark, self._hop_s)
        self._push(mark.marker, mark.time)
        if what == ASKED:
            self._asked = mark.time
        if what != UNDO:
            self._reminder.asked(now)


_KEYS = "Type ? to be asked now, u to undo an update"


class TerminalCheck(NotingObserver):
    """Asks in the terminal: a number answers, ``?`` asks at once, ``u`` undoes an update.

    ``lines`` are what is typed; a simulated subject answers with what it shows, at once.
    """

    def __init__(
        self,
        every_s: float | None,
        telemetry: Telemetry,
        lines: Iterable[str] = (),
        is_simulated: bool = False,
    ) -> None:
        self._every_s, self._telemetry, self._lines = every_s, telemetry, lines
        self._is_simulated, self._shown = is_simulated, ""  # what it shows
        self._typed: deque[str] = deque()
        self._is_asking = False
        self._questions: Questions | None = None

    def on_open(self, session: LiveSession) -> None:
        self._questions = Questions(session, self._notes.push, self._every_s)
        if not self._is_simulated:
            self._telemetry.say(f"Self-check. {_KEYS}", self._questions.now)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._lines:
            self._typed.append(line.strip().lower())

    def on_emotion(self, emotion: str) -> None:
        self._shown = emotion

    def attend(self) -> None:
        questions = self._questions
        if questions is None:
            return
        if self._is_asking and self._is_simulated:
            self._answer(questions, self._shown)
        while self._typed:
            line = self._typed.popleft()
            if line == "u":
                self._telemetry.say("undo: from the next window on", questions.now)
                questions.note(UNDO)
            elif line == "?":
                self._ask(questions)
            elif not self._is_asking:
                self._telemetry.say(f"no question is open. {_KEYS}", questions.now)
            elif not line:
                self._is_asking = False
                self._telemetry.say("none of these: not counted", questions.now)
            elif line.isdecimal() and 0 < int(line) <= len(questions.labels):
                self._answer(questions, questions.labels[int(line) - 1])
            else:
                choices = f"a number from 1 to {len(questions.labels)}, or Enter for none of these"
                self._telemetry.say(f"{one_line(line)!r} is no answer: type {choices}", questions.now)
        if questions.is_due:
            self._ask(questions)

    def _ask(self, questions: Questions) -> None:
        questions.note(ASKED)
        self._is_asking = True
        choices = ", ".join(f"{at} {label}" for at, label in enumerate(questions.labels, 1))
        self._telemetry.say(f"What do you feel now? {choices}; Enter: none of these", questions.now)

    def _answer(self, questions: Questions, label: str) -> None:
        self._is_asking = False
        if label in questions.labels:
            questions.note(label)


def run_check(request: LiveRequest, show: Callable[[LiveSession], object]) -> Telemetry:
    """Run a live session in the terminal that asks as requested; a simulated subject answers.

    ``show`` runs it, as `app.terminal.show_live` does.
    """
    telemetry, is_simulated = Telemetry(), request.simulated is not None
    check = TerminalCheck(request.check_every_s, telemetry, () if is_simulated else typed(), is_simulated)
    with contextlib.closing(check):
        show(LiveSession(request, telemetry=telemetry, observer=check))
    return telemetry


def typed() -> Iterable[str]:
    """Return the lines that are typed, whatever bytes they hold; none where there is no standard input."""
    return () if sys.stdin is None else (line.decode(errors="replace") for line in sys.stdin.buffer)


_NONE = "no question was answered while a warm answer was shown"


def summary_lines(record: dict[str, Any]) -> list[str]:
    """Return what `report_record` says, in sentences."""
    facts = record["self_reports"]
    if not facts["n_reports"]:
        return [f"No self-report was counted: {_NONE}."]
    found = [words_of(Code.SELF_REPORTS, facts)]
    found += [words_of(c, facts) for c in (Code.WITHDRAWN, Code.UNCOVERED) if (facts := record[c])]
    return [f"{one[0].upper()}{one[1:]}." for one in found]


def report_record(verdict: Verdict | None) -> dict[str, Any]:
    """Return the figures of the self-reports as plain values for JSON; without any, why there are none."""
    reasons = {reason.code: dict(reason.facts) for reason in verdict.reasons} if verdict is not None else {}
    return {
        "self_reports": reasons.get(Code.SELF_REPORTS) or {"n_reports": 0, "n_right": 0, "reason": _NONE},
        "withdrawn": reasons.get(Code.WITHDRAWN),
        "uncovered": reasons.get(Code.UNCOVERED),
    }
