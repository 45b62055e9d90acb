"""Checks a calibration request, and finds the session to resume, before anything is opened or written."""

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, pasteable
from app.request import CalibrationRequest
from calibration import storage
from calibration.plan import Plan, load_plan
from calibration.protocol import finished_trials
from calibration.signal_checks import check_disk
from calibration.types import SessionRecord

#: EEG and gaze alone, bytes a second; what the streams really need is known once they are open.
_LEAST_RATE = 50_000.0


@dataclass(frozen=True)
class Prepared:
    request: CalibrationRequest
    plan: Plan  # scaled
    data: Path
    place: storage.SessionPlace | None  # of the session to resume; None for a new one
    record: SessionRecord | None  # of it, as far as it got
    #: A session whose model is all that is missing.
    unfitted: tuple[storage.SessionPlace, SessionRecord] | None = None

    @property
    def run(self) -> int:
        return 1 if self.record is None else storage.next_run(self.record)

    @property
    def words(self) -> str:
        """What is resumed, in a sentence; empty for a new session."""
        if self.unfitted is not None:
            _, record = self.unfitted
            what = f"session {record.session} of {record.subject} is complete but not fitted yet"
            how = f"affectscope calibrate --subject {record.subject} --headless"
            return f"{what}: fit it with {how}, or refit {pasteable(*record.recordings)}"
        if (resumed := self.record) is None:
            return ""
        n_over, n = len(finished_trials(resumed.trials)), self.plan.n_trials
        kept = {0: "no trial is done yet", 1: "trial 1 is kept"}.get(n_over, f"{n_over} trials are kept")
        at = f"{min(n_over + 1, n)} of {n}: {kept} (--new starts a new session)"
        return f"session {resumed.session} of {resumed.subject} was interrupted and resumes at trial {at}"


def prepare(request: CalibrationRequest) -> Prepared:
    """Check subject, protocol, clips, model, options and disk, and look for a session to resume.

    Nothing is written, and no stream or device is opened. Raises InputError if something is wrong.
    """
    storage.check_subject(request.subject)
    request.options.check()
    data = request.data_dir or storage.default_data_folder()
    place, record = _newest(data, request.subject) if request.resume else (None, None)
    unfitted = None
    if place is not None and record is not None and not storage.is_unfinished(record):
        if not place.profile.exists():
            unfitted = place, record
        place, record = None, None
    plan = _plan(request, record).scaled(request.time_scale)
    check = check_disk(data, _LEAST_RATE, plan_seconds(plan))
    if check.light == "red":
        raise InputError(check.finding, where="disk", remedy=check.remedy, code=ErrorCode.FILE)
    return Prepared(request, plan, data, place, record, unfitted)


def _newest(data: Path, subject: str) -> tuple[storage.SessionPlace | None, SessionRecord | None]:
    for number in reversed(storage.session_numbers(data, subject)):
        place = storage.session_place(data, subject, number)
        if place.state.exists():
            record = storage.load_record(place.state)
            if (record.subject, record.session) != (subject, number):  # a file copied from another session
                found = f"session {record.session} of {record.subject}"
                what = f"expected session {number} of {subject}, found {found}"
                remedy = "restore the right file, or start a new session with --new"
                raise InputError(what, where=str(place.state), remedy=remedy, code=ErrorCode.SUBJECT)
            return place, record
    return None, None


def _plan(request: CalibrationRequest, record: SessionRecord | None) -> Plan:
    """Return the plan; one that is resumed keeps its classes and its number of trials."""
    if record is None or not record.order:
        return load_plan(request.plan, request.classes, request.n_trials)
    asked = request.classes or record.classes
    n_asked = request.n_trials or len(record.order)
    if set(asked) != set(record.classes) or n_asked != len(record.order):
        trials = f"{len(record.order)} trials of {', '.join(record.classes)}"
        what = f"session {record.session}, which was interrupted, has {trials}"
        remedy = "omit --classes and --trials to resume it, or start a new session with --new"
        raise InputError(what, where=f"session of {record.subject}", remedy=remedy, code=ErrorCode.SUBJECT)
    return load_plan(request.plan, record.classes, len(record.order))


def plan_seconds(plan: Plan) -> float:
    """Return about how long a session takes, without repeats."""
    trial_s = plan.hint_s + plan.stimulus_s + plan.report_s
    order = islice(cycle(plan.classes), plan.n_trials)  # as balanced as the real one
    rests_s = sum(map(plan.rest_after, order))
    return 2 * plan.baseline_s + plan.practice_s + plan.n_trials * trial_s + rests_s
