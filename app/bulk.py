"""Replays of many recordings into a folder of predictions, several at a time; what is there is kept."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, file_errors, read_limited
from acquisition.record.files import recording_parts, write_json
from acquisition.text import counted, parse_json, say
from app.environment import ExitCode
from app.request import ReplayRequest
from app.tables import progress_bar
from calibration.profile_summary import model_sha256
from calibration.subjects import note_elsewhere
from models.process import run_jobs

_SETTINGS = "settings.json"
#: What says where a replay goes or how it runs, not what it answers.
_NOT_SETTINGS = ("record", "jsonl", "csv", "summary", "headless", "device", "threads", "extra_sinks")


def replay_all(requests: Sequence[ReplayRequest], out: Path, n_jobs: int = 1, dask: str | None = None) -> int:
    """Write ``OUT/<recording>.jsonl`` for each request and return the exit code.

    A file appears once it is whole, so that the next run goes on after an interruption. Raises `InputError`
    where the folder holds replays with other settings, two recordings have one name, or the model cannot be
    used; a recording that cannot be replayed is said and left out.
    """
    paths = {request.path for request in requests}
    requests = [r for r in requests if r.part_only or not paths.intersection(_earlier_parts(r.path))]
    targets = {out / f"{request.path.stem}.jsonl": request for request in requests}
    if len(targets) < len(requests):
        ((name, _),) = Counter(request.path.stem for request in requests).most_common(1)
        what = f"two recordings would be written to {name}.jsonl"
        raise InputError(what, where=f"--out {out}", remedy="replay them into two folders")
    requests[0].options.check()
    _keep_settings(out, requests[0])
    if requests[0].options.profile is not None:
        note_elsewhere(requests[0].options.profile, list(targets))
    # Not `Path.exists`, which raises for a name that is too long.
    jobs = [(request, target) for target, request in targets.items() if not os.path.exists(target)]
    if n_before := len(targets) - len(jobs):
        say(f"{n_before} of {counted(len(targets), 'recording')} in {out} before; delete a file to repeat it")
    problems = list[str]()
    with progress_bar(f"replaying {counted(len(jobs), 'recording')}") as progress:
        for number, done in enumerate(run_jobs(_replay, jobs, n_jobs, dask), start=1):
            progress(number / len(jobs))
            name, n_predictions, found = done
            say(f"{name}: {counted(n_predictions, 'prediction')}")
            for problem in found:
                say(f"error: {name}: {problem}", error=True)
            problems += found
    return ExitCode.after(problems)


def _earlier_parts(recording: Path) -> tuple[Path, ...]:
    """Return the parts of a recording before a file of it, with which that is replayed."""
    parts = recording_parts(recording)
    return parts[: parts.index(recording)] if recording in parts else ()


def _replay(job: tuple[ReplayRequest, Path]) -> tuple[str, int, tuple[str, ...]]:
    """Replay a recording; return its name, how many predictions there were, and what was wrong."""
    from app.replay import ReplaySession

    request, target = job
    part = target.with_name(f"{target.name}.part")
    try:
        session = ReplaySession(replace(request, options=replace(request.options, jsonl=part)))
        session.run(lambda share: None)
        with file_errors("the predictions cannot be written", target, "run it again"):
            part.replace(target)
    except InputError as error:
        with suppress(OSError):  # what has the name may be a folder
            part.unlink(missing_ok=True)
        return request.path.name, 0, (str(error),)
    n = session.telemetry.n_predictions
    return request.path.name, n, session.damage if n else (*session.damage, "no modality was there")


def _keep_settings(out: Path, request: ReplayRequest) -> None:
    """Note with what the folder's files are made; refuse a folder of files that were made otherwise."""
    options = asdict(replace(request.options, extra_sinks=()))
    settings = {name: value for name, value in options.items() if name not in _NOT_SETTINGS}
    settings |= {"from": request.start_s, "to": request.stop_s, "part_only": request.part_only}
    settings["model_sha256"] = model_sha256(request.options.model)
    settings = {name: value if value is None else str(value) for name, value in settings.items()}
    path = out / _SETTINGS
    with file_errors("the predictions cannot be written", out, "choose another folder"):
        out.mkdir(parents=True, exist_ok=True)
        before = parse_json(read_limited(path)) if path.exists() else settings
        if before != settings:
            known = before if isinstance(before, dict) else {}
            other = [name for name, value in settings.items() if known.get(name) != value]
            what = f"it holds replays with other settings: {', '.join(other) or _SETTINGS}"
            raise InputError(what, where=f"--out {out}", remedy="choose another folder", code=ErrorCode.FILE)
        write_json(path, settings)
