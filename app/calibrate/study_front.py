"""A study of simulated people, as a person reads it and as JSON."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from rich.table import Table

from app.tables import make_console
from calibration.percent import percent

if TYPE_CHECKING:
    from calibration.study import Study, StudyOptions, SubjectResult


def show_study(options: StudyOptions, *, as_json: bool) -> None:
    """Run a study; a line for each person as it is done, then the table, and JSON on stdout if wanted."""
    from calibration.study import run_study

    progress = make_console(stderr=True)
    began, n_done = time.monotonic(), 0
    progress.print(
        f"{options.n_subjects} simulated people, two sessions each, difficulty {options.difficulty}, "
        f"model {options.model.name}"
    )

    def tell(result: SubjectResult) -> None:
        nonlocal n_done
        n_done += 1
        left_s = (time.monotonic() - began) / n_done * (options.n_subjects - n_done)
        left = f"; about {left_s / 60:.0f} min left" if left_s >= 30 else ""
        progress.print(
            f"{n_done} of {options.n_subjects}: person {result.seed}, later session "
            f"{percent(result.base.trial)} without and {percent(result.profile.trial)} with the profile, "
            f"{result.verdict}{left}"
        )

    study = run_study(options, tell)
    make_console(stderr=as_json).print(study_table(study))
    make_console(stderr=as_json).print(summary_line(study), soft_wrap=True)
    if as_json:
        print(json.dumps(study.to_dict()))


def study_table(study: Study) -> Table:
    """Return a row for each person and one of the means."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("person\n(simulated)")
    for name in ("first session,\nheld-out trials", "later session:\nbase", "\nprofile"):
        table.add_column(name, justify="right")
    table.add_column("gain,\npoints", justify="right")
    table.add_column("verdict\nafter the first session")
    for person in study.subjects:
        table.add_row(
            str(person.seed),
            percent(person.balanced_accuracy),
            percent(person.base.trial),
            percent(person.profile.trial),
            f"{person.gain_points:+.0f}",
            person.verdict,
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
    range_ = f" (95 % interval {interval[0]:+.1f} to {interval[1]:+.1f})" if interval else ""
    return (
        f"The profile gains {figures['mean_gain_points']:+.1f} points of accuracy per trial{range_}; "
        f"{figures['n_weak_or_usable']} of {figures['n_subjects']} weak or usable, "
        f"{figures['n_not_distinguishable']} not distinguishable from chance; {study.seconds:.0f} s. "
        "Simulated data only."
    )
