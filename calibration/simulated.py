"""Sessions of simulated people without LSL, screen or waiting: who felt what when, and the windows of it.

The sources are pumped by whoever asks for the next window, through the same rings and step features as
live. Only what a model is fitted to or tested on is computed: baselines and stimuli, a window a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from acquisition.pump import Pump
from acquisition.simulator.schedule import FollowedTimeline
from acquisition.simulator.source import SimulatedSource
from acquisition.simulator.streams import SimulatorOptions
from acquisition.simulator.subject import substream
from acquisition.types import MODALITIES, Window
from calibration.plan import Plan
from calibration.protocol import order_of
from calibration.rows import RowCollector, RowTable
from calibration.types import Consent, Report, SessionRecord, TrialRecord
from models.decoder import Decoder

#: Frames a second, as the models of simulated people were trained with. Two would do, but the newest one
#: before a whole second must not be half a second old.
_VIDEO_FPS = 5.0
_RUN_UP_S = 15.0  # the devices of a later session are on so long before its first trial

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
    """Return a simulated person's sessions, the first with baselines and practice, the others later.

    The rows are of the model behind ``decoder``.

    Parameters
    ----------
    seed : int
        Of the person.
    plan : Plan
        Of each session; the order of the emotions is drawn anew for each. Answers take all their time.
    decoder : Decoder
        On the base model; it is restarted.
    difficulty : str or float
        See `acquisition.simulator.subject.SimulatedSubject`.
    n_sessions : int
        The pause between two is `LATER_S`.
    on_share : callable
        Told which share of the sessions' seconds is done.
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
    """Let a simulated person live through a session from ``begin`` on.

    The emotion follows the stimuli; anything else is rest, as it is when the simulator listens to a
    session's markers.
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
    """Return when the devices are switched on: what the pupil looks back at comes before the first trial."""
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
