"""What a model that is fine-tuned further has seen already, so that no figure hides it."""

from __future__ import annotations

import json
from pathlib import Path

from acquisition.errors import InputError
from models.config import ModelConfig
from models.training.pretrain import REPORT_FILE
from models.training.protocols import PUBLISHED


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


def seen_without_labels(folder: Path, config: ModelConfig, kind: str, path: Path) -> str:
    """Return in words what pre-training saw of the trials to be tested; empty where it says of none.

    Parameters
    ----------
    folder : Path
        Of the base.
    config : ModelConfig
        The base's.
    kind, path
        Of the `LabelledSource`. Recordings are known by the names of their files.

    Raises
    ------
    InputError
        If the base's report of its pre-training is damaged.
    """
    if config.transductive:
        return "transductive: test trials entered pre-training, without labels"
    if kind not in PUBLISHED and path.name in _recordings(folder / REPORT_FILE):
        return f"transductive: {path.name} entered pre-training whole, without labels"
    return ""


def _recordings(report: Path) -> list[str]:
    """Return the file names of the recordings that a model was pre-trained on."""
    if not report.is_file():  # not a model of pretrain
        return []
    try:
        return [str(name) for name in json.loads(report.read_text(encoding="utf-8"))["recordings"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "expected the report of the model's pre-training, found damage",
            where=str(report),
            remedy="copy the model folder again, or pre-train anew",
        ) from error
