"""Tests a model on simulated subjects that it has not seen, as a live run answers: `evaluate simulated`."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from app.cli.evaluate import interval_words
from app.tables import figures_table
from models.checkpoint import Checkpoint
from models.config import ModelConfig
from models.conformal import coverage
from models.level import Course, answers, run_session
from models.normalise import Normaliser
from models.training.loop import Progress
from models.training.scores import calibration_curve, t_interval, wilson_interval
from models.trust import LEAST_AGREEMENT
from tests.studies.demo_model.answers import trial_means
from tests.studies.demo_model.data import Rows, load_subject
from tests.studies.demo_model.stages import RowInputs, encode_rows
from tests.studies.demo_model.training import (
    MIN_SINCE_ONSET_TESTED_S,
    SimulatedSubjects,
    changes_a_minute,
    features_of,
    token_rows,
)

FIRST_EVALUATION_SEED = 900_000  # of simulated subjects: no training uses them
_TEST_BATCH = 32
_STRIDE = 3  # of the windows decoded where every second is not needed
_SETTLED_TRIALS = 5  # from this trial on the running level has settled
#: Smaller caps, each part of the next.
CAPS = {
    "8": ("FP1", "FP2", "C3", "C4", "P7", "P8", "O1", "O2"),
    "16": ("F7", "F8", "F3", "F4", "T7", "T8", "P3", "P4"),
    "32": (
        *("FZ", "CZ", "PZ", "OZ", "FC5", "FC6", "FC1", "FC2"),
        *("CP5", "CP6", "CP1", "CP2", "AF3", "AF4", "PO3", "PO4"),
    ),
}


def evaluate_simulated(
    checkpoint: Checkpoint,
    subjects: SimulatedSubjects,
    progress: Progress,
    *,
    brief: bool = False,
) -> dict[str, Any]:
    """Return accuracies per trial and per window (keys ending in ``_window``), with chance beside them.

    A trial's prediction is the mean of its windows' probabilities, from the fifth second on. Keys: ``all``,
    ``only`` and ``without`` by modality, ``channels`` of EEG alone by cap, ``windows`` (single ones, every
    third second, as those rows), ``settled`` (from the sixth trial on), ``interval`` (Wilson over trials),
    ``by_subject`` with ``interval_over_subjects`` (t); of all modalities also changes and delay of the label,
    calibration, coverage and size of sets, and what is answered or safe to act upon. ``brief`` leaves out
    parts of the input.

    Raises `InputError`; see `check_simulated`.
    """
    check_simulated(checkpoint.config)
    features = checkpoint.config.features
    with TemporaryDirectory(prefix="affectscope-evaluate-", ignore_cleanup_errors=True) as scratch:
        folders = subjects.simulate(FIRST_EVALUATION_SEED, features, Path(scratch), progress)
        return _Evaluation(checkpoint, folders, progress).report(brief)


def check_simulated(config: ModelConfig) -> None:
    """Refuse a model that cannot be tested on simulated subjects, with the reason."""
    for expected, found in (
        ("a classifier", "a classifier" if config.is_classifier else "pre-trained encoders"),
        ("raw features", f"{config.feature_origin} features"),
        (f"modalities {', '.join(MODALITIES)}", f"modalities {', '.join(config.modalities)}"),
        (f"labels {', '.join(EMOTIONS)}", f"labels {', '.join(config.labels)}"),
    ):
        if expected != found:
            raise InputError(
                f"the model cannot be tested on simulated subjects: expected {expected}, found {found}",
                where="--model",
                remedy="choose one made by affectscope train --simulated, or omit --model",
                code=ErrorCode.MODEL,
                found=found,
            )


@dataclass(frozen=True)
class _Condition:
    """What the model is given."""

    modalities: Collection[str] = MODALITIES
    cap: tuple[str, ...] = ()  # EEG channels; empty: all
    is_whole: bool = False  # every second is decoded, and answers are filtered as they are live


def _conditions(brief: bool) -> dict[str, _Condition]:
    """Return the conditions by the key of their figures."""
    found = {"all": _Condition(is_whole=True)}
    if brief:
        return found
    found["windows"] = _Condition()
    for modality in MODALITIES:
        found[f"only/{modality}"] = _Condition((modality,))
        found[f"without/{modality}"] = _Condition([m for m in MODALITIES if m != modality])
    cap: tuple[str, ...] = ()
    for size, added in CAPS.items():
        cap += added
        found[f"channels/{size}"] = _Condition(("eeg",), cap)
    return found


class _Evaluation:
    """All conditions over the same sessions."""

    def __init__(self, checkpoint: Checkpoint, folders: Sequence[Path], progress: Progress) -> None:
        self._config, self._evidence = checkpoint.config, checkpoint.evidence
        self._network, self._progress = checkpoint.network, progress
        self._normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors)
        self._subjects = [load_subject(folder) for folder in folders]
        rows = self._rows = Rows(self._subjects, self._normaliser)
        self._encoded = encode_rows(self._network, rows, progress)
        self._features = features_of(rows, token_rows(rows, self._encoded))
        self._network.prepare_inference()
        self._agreement = np.full(len(rows), np.nan)
        self._tested = rows.where(min_since_onset_s=MIN_SINCE_ONSET_TESTED_S)
        label = rows.label.numpy()[self._tested]
        self._of_tested = label, rows.trial[self._tested], rows.subject[self._tested]

    def report(self, brief: bool) -> dict[str, Any]:
        conditions, found = _conditions(brief), {}
        for number, (name, condition) in enumerate(conditions.items()):
            found[name] = self._probs(condition)
            self._progress("evaluating", (number + 1) / len(conditions), math.nan)
        return self._table(found)

    # --- one condition ---

    def _probs(self, condition: _Condition) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels) of all seconds, or every third tested."""
        course = None if self._evidence is None else self._course(condition)
        rows = Rows(self._subjects, self._normaliser, course.levels if course is not None else None)
        inputs = RowInputs(self._network, rows, np.random.default_rng(0), self._encoded)
        names = self._config.ch_names
        channels = sorted(names.index(name) for name in condition.cap if name in names) or None
        allowed = torch.tensor([m in condition.modalities for m in MODALITIES])
        every = np.arange(len(rows)) if condition.is_whole else self._tested[::_STRIDE]
        logits = torch.full((len(rows), len(self._config.labels)), torch.nan)
        for start in range(0, len(every), _TEST_BATCH):
            at = every[start : start + _TEST_BATCH]
            batch = inputs.window(at, channels=channels)
            batch.present = batch.present & allowed
            if course is not None and self._evidence is not None:
                batch.evidence = course.evidence[at]
                batch.reliability = self._evidence.range.reliability(course.measures[at])
            with torch.no_grad():
                tokens = self._network.modality_tokens(batch, condition.modalities)
                present = self._network.presence(batch)
                logits[at], _ = self._network.fuse(tokens, present, batch.evidence, batch.reliability)
        if course is not None and condition == _Condition(is_whole=True):
            self._agreement = course.agreement.numpy()
        if condition.is_whole and self._config.evidence is not None:
            logits = answers(logits, rows.first, self._config.evidence)
        return torch.softmax(logits, dim=1).double().numpy()

    def _course(self, condition: _Condition) -> Course:
        """Return level, evidence and reliability of all sessions under a condition."""
        assert self._evidence is not None
        courses = []
        for features in self._features:
            given = {m: x for m, x in features.items() if m in condition.modalities}
            if condition.cap and "eeg" in given:
                kept = np.isin(self._config.ch_names, condition.cap)
                eeg = given["eeg"].reshape(len(given["eeg"]), len(kept), -1)
                given["eeg"] = np.where(kept[:, None], eeg, np.nan).reshape(len(eeg), -1)
            courses.append(run_session(given, self._evidence, self._config.windows))
        return Course.joined(courses)

    # --- figures ---

    def _table(self, probs: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        table: dict[str, Any] = {
            "chance": 1 / probs["all"].shape[1],
            "n_subjects": len(self._subjects),
            "n_windows": len(self._tested),
            "interval": {},
        }
        for name, p in probs.items():
            group, _, key = name.partition("/")
            known = np.isfinite(p[self._tested, 0])
            tested, of_tested = p[self._tested][known], [column[known] for column in self._of_tested]
            means, label, _ = trial_means(tested, *of_tested)
            per_trial = float((means.argmax(axis=1) == label).mean())
            per_window = float((tested.argmax(axis=1) == of_tested[0]).mean())
            table["n_trials"] = len(label)
            figures = {group: per_trial, f"{group}_window": per_window}
            intervals = {group: wilson_interval(per_trial, len(label))}
            for where, found in ((table, figures), (table["interval"], intervals)):
                for name_of_group, figure in found.items():
                    if key:
                        where.setdefault(name_of_group, {})[key] = figure
                    else:
                        where[name_of_group] = figure
        return table | self._of_answers(probs["all"])

    def _of_answers(self, probs: NDArray[np.float64]) -> dict[str, Any]:
        """Return what the answers by all modalities are worth."""
        label, trial, subject = self._of_tested
        tested, rows = probs[self._tested], self._rows
        settled = trial >= _SETTLED_TRIALS
        late, of_late, _ = trial_means(tested[settled], label[settled], trial[settled], subject[settled])
        accuracy = float((late.argmax(axis=1) == of_late).mean()) if len(late) else math.nan
        every, of_every, of_subject = trial_means(tested, label, trial, subject)
        is_right = every.argmax(axis=1) == of_every
        by_subject = [float(is_right[of_subject == who].mean()) for who in np.unique(of_subject)]
        figures: dict[str, Any] = {
            "by_subject": by_subject,
            "interval_over_subjects": t_interval(by_subject),
            "settled": accuracy,
            "settled_interval": wilson_interval(accuracy, len(late)) if len(late) else None,
            "label_changes_per_minute": changes_a_minute(
                probs.argmax(axis=1), rows, MIN_SINCE_ONSET_TESTED_S
            ),
            "delay_s": self._delay(probs),
            "ece": calibration_curve(tested, label).error,
        }
        if (rule := self._config.answers) is not None:
            for level, threshold in (("90", rule.set_90), ("80", rule.set_80)):
                covered, size = coverage(every, of_every, threshold)
                figures |= {f"coverage_{level}": float(covered.mean()), f"set_size_{level}": size}
                by_subject = [covered[of_subject == who].mean() for who in np.unique(of_subject)]
                figures[f"coverage_{level}_tenth_percentile"] = float(np.quantile(by_subject, 0.1))
            top, right = tested.max(axis=1), tested.argmax(axis=1) == label
            safe = (top >= rule.act_from) & (self._agreement[self._tested] >= LEAST_AGREEMENT)
            for name, said in (("answered", top >= rule.answer_from), ("safe", safe)):
                figures[name] = float(said.mean())
                figures[f"right_when_{name}"] = float(right[said].mean()) if said.any() else math.nan
        return figures

    def _delay(self, probs: NDArray[np.float64]) -> float:
        """Return the median time after a change until the label is the one that the trial settles on."""
        rows, shown = self._rows, probs.argmax(axis=1)
        delays = []
        for subject in range(len(self._subjects)):
            of_subject = rows.subject == subject
            for trial in np.unique(rows.trial[of_subject])[1:]:
                at = np.flatnonzero(of_subject & (rows.trial == trial))
                late = at[rows.since_onset_s[at] >= MIN_SINCE_ONSET_TESTED_S]
                # The mean of the late windows may be of a label that none of them has.
                reached = at[shown[at] == probs[late].mean(axis=0).argmax()] if len(late) else late
                delays.append(rows.since_onset_s[reached[0]] if len(reached) else math.inf)
        return float(np.median(delays)) if delays else math.nan


def simulated_tables(result: dict[str, Any]) -> Iterable[Table]:
    """Yield the tables of `evaluate simulated`."""

    def row(name: str, trial: float, interval: tuple[float, float], window: float) -> tuple[str, ...]:
        return name, f"{trial:.1%}", interval_words(interval), f"{window:.1%}"

    rows = [row("all four", result["all"], result["interval"]["all"], result["all_window"])]
    if "windows" in result:
        values = result["windows"], result["interval"]["windows"], result["windows_window"]
        rows.append(row("single windows", *values))
    titles = {"only": "{} alone", "without": "without {}", "channels": "EEG alone, {} ch"}
    rows += [
        row(title.format(key), accuracy, result["interval"][group][key], result[f"{group}_window"][key])
        for group, title in titles.items()
        for key, accuracy in result.get(group, {}).items()
    ]
    title = (
        f"{result['n_subjects']} unseen simulated subjects, {result['n_trials']} trials, "
        f"{result['n_windows']} windows; chance {result['chance']:.0%}"
    )
    yield figures_table(title, ("modalities", "per trial", "95 % CI", "per window"), rows)
    yield figures_table("the answers by all four", ("figure", "value"), list(_of_answers(result)))


def _of_answers(result: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what the answers are worth."""
    settled = result.get("settled_interval")
    interval = f" ({interval_words(settled)})" if settled else ""
    yield "per trial, from the sixth on", f"{result['settled']:.1%}{interval}"
    yield "label changes a minute, emotion steady", f"{result['label_changes_per_minute']:.1f}"
    yield "median delay after a change", f"{result['delay_s']:.1f} s"
    yield "expected calibration error", f"{result['ece']:.3f}"
    if "answered" in result:
        for level in ("90", "80"):
            covered, size = result[f"coverage_{level}"], result[f"set_size_{level}"]
            yield f"{level} % sets hold the emotion", f"{covered:.1%} of the trials; {size:.1f} emotions"
        right = f"{result['right_when_answered']:.0%} of them right"
        yield "windows answered", f"{result['answered']:.0%}; {right}"
        right = f"{result['right_when_safe']:.0%} of them right"
        yield "windows safe to act upon", f"{result['safe']:.0%}; {right}"
