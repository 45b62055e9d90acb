"""The baselines by name."""

from __future__ import annotations

from collections.abc import Callable

from models.baselines.bdae import BdaeClassifier
from models.baselines.lda import LdaClassifier
from models.baselines.majority import MajorityClassifier
from models.baselines.protocol import Classifier
from models.baselines.rules import FuzzyIntegralClassifier, MaxClassifier
from models.baselines.svm import SvmClassifier

#: (n_labels, seed) -> a classifier to fit. All take EEG, eye features or both, whatever the windows hold; for
#: one modality alone give `dataclasses.replace(windows, eye=None)`.
BASELINES: dict[str, Callable[[int, int], Classifier]] = {
    "majority": MajorityClassifier,
    "lda": LdaClassifier,
    "svm": SvmClassifier,
    "max": MaxClassifier,
    "fuzzy": FuzzyIntegralClassifier,
    "bdae": BdaeClassifier,
}
