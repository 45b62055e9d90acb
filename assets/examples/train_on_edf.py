"""Train on your own EEG file with annotations: ``python train_on_edf.py FILE "T1=left,T2=right" [TRIAL_S]``.

Any file that MNE reads (EDF, BDF, BrainVision, FIF, ...) with 10-20 channel names. It prints the accuracy on
held-out trials beside chance and a linear discriminant. ``affectscope finetune --from-scratch --raw FILE``
does the same with more training, and saves a model for live use.
"""

import sys
from pathlib import Path

from models.datasets.recordings import parse_events, raw_file_trials
from models.datasets.trials import steps_that_fit
from models.training.evaluate_trials import ScoreReport, report_by_cross_validation
from models.training.finetune_config import FinetuneOptions


def train(path: Path, events: str, trial_s: float | None = None, *, n_folds: int = 5) -> ScoreReport:
    """Return the scores of a cross-validation over the file's trials: no trial is in training and test."""
    trials = raw_file_trials(path, parse_events(events), trial_s=trial_s)
    options = FinetuneOptions(modalities=("eeg",), n_steps=steps_that_fit(trials, 3)).quick()

    def show(stage: str, share: float, loss: float) -> None:
        print(f"\r{stage}: {share:4.0%}", end="", file=sys.stderr)

    return report_by_cross_validation(trials, options, None, n_folds=n_folds, progress=show)


if __name__ == "__main__":
    report = train(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else None)
    print("", *report.lines(), sep="\n")
