"""Does a calibration help? Simulated subjects, each calibrated in one session and tested in a later one.

No LSL, screen or waiting: the sources are pumped by whoever asks for the next window, through the same rings
and step features as live. Only what a model is fitted to or tested on is computed: baselines and stimuli, a
window a second. The base model and the profile are tested on the same windows of the later session.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from acquisition.errors import InputError
from acquisition.pump import Pump
from acquisition.simulator.behaviour import FollowedTimeline
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.simulator.subject import EMOTIONS, effect_size, substream
from acquisition.text import json_text, percent
from acquisition.types import MODALITIES, Window
from app.tables import make_console, row_table
from assets import DEMO_MODEL
from calibration.crossvalidation import window_log_probs
from calibration.fit import fit
from calibration.plan import Plan, load_plan
from calibration.profile import apply_profile
from calibration.protocol import order_of
from calibration.rows import RowCollector, RowTable
from calibration.tokens import TrialWindows
from calibration.types import Consent, Report, SessionRecord, TrialRecord
from calibration.verdict import VerdictCode
from models.checkpoint import Checkpoint, load_checkpoint
from models.conformal import trial_weights
from models.decoder import Decoder
from models.process import keep_freed_memory
from models.training.scores import Predictions, calibration_curve, t_interval
from tests.studies.jobs import process_pool

#: Frames a second, as the models of simulated subjects were trained with. Two would do, but the newest one
#: before a whole second must not be half a second old.
_VIDEO_FPS = 5.0
_RUN_UP_S = 15.0  # the devices of a later session are switched on this long before its first trial

#: Seconds from the end of the first session to the begin of the later one.
LATER_S = 3600.0


@dataclass(frozen=True, eq=False)
class SimulatedSession:
    """What is kept of a simulated session, as a real one leaves it."""

    record: SessionRecord
    rows: RowTable


def simulate_sessions(
    seed: int,
    plan: Plan,
    decoder: Decoder,
    *,
    difficulty: str | float = "default",
    n_sessions: int = 2,
    on_share: Callable[[float], None] = lambda share: None,
) -> list[SimulatedSession]:
    """Return a simulated subject's sessions, the first with baselines and practice, the others later.

    The rows are of the model behind ``decoder``.

    ``seed`` is the subject's. The order of the emotions is drawn again for each of the ``n_sessions``,
    `LATER_S` apart; answers take all their time. The decoder, on the base model, is restarted. ``on_share``
    is told which share of the sessions' seconds is done.
    """
    timeline = FollowedTimeline()
    begin, records = 0, []
    for number in range(1, n_sessions + 1):
        record = _stage(timeline, plan, _first_record(seed, plan, number), begin)
        records.append(record)
        begin = math.ceil(_end(record) + LATER_S)
    total_s = sum(_end(record) - _begin(record) for record in records)
    options = SimulatorOptions(seed=seed, difficulty=difficulty)
    sessions, done_s = [], 0.0
    for record in records:
        collector = RowCollector(decoder)
        decoder.restart()
        for window in _windows(options, timeline, record, decoder):
            decoder.take_steps(window)
            on_share((done_s + window.t_end - _begin(record)) / total_s)
        done_s += _end(record) - _begin(record)
        sessions.append(SimulatedSession(record, collector.table()))
    return sessions


def _first_record(seed: int, plan: Plan, number: int) -> SessionRecord:
    return SessionRecord(
        subject=f"simulated-{seed}",
        session=number,
        classes=plan.classes,
        seed=seed,
        consent=Consent(MODALITIES),
        order=order_of(plan, int(substream(seed, "order", number).integers(2**31))),
        settings=plan.settings(),
        is_simulated=True,
    )


def _stage(timeline: FollowedTimeline, plan: Plan, record: SessionRecord, begin: float) -> SessionRecord:
    """Take a simulated subject through a session from ``begin`` on.

    The emotion follows the stimuli; anything else is rest, as it is when the simulator listens to a session's
    markers.
    """
    now = begin
    baseline: tuple[tuple[float, float], ...] = ()
    if record.session == 1:
        middle, end = now + plan.baseline_s, now + 2 * plan.baseline_s
        baseline = ((now, middle), (middle, end))
        now = end + plan.practice_s
    trials = []
    for number, emotion in enumerate(record.order, start=1):
        onset = now + plan.hint_s
        offset = onset + plan.stimulus_s
        timeline.begin(emotion, onset)
        timeline.begin(None, offset)
        trials.append(TrialRecord(number, emotion, onset, offset, Report(emotion, 5, 5)))
        now = offset + plan.report_s + plan.rest_after(emotion)
    return replace(record, trials=tuple(trials), baseline=baseline)


def _begin(record: SessionRecord) -> float:
    """Return when the devices are switched on: the pupil baseline precedes the first trial."""
    return record.baseline[0][0] if record.baseline else record.trials[0].begin - _RUN_UP_S


def _end(record: SessionRecord) -> float:
    return record.trials[-1].end


def _windows(
    options: SimulatorOptions, timeline: FollowedTimeline, record: SessionRecord, decoder: Decoder
) -> Iterator[Window]:
    """Yield a window at every whole second of the baselines and stimuli.

    Steps before a window's newest come as known, without samples: a row takes the newest alone.
    """
    begin = _begin(record)
    source = SimulatedSource(options, start=begin, video_fps=_VIDEO_FPS, timeline=timeline, begin_s=begin)
    pump = Pump(source, decoder.config.windows, on_open=decoder.open)
    stretches = [*record.baseline, *((trial.begin, trial.end) for trial in record.trials)]
    wanted = {second for start, end in stretches for second in range(int(start) + 1, int(end) + 1)}
    for second in pump.whole_seconds(begin, int(_end(record))):
        if second in wanted:
            yield pump.window_at(second, newest_only=True)


_EVERY_S = 2  # between tested windows
SURE = 0.99  # a probability that means "hardly ever wrong"

#: First seed of a study's simulated subjects; training, evaluation and development never use these seeds.
FIRST_STUDY_SEED = 700_000
_SEEDS_A_STUDY = 1000


@dataclass(frozen=True)
class StudyOptions:
    """Which subjects to calibrate, and on which base model; InputError if that cannot be studied."""

    n_subjects: int = 10
    difficulty: str | float = "default"
    seed: int = 1
    n_jobs: int = 2
    model: Path = DEMO_MODEL
    plan: Plan = field(default_factory=load_plan)

    def __post_init__(self) -> None:
        effect_size(self.difficulty)
        if not 1 <= self.n_subjects <= _SEEDS_A_STUDY:
            what = f"expected 1 to {_SEEDS_A_STUDY} subjects, found {self.n_subjects}"
            raise InputError(what, where="calibrate study", remedy="choose fewer")
        strange = [name for name in self.plan.classes if name not in EMOTIONS]
        if strange:
            what = f"simulated subjects have the emotions {', '.join(EMOTIONS)}, found {', '.join(strange)}"
            raise InputError(what, where="--classes", remedy="omit them")

    def seeds(self) -> range:
        first = FIRST_STUDY_SEED + self.seed * _SEEDS_A_STUDY
        return range(first, first + self.n_subjects)


@dataclass(frozen=True)
class Accuracy:
    """Shares of the later session's trials and windows predicted correctly, balanced over classes."""

    trial: float
    window: float


