"""What a model that is fine-tuned further has seen already, so that no figure hides it."""

from __future__ import annotations

from pathlib import Path

from acquisition.errors import InputError
from models.config import ModelConfig
from models.datasets.kinds import PUBLISHED
from models.training.training_record import TrainingRecord


def check_base(config: ModelConfig, *, goes_on: bool) -> None:
    """Refuse a classifier as base unless it is to be trained on, and know that it is one.

    Fine-tuning tests on trials of the very set or recording it trains on. A classifier may have been trained
    on them with their labels, and a checkpoint cannot tell for certain which they were.

    Raises
    ------
    InputError
        If it is a classifier without ``goes_on``, or none with it.
    """
    if config.is_classifier and not goes_on:
        raise InputError(
            "the model is a classifier: trials that would test it may have trained it, with their labels",
            where="--model",
            remedy="begin with a model of pretrain, or add --continue to train on without cross-validation",
        )
    if goes_on and not config.is_classifier:
        raise InputError(
            "the model is pre-trained only: there is no classifier to train on",
            where="--continue",
            remedy="leave it out",
        )


def seen_without_labels(config: ModelConfig, kind: str, path: Path, record: TrainingRecord | None) -> str:
    """Return in words what pre-training saw of the trials to be tested; empty where it is known of none.

    Parameters
    ----------
    config : ModelConfig
        The model's.
    kind, path
        Of the `LabelledSource`. Recordings are known by their bytes, whatever they are called.
    record : TrainingRecord or None
        What the model's folder says of its training.

    Raises
    ------
    InputError
        If the recording cannot be read.
    """
    if config.transductive and (kind in PUBLISHED or record is None or not record.complete):
        return "transductive: test trials entered pre-training, without labels"
    if kind not in PUBLISHED and record is not None and record.holds(path, labels=False):
        return f"transductive: {path.name} entered pre-training whole, without labels"
    return ""
