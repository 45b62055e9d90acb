"""What stands in each of the MMV-SSTMA paper's tables: one setting a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from acquisition.errors import InputError
from models.papers import figures as paper
from models.training.protocols import ALL_LABELS, Labels
from models.training.tables import Figure

#: SEED-V has nine training trials a session, and of a class only one in some: what there is then trains.
TEN_TRIALS, TEN_WINDOWS, TWO_A_CLASS = (
    Labels("first", 10, at_most=True),
    Labels("first-windows", 10),
    Labels("per-class", 2, at_most=True),
)
_BOTH = ("eeg", "eye")
_NETWORKS: dict[str, tuple[tuple[str, ...], str]] = {
    "MV-SSTMA-EEG": (("eeg",), "attention"),
    "MMV-SSTMA-Concat": (_BOTH, "concat"),
    "MMV-SSTMA-Att": (_BOTH, "attention"),
}


@dataclass(frozen=True)
class Setting:
    """One row of a table, before it has figures."""

    model: str  # as the paper calls it, or our own words
    kind: str = "network"  # or a name of `models.papers.baselines.BASELINES`, or oracle
    modalities: tuple[str, ...] = _BOTH
    fusion: str = "attention"
    pretrained: bool = False
    labels: Labels = ALL_LABELS
    mask: float = 0.0  # share of EEG channels hidden, in fine-tuning and test alike
    test_masks: tuple[float, ...] = ()  # hidden in the test alone: a row more for each
    alone: bool = False  # a row more for each modality alone, the others removed
    paper: Figure | None = None  # None where the paper has no such row

    @property
    def name(self) -> str:
        """The row in words, unlike any other row's."""
        parts = [self.model]
        if self.kind == "network":
            parts.append("pre-trained" if self.pretrained else "from scratch")
        parts.append(f"labels: {self.labels.words()}")
        if self.mask:
            parts.append(f"{self.mask:.0%} masked")
        return ", ".join(parts)


def settings_of(dataset: str, table: int, quick: bool = False) -> list[Setting]:
    """Return the settings of a table of the MMV-SSTMA paper, our references after the paper's rows.

    Parameters
    ----------
    dataset : {"seed-iv", "seed-v"}
    table : int
        1 to 4.
    quick : bool
        Without the rows that only add another reading.

    Raises
    ------
    InputError
        If the paper has no such table.
    """
    tables = {1: _table_1, 2: _table_2, 3: _table_3, 4: _table_4}
    if table not in tables:
        raise InputError(f"expected 1, 2, 3 or 4, found {table}", where="--table")
    return tables[table](dataset, quick)


def _table_1(dataset: str, quick: bool) -> list[Setting]:
    """With and without pre-training, each signal alone; by all labels and by ten."""
    figures = paper.MMV_TABLE_1[dataset]
    rows = []
    for labels, (signal, pretrained) in product([TEN_TRIALS] if quick else [ALL_LABELS, TEN_TRIALS], figures):
        rows.append(
            Setting(
                f"MV-SSTMA-{signal}",
                modalities=(signal.lower(),),
                pretrained=pretrained,
                labels=labels,
                paper=figures[signal, pretrained],
            )
        )
    return rows


def _table_2(dataset: str, quick: bool) -> list[Setting]:
    """All labels: fusion and baselines."""
    figures = paper.MMV_TABLE_2[dataset]
    rows = []
    for model, (modalities, fusion) in _NETWORKS.items():
        alone = fusion == "attention" and len(modalities) > 1
        rows.append(_network(model, alone=alone, paper=figures[model]))
    for model, kind in (("MAX", "max"), ("Fuzzy Integral", "fuzzy"), ("BDAE", "bdae")):
        rows.append(Setting(model, kind=kind, paper=figures[model]))
    return rows + _references(ALL_LABELS)


def _network(model: str, **rest: Any) -> Setting:
    """Return a row of one of the paper's own networks, pre-trained."""
    modalities, fusion = _NETWORKS[model]
    return Setting(model, modalities=modalities, fusion=fusion, pretrained=True, **rest)


def _references(labels: Labels) -> list[Setting]:
    rows = [
        Setting("shrinkage LDA", kind="lda", labels=labels),
        Setting("shrinkage LDA, EEG", kind="lda", modalities=("eeg",), labels=labels),
        Setting("linear SVM", kind="svm", labels=labels),
        Setting("most frequent class of training", kind="majority", labels=labels),
    ]
    return [*rows, Setting("discriminant with the generator's true statistics", kind="oracle", labels=labels)]


def _table_3(dataset: str, quick: bool) -> list[Setting]:
    """Ten labels, read as ten trials and as ten windows, and with every class."""
    figures = paper.MMV_TABLE_3[dataset]
    readings = [TEN_TRIALS, TEN_WINDOWS] if quick else [TEN_TRIALS, TEN_WINDOWS, TWO_A_CLASS]
    rows = []
    for labels, model in product(readings, _NETWORKS):
        per_class = labels.how == "per-class"  # not the paper's protocol
        rows.append(_network(model, labels=labels, paper=None if per_class else figures[model]))
    return rows + _references(TEN_TRIALS)


def _table_4(dataset: str, quick: bool) -> list[Setting]:
    """Masks of 30, 50 and 70 % in fine-tuning and test alike; unmasked fine-tuning beside it."""
    figures = paper.MMV_TABLE_4[dataset]
    rows = []
    for share, model in product((0, 30, 50, 70), _NETWORKS):
        rows.append(
            _network(
                model,
                labels=TEN_TRIALS,
                mask=share / 100,
                test_masks=() if share else (0.3, 0.5, 0.7),
                paper=figures[model].get(share),
            )
        )
    return rows