@dataclass(frozen=True)
class SubjectResult:
    """One simulated subject's calibration, and accuracy in the later session with and without it."""

    seed: int
    base: Accuracy
    profile: Accuracy
    verdict: str
    balanced_accuracy: float  # of the first session, each trial predicted without itself
    p_permutation: float | None
    temperature: float
    trials_used: int
    fit_seconds: float
    seconds: float
    #: Windows of the later session by model, base and profile: what `Study` pools; not in `to_dict`.
    windows: Mapping[str, Predictions] = field(default_factory=dict, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(replace(self, windows={}))
        del plain["windows"]
        return {**plain, "gain_points": self.gain_points, "gain_points_window": self.gain_points_window}

    @property
    def gain_points(self) -> float:
        """Profile less base, per cent points of balanced accuracy per trial."""
        return 100 * (self.profile.trial - self.base.trial)

    @property
    def gain_points_window(self) -> float:
        """The same per window."""
        return 100 * (self.profile.window - self.base.window)


@dataclass(frozen=True)
class Study:
    """All results, in the order of the seeds."""

    options: StudyOptions
    subjects: tuple[SubjectResult, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; gains are per trial where the name does not say window."""
        gains = [subject.gain_points for subject in self.subjects]
        by_window = [subject.gain_points_window for subject in self.subjects]
        n_chance = sum(subject.verdict == VerdictCode.NOT_DISTINGUISHABLE for subject in self.subjects)
        return {
            "subjects": [subject.to_dict() for subject in self.subjects],
            "calibration": {model: self.calibration(model) for model in ("base", "profile")},
            "mean_gain_points": float(np.mean(gains)),
            "gain_interval": t_interval(gains),
            "mean_gain_points_window": float(np.mean(by_window)),
            "gain_interval_window": t_interval(by_window),
            "mean_base_accuracy": asdict(self.mean("base")),
            "mean_profile_accuracy": asdict(self.mean("profile")),
            "n_weak_or_usable": len(self.subjects) - n_chance,
            "n_not_distinguishable": n_chance,
            "difficulty": self.options.difficulty,
            "n_subjects": len(self.subjects),
            "n_trials": self.options.plan.n_trials,
            "hours_between": LATER_S / 3600,
            "seed": self.options.seed,
            "is_simulated": True,
            "seconds": self.seconds,
        }

    def calibration(self, model: str) -> dict[str, Any] | None:
        """Return how far the probabilities of ``base`` or ``profile`` can be believed, over all windows."""
        if not all(model in subject.windows for subject in self.subjects):
            return None
        found = [subject.windows[model] for subject in self.subjects]
        probs, label, trial, subject = (
            np.concatenate([getattr(one, name) for one in found])
            for name in ("probs", "label", "trial", "subject")
        )
        curve = calibration_curve(probs, label, trial_weights(trial, subject))
        is_sure, is_right = probs.max(axis=1) >= SURE, probs.argmax(axis=1) == label
        return {
            "ece": curve.error,
            "curve": {name: array.tolist() for name, array in vars(curve).items()},
            "sure": SURE,
            "n_windows": len(label),
            "n_sure": int(is_sure.sum()),
            "n_sure_right": int((is_sure & is_right).sum()),
        }

    def mean(self, model: str) -> Accuracy:
        """Return the mean accuracy of ``base`` or ``profile`` over the subjects."""
        found = [getattr(subject, model) for subject in self.subjects]
        return Accuracy(*(float(np.mean([getattr(a, n) for a in found])) for n in ("trial", "window")))


def run_study(options: StudyOptions, on_done: Callable[[SubjectResult], None] = lambda result: None) -> Study:
    """Simulate, calibrate and test all subjects.

    A subject's figures depend on the seed alone, not on the number of processes.

    One job runs in this process, several run each subject in a spawned one. ``on_done`` is called with each
    subject's result once it is there, in any order.
    """
    began = time.monotonic()
    found: dict[int, SubjectResult] = {}
    for result in _results(options):
        found[result.seed] = result
        on_done(result)
    return Study(options, tuple(found[seed] for seed in options.seeds()), time.monotonic() - began)


def _results(options: StudyOptions) -> Iterator[SubjectResult]:
    if options.n_jobs == 1:
        yield from (study_subject(seed, options) for seed in options.seeds())
        return
    pool = process_pool(options.n_jobs)
    try:
        futures = [pool.submit(study_subject, seed, options) for seed in options.seeds()]
        yield from (future.result() for future in as_completed(futures))
    finally:  # also if it is interrupted: subjects that have not begun are dropped
        pool.shutdown(cancel_futures=True)


def study_subject(seed: int, options: StudyOptions) -> SubjectResult:
    """Calibrate one simulated subject and test the profile on the later session."""
    import cv2

    began = time.monotonic()
    keep_freed_memory()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # of the processes side by side; also: one thread, one set of last bits
    base = load_checkpoint(options.model)
    first, later = simulate_sessions(seed, options.plan, Decoder(base), difficulty=options.difficulty)
    fit_began = time.monotonic()
    fitted = fit(first.rows, first.record, base)
    fit_s = time.monotonic() - fit_began
    personal = apply_profile(fitted.profile, base)
    windows = {"base": predictions_on(base, later), "profile": predictions_on(personal, later)}
    return SubjectResult(
        seed=seed,
        base=_accuracy(windows["base"]),
        profile=_accuracy(windows["profile"]),
        verdict=fitted.verdict.code,
        balanced_accuracy=fitted.verdict.balanced_accuracy,
        p_permutation=fitted.verdict.p_permutation,
        temperature=fitted.profile.temperature,
        trials_used=fitted.verdict.n_trials,
        fit_seconds=fit_s,
        seconds=time.monotonic() - began,
        windows=windows,
    )


def predictions_on(model: Checkpoint, session: SimulatedSession) -> Predictions:
    """Return what a model says every other second of the trials of a session.

    A window holds what is wholly inside its trial. The model chooses among the session's classes, whatever
    others it knows.
    """
    classes = list(session.record.classes)
    windows = TrialWindows(session.rows, session.record.trials, model.config, every_s=_EVERY_S)
    probs = np.exp(window_log_probs(model, windows))[:, [model.config.labels.index(name) for name in classes]]
    true_of = {trial.number: classes.index(trial.emotion) for trial in session.record.trials}
    n = len(windows)
    return Predictions(
        probs=probs,
        label=np.array([true_of[number] for number in windows.trial.tolist()]),
        subject=np.full(n, session.record.subject),
        session=np.full(n, session.record.session),
        trial=windows.trial,
    )


def _accuracy(windows: Predictions) -> Accuracy:
    """Return accuracies; a trial's prediction is from the mean of its windows' log-probabilities."""
    return Accuracy(windows.trial_scores().balanced_accuracy, windows.scores().balanced_accuracy)


# --- for the terminal ---


def show_study(options: StudyOptions, *, as_json: bool) -> None:
    """Run a study; a line for each subject as it is done, then the table, and JSON on stdout if wanted."""
    progress = make_console(stderr=True)
    began, n_done = time.monotonic(), 0
    progress.print(
        f"{options.n_subjects} simulated subjects, two sessions each, difficulty {options.difficulty}, "
        f"model {options.model.name}"
    )

    def tell(result: SubjectResult) -> None:
        nonlocal n_done
        n_done += 1
        left_s = (time.monotonic() - began) / n_done * (options.n_subjects - n_done)
        left = f"; about {left_s / 60:.0f} min left" if left_s >= 30 else ""
        progress.print(
            f"{n_done} of {options.n_subjects}: subject {result.seed}, later session "
            f"{percent(result.base.trial)} without and {percent(result.profile.trial)} with the profile, "
            f"{result.verdict}{left}"
        )

    study = run_study(options, tell)
    make_console(stderr=as_json).print(study_table(study))
    make_console(stderr=as_json).print(summary_line(study), soft_wrap=True)
    if as_json:
        print(json_text(study.to_dict()))


def study_table(study: Study) -> Table:
    """Return a row for each subject and one of the means."""
    figures = ("first session,\nheld-out trials", "later session:\nbase", "\nprofile", "gain,\npoints")
    titles = ("subject\n(simulated)", *figures, "verdict\nafter the first session")
    table = row_table(titles, right=figures)
    for subject in study.subjects:
        table.add_row(
            str(subject.seed),
            percent(subject.balanced_accuracy),
            percent(subject.base.trial),
            percent(subject.profile.trial),
            f"{subject.gain_points:+.0f}",
            subject.verdict,
        )
    base, profile = study.mean("base"), study.mean("profile")
    gain = 100 * (profile.trial - base.trial)
    table.add_row("mean", "", percent(base.trial), percent(profile.trial), f"{gain:+.1f}", "", style="bold")
    by_window = 100 * (profile.window - base.window)
    table.add_row("by window", "", percent(base.window), percent(profile.window), f"{by_window:+.1f}", "")
    return table


def summary_line(study: Study) -> str:
    """Return the means and counts in a sentence."""
    figures = study.to_dict()
    interval = figures["gain_interval"]
    range_ = f" (95 % CI {interval[0]:+.1f} to {interval[1]:+.1f})" if interval else ""
    return (
        f"The profile gains {figures['mean_gain_points']:+.1f} points of accuracy per trial{range_}; "
        f"{figures['n_weak_or_usable']} of {figures['n_subjects']} weak or usable, "
        f"{figures['n_not_distinguishable']} not distinguishable from chance; {study.seconds:.0f} s. "
        "Simulated data only."
    )
