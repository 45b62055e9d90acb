"""The field's common reference: openSMILE's eGeMAPSv02 functionals and a support vector machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from models.datasets.emodb import Utterance


def egemaps(utterances: Sequence[Utterance]) -> NDArray[Any] | None:
    """Return (n, 88) functionals; None where the package ``opensmile`` is not installed."""
    try:
        import opensmile
    except ImportError:
        return None
    extractor = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
    rows = [extractor.process_signal(one.wave, 16000).to_numpy()[0] for one in utterances]
    return np.nan_to_num(np.stack(rows))


def reference_answer(
    rows: NDArray[Any], label: NDArray[Any], train: NDArray[Any], test: NDArray[Any]
) -> NDArray[Any]:
    """Return the labels that an RBF machine (C=1, classes weighted equally) gives the test part."""
    machine = make_pipeline(StandardScaler(), SVC(C=1.0, class_weight="balanced"))
    return machine.fit(rows[train], label[train]).predict(rows[test])
