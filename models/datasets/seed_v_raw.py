"""SEED-V's recordings: Neuroscan ``.cnt`` files, read through MNE and cut at the published times.

Tested on recordings made in memory; none of the set's own files could be had when this was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES, canonical_name
from models.datasets.entropy_steps import STEP_S, entropy_steps
from models.datasets.layout import check_folder, masked_channels, wanted_subjects
from models.datasets.seed_v import LABELS, RAW, TRIAL_LABELS
from models.datasets.types import FETCH_ANEW, LeftOut, Trial, leave_out
from models.features.config import FeatureConfig

#: Mastoids and eye electrodes of the cap: not among the 62.
NOT_EEG = ("M1", "M2", "VEO", "HEO")

#: Begin and end of each clip in its session's recording, seconds (the set's trial_start_end_timestamp.txt).
CLIP_TIMES_S = {
    1: (
        (30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932, 3204),
        (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172, 3359),
    ),
    2: (
        (30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490, 2741),
        (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709, 2817),
    ),
    3: (
        (30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726, 2888),
        (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857, 3066),
    ),
}


def load_recordings(
    folder: Path,
    subjects: Sequence[str | int] | None,
    config: FeatureConfig,
    left_out: list[LeftOut] | None,
) -> Iterator[Trial]:
    """Yield the trials of ``EEG_raw/{subject}_{session}_{date}.cnt``; as `load_seed_v` says."""
    from mne.io import read_raw_cnt

    check_folder(folder, [RAW], "SEED-V")
    files: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / RAW).iterdir()):
        if match := re.fullmatch(r"(\d+)_([123])_\d+\.cnt", path.name, re.IGNORECASE):
            files[str(int(match[1])), int(match[2])] = path
    for subject in wanted_subjects([key[0] for key in files], subjects, folder / RAW):
        for session in TRIAL_LABELS:
            try:
                if (subject, session) not in files:
                    raise InputError(
                        f"expected a file {subject}_{session}_DATE.cnt, found none",
                        where=str(folder / RAW),
                        remedy="get it from the publisher",
                    )
                path = files[subject, session]
                try:
                    raw = read_raw_cnt(path, verbose="error")
                except Exception as error:  # a damaged file makes MNE raise whatever its bytes say
                    found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
                    raise InputError(
                        f"expected a Neuroscan recording, found what MNE cannot read: {found}",
                        where=str(path),
                        remedy=FETCH_ANEW,
                    ) from error
                trials = trials_of_recording(raw, str(path), subject, session, config, left_out)
            except InputError as error:
                leave_out(left_out, subject, error)
            else:
                yield from trials


def trials_of_recording(
    raw: Any,
    source: str,
    subject: str,
    session: int,
    config: FeatureConfig,
    left_out: list[LeftOut] | None = None,
) -> list[Trial]:
    """Return the 15 trials of one session's recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Mastoids and eye channels are dropped; the others may be labelled in any case and order.

    Raises
    ------
    InputError
        If one of the 62 channels is missing, or the recording ends before its last clip.
    """
    labels = {canonical_name(name): name for name in raw.ch_names if canonical_name(name) not in NOT_EEG}
    if missing := [name for name in SEED_CH_NAMES if name not in labels]:
        raise InputError(
            f"expected the 62 channels of the SEED cap, found no {', '.join(missing[:5])}",
            where=source,
            remedy="is this a recording of SEED-V?",
        )
    picks = [labels[name] for name in SEED_CH_NAMES]
    sfreq, length_s = float(raw.info["sfreq"]), raw.n_times / raw.info["sfreq"]
    begins, ends = CLIP_TIMES_S[session]
    if length_s < ends[-1]:
        raise InputError(
            f"expected at least {ends[-1]} s, found {length_s:.0f} s",
            where=source,
            remedy="the recording was cut short: leave the session out",
        )
    trials = []
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1):
        x = raw.get_data(picks=picks, start=round(begin * sfreq), stop=round(end * sfreq)) * 1e6  # V -> µV
        eeg = entropy_steps(x, sfreq, config)
        trials.append(
            Trial(
                dataset="seed-v",
                subject=subject,
                session=session,
                trial=number,
                label=TRIAL_LABELS[session][number - 1],
                label_names=LABELS,
                step_s=STEP_S,
                eeg=masked_channels(eeg, SEED_CH_NAMES, subject, f"{source}, clip {number}", left_out),
                eye=None,
                ch_names=SEED_CH_NAMES,
                origin="raw",
                source=source,
            )
        )
    return trials
