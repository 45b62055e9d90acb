"""The plan of a calibration session: its emotions, what is shown for them, and how long everything takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acquisition.errors import InputError
from assets import DEFAULT_PROTOCOL
from calibration.plan_file import read_protocol
from calibration.types import Stimulus

#: With a time scale a stimulus takes this long at least: the features need ten seconds, and some to change.
LEAST_STIMULUS_S = 20.0

#: Leave-one-trial-out needs another trial of the class that was left out.
LEAST_PER_CLASS = 2

#: Nobody sits through more in one session.
MOST_TRIALS = 500


@dataclass(frozen=True)
class Plan:
    """What a session is made of; all durations in seconds.

    Raises
    ------
    InputError
        If fewer than two classes are given, one has no stimulus, there are too few trials for them, or
        too many for a session.
    """

    classes: tuple[str, ...]
    stimuli: Mapping[str, tuple[Stimulus, ...]]  # by emotion, in turn
    practice: Stimulus
    n_trials: int = 10
    hint_s: float = 5.0
    stimulus_s: float = 40.0
    report_s: float = 15.0
    rest_s: float = 15.0
    long_rest_s: float = 30.0
    long_rest_after: tuple[str, ...] = ("fear", "disgust")
    baseline_s: float = 30.0  # each: eyes open, eyes closed; 0 leaves both out
    practice_s: float = 15.0  # 0 leaves it out
    pleasant: tuple[str, ...] = ("happy", "neutral")  # the first of these among the classes comes last
    name: str = ""
    path: Path | None = field(default=None, compare=False)  # of the TOML file

    def __post_init__(self) -> None:
        where = f"protocol {self.path}" if self.path else "protocol"
        if len(self.classes) < 2:
            raise InputError(
                f"expected at least two classes, found {', '.join(self.classes) or 'none'}",
                where=where,
                remedy="name at least two, such as --classes happy,sad",
            )
        if twice := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            raise InputError(f"classes names {twice[0]!r} twice", where=where, remedy="name each class once")
        for name in self.classes:
            if not self.stimuli.get(name):
                known = ", ".join(key for key, listed in self.stimuli.items() if listed) or "none"
                raise InputError(
                    f"class {name!r} has no stimulus: expected one or more in stimuli.{name}, found {known}",
                    where=where,
                    remedy=f"add a table [[stimuli.{name}]], or leave {name!r} out of the classes",
                )
        needed = LEAST_PER_CLASS * len(self.classes)
        if self.n_trials < needed:
            raise InputError(
                f"expected at least {needed} trials for {len(self.classes)} classes, found {self.n_trials}: "
                "each class needs one to learn from and one to test",
                where=where,
                remedy="take more trials or fewer classes",
            )
        if self.n_trials > MOST_TRIALS:
            raise InputError(
                f"expected at most {MOST_TRIALS} trials, found {self.n_trials}",
                where=where,
                remedy="take fewer; what more there is to learn is for a second session",
            )

    @property
    def closing(self) -> str:
        """The emotion of the last trial; empty where no class is pleasant."""
        return next((name for name in self.pleasant if name in self.classes), "")

    def rest_after(self, emotion: str) -> float:
        """Return the seconds of rest after a trial of an emotion."""
        return self.long_rest_s if emotion in self.long_rest_after else self.rest_s

    def scaled(self, time_scale: float) -> Plan:
        """Return the plan with all but the stimuli shortened, for tests with a simulated person.

        Parameters
        ----------
        time_scale : float
            How many times shorter, at least 1. A stimulus is shortened to 20 s at most, and one that
            is planned shorter than that keeps its length.

        Raises
        ------
        InputError
            If the scale is below 1.
        """
        if not 1 <= time_scale < float("inf"):
            raise InputError(
                f"expected a time scale of 1 or more, found {time_scale:g}",
                where="--time-scale",
                remedy="give a number such as 20, or leave it out",
            )
        shortened = {name: getattr(self, name) / time_scale for name in SCALED}
        shortest = min(self.stimulus_s, LEAST_STIMULUS_S)
        return dataclasses.replace(self, **shortened, stimulus_s=max(shortest, self.stimulus_s / time_scale))

    def settings(self) -> dict[str, object]:
        """Return the plan in words and figures, as a session's record keeps it."""
        figures = {name: getattr(self, name) for name in ("n_trials", "stimulus_s", *SCALED)}
        return {"protocol": self.path.name if self.path else "", "name": self.name, **figures}


#: Durations that a time scale divides.
SCALED = ("hint_s", "report_s", "rest_s", "long_rest_s", "baseline_s", "practice_s")


def load_plan(
    path: Path | None = None, classes: Sequence[str] | None = None, n_trials: int | None = None
) -> Plan:
    """Read a protocol file and check all that it names.

    Parameters
    ----------
    path : Path, optional
        A TOML file; the program's own five emotions without one.
    classes : sequence of str, optional
        Emotions to take instead of the file's; each needs a stimulus there.
    n_trials : int, optional
        Trials instead of the file's.

    Raises
    ------
    InputError
        As `calibration.plan_file.read_protocol` and `Plan` say.
    """
    path = Path(path) if path is not None else DEFAULT_PROTOCOL
    values = read_protocol(path)
    if classes is not None:
        values["classes"] = tuple(classes)
    if n_trials is not None:
        values["n_trials"] = n_trials
    return Plan(**values, path=path)
