"""What stands in the two papers' tables: the printed figures in per cent, and a setting for each row.

MMV: Gao et al., "Multimodal multi-view spectral-spatial-temporal masked autoencoder for self-supervised
emotion recognition", Tables 1 to 4, SEED-IV and SEED-V. EAV: Yin et al., "EEG-based multimodal representation
learning for emotion recognition", Table I (its Figure 2 draws the same numbers).
"""

from dataclasses import dataclass, replace
from typing import Any

from models.training.evaluate_trials import MASKS
from models.training.sources import ALL_LABELS, Labels
from models.training.tables import Figure

#: Table 1, SEED-IV and SEED-V, by signal and whether pre-trained. How many labels were used is not stated.
MMV_TABLE_1: dict[tuple[str, bool], tuple[Figure, Figure]] = {
    ("EEG", False): ((56.97, 9.56), (71.29, 10.76)),
    ("EEG", True): ((85.40, 5.25), (79.47, 9.50)),
    ("EYE", False): ((64.98, 14.60), (53.88, 6.84)),
    ("EYE", True): ((78.16, 8.26), (64.19, 6.44)),
}

#: Table 2, all labelled data. MAX, fuzzy integral and BDAE are quoted there from Liu et al. (2021).
MMV_TABLE_2: dict[str, tuple[Figure, Figure]] = {
    "MV-SSTMA-EEG": ((87.78, 6.90), (80.41, 10.51)),
    "MAX": ((60.00, 17.10), (73.20, 9.30)),
    "Fuzzy Integral": ((73.60, 16.70), (73.20, 8.70)),
    "BDAE": ((85.10, 11.80), (79.70, 4.80)),
    "MMV-SSTMA-Concat": ((89.56, 6.19), (81.03, 9.31)),
    "MMV-SSTMA-Att": ((90.16, 5.44), (81.38, 8.76)),
}

#: Table 3, "10 labeled data from the beginning of the training dataset".
MMV_TABLE_3: dict[str, tuple[Figure, Figure]] = {
    "MV-SSTMA-EEG": ((87.03, 5.88), (79.07, 10.95)),
    "MMV-SSTMA-Concat": ((88.64, 6.71), (79.13, 8.72)),
    "MMV-SSTMA-Att": ((88.04, 6.57), (79.20, 8.49)),
}

#: Table 4, "partial labeled data", without SDs, by mask ratio in `MASKS`. Its 30 % column repeats Table 3.
MMV_TABLE_4: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "MV-SSTMA-EEG": ((87.03, 86.84, 84.25), (79.07, 78.44, 75.59)),
    "MMV-SSTMA-Concat": ((88.64, 86.60, 85.00), (79.13, 84.15, 77.81)),
    "MMV-SSTMA-Att": ((88.04, 89.95, 86.74), (79.20, 81.06, 78.29)),
}
_COLUMN = {"seed-iv": 0, "seed-v": 1}

#: EAV Table I, by subject: vision, audio, EEG, multimodal.
EAV_TABLE_1: dict[int, tuple[float, float, float, float]] = {
    1: (55.20, 58.33, 59.17, 66.60), 2: (70.03, 72.50, 64.17, 76.27), 3: (76.43, 52.50, 54.17, 75.43),
    4: (77.43, 60.00, 66.67, 81.83), 5: (62.03, 50.00, 40.00, 59.47), 6: (83.83, 80.00, 48.33, 69.73),
    7: (74.77, 60.00, 59.17, 80.43), 8: (66.60, 48.33, 54.17, 68.97), 9: (62.13, 65.83, 45.00, 76.43),
    10: (66.43, 53.33, 47.50, 69.37), 11: (59.20, 45.00, 44.17, 57.03), 12: (51.30, 48.33, 45.00, 55.17),
    13: (73.43, 66.67, 55.00, 75.27), 14: (58.33, 52.50, 33.33, 57.97), 15: (73.80, 67.50, 51.67, 65.53),
    16: (54.97, 55.00, 42.50, 57.83), 17: (83.77, 80.83, 67.50, 89.63), 18: (67.10, 56.67, 64.17, 74.97),
    19: (61.50, 60.00, 51.67, 68.10), 20: (76.37, 67.50, 73.33, 86.50), 21: (71.47, 50.83, 60.00, 78.10),
    22: (64.57, 74.17, 70.83, 76.37), 23: (58.63, 66.67, 50.00, 64.63), 24: (70.13, 67.50, 76.67, 85.13),
    25: (60.50, 48.33, 50.00, 67.73), 26: (66.33, 58.33, 49.17, 68.57), 27: (82.57, 54.17, 65.00, 83.87),
    28: (71.97, 55.83, 67.50, 81.17), 29: (61.87, 45.83, 42.50, 62.53), 30: (66.70, 55.00, 50.00, 56.10),
    31: (67.73, 70.83, 44.17, 64.30), 32: (57.93, 50.83, 55.83, 63.83), 33: (76.00, 76.67, 62.50, 80.10),
    34: (63.60, 40.83, 46.67, 68.20), 35: (57.23, 47.50, 28.33, 62.97), 36: (62.23, 60.83, 60.83, 74.23),
    37: (57.20, 43.33, 55.83, 61.83), 38: (75.93, 44.17, 45.83, 76.27), 39: (67.43, 62.50, 50.83, 71.50),
    40: (57.07, 60.00, 40.00, 66.90), 41: (78.23, 53.33, 43.33, 72.33), 42: (73.23, 55.00, 65.00, 77.10),
}  # fmt: skip
#: Its last line.
EAV_AVERAGE = (67.22, 58.17, 53.51, 70.86)


@dataclass(frozen=True)
class EavRow:
    """What a row of our table counts, and the paper's figures beside it: those that count the same."""

    unit: str  # clip, of 5 s | frame
    column: int | None = None  # of `EAV_TABLE_1`, which counts frames where there is a video, else clips


EAV_ROWS = {
    "Vision": EavRow("clip"),
    "Audio": EavRow("clip", 1),
    "EEG": EavRow("clip", 2),
    "Multimodal": EavRow("clip"),
    "Vision, per frame": EavRow("frame", 0),
    "Multimodal, per frame": EavRow("frame", 3),
}

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
OURS = "ours"  # the kind of our own model's settings
_BASELINES = {"MAX": "max", "Fuzzy Integral": "fuzzy", "BDAE": "bdae"}


@dataclass(frozen=True)
class Setting:
    """One row of a table, before it has figures."""

    model: str  # as the paper calls it, or our own words
    kind: str = "network"  # or a name of `models.papers.baselines.BASELINES`, or oracle, or `OURS`
    modalities: tuple[str, ...] = _BOTH
    fusion: str = "attention"
    pretrained: bool = False
    labels: Labels = ALL_LABELS
    mask: float = 0.0  # share of EEG channels hidden, in fine-tuning and test alike
    test_masks: tuple[float, ...] = ()  # hidden in the test alone: a row more for each
    alone: bool = False  # a row more for each modality alone, the others removed
    given: tuple[str, ...] = ()  # of ours: eeg, eye, both; a row for each
    others: bool = False  # of ours: other subjects' labels train too
    kept: bool = False  # of ours: rows more for what is kept of discriminant and network
    paper: Figure | None = None  # None where the paper has no such row

    @property
    def name(self) -> str:
        """The row in words, unlike any other row's."""
        parts = [self.model]
        if self.kind == "network":
            parts.append("pre-trained" if self.pretrained else "from scratch")
        parts += ["other subjects' labels too"] if self.others else []
        parts.append(f"labels: {self.labels.words()}")
        if self.mask:
            parts.append(f"{self.mask:.0%} masked")
        return ", ".join(parts)


def settings_of(dataset: str, table: int, quick: bool = False) -> list[Setting]:
    """Return the settings of a table (1-4), references last; ``quick`` leaves out further readings."""
    return (_table_1, _table_2, _table_3, _table_4)[table - 1](_COLUMN[dataset], quick)


def _table_1(column: int, quick: bool) -> list[Setting]:
    """With and without pre-training, each signal alone; by all labels and by ten."""
    wanted = [TEN_TRIALS] if quick else [ALL_LABELS, TEN_TRIALS]
    rows = [
        Setting(
            f"MV-SSTMA-{signal}",
            modalities=(signal.lower(),),
            pretrained=pretrained,
            labels=labels,
            paper=figures[column],
        )
        for labels in wanted
        for (signal, pretrained), figures in MMV_TABLE_1.items()
    ]
    for labels in wanted:
        rows += [_lda(signal, labels) for signal in ("eeg", "eye")] + _ours(labels, ("eeg", "eye"), quick)
    return rows


def _table_2(column: int, quick: bool) -> list[Setting]:
    """All labels: fusion and baselines."""
    rows = []
    for model, figures in MMV_TABLE_2.items():
        if model in _BASELINES:
            rows.append(Setting(model, kind=_BASELINES[model], paper=figures[column]))
        else:
            rows.append(_network(model, alone=model == "MMV-SSTMA-Att", paper=figures[column]))
    rows.sort(key=lambda row: row.kind != "network")  # stable: networks first
    return rows + _references(ALL_LABELS) + _ours(ALL_LABELS, ("both", "eeg"), quick)


def _network(model: str, **rest: Any) -> Setting:
    """Return a row of one of the paper's own networks, pre-trained."""
    modalities, fusion = _NETWORKS[model]
    return Setting(model, modalities=modalities, fusion=fusion, pretrained=True, **rest)


def _lda(signal: str, labels: Labels, **rest: Any) -> Setting:
    """Return the reference on one signal alone."""
    name = f"shrinkage LDA, {signal.upper()}"
    return Setting(name, kind="lda", modalities=(signal,), labels=labels, **rest)


def _ours(labels: Labels, given: tuple[str, ...], quick: bool, **rest: Any) -> list[Setting]:
    """Return our model by own labels, and by other subjects' too; ``quick`` leaves the network out."""
    own = Setting("mixed discriminant", kind=OURS, labels=labels, given=given, **rest)
    return [own, replace(own, others=True, kept=not (quick or own.test_masks))]


def _references(labels: Labels) -> list[Setting]:
    return [
        Setting("shrinkage LDA", kind="lda", labels=labels),
        _lda("eeg", labels),
        Setting("linear SVM", kind="svm", labels=labels),
        Setting("most frequent class of training", kind="majority", labels=labels),
        Setting("discriminant with the generator's true statistics", kind="oracle", labels=labels),
    ]


def _table_3(column: int, quick: bool) -> list[Setting]:
    """Ten labels, read as ten trials and as ten windows, and with every class (not the paper's protocol)."""
    rows = [
        _network(model, labels=labels, paper=None if labels is TWO_A_CLASS else MMV_TABLE_3[model][column])
        for labels in ([TEN_TRIALS, TEN_WINDOWS] if quick else [TEN_TRIALS, TEN_WINDOWS, TWO_A_CLASS])
        for model in _NETWORKS
    ]
    return rows + _references(TEN_TRIALS) + _ours(TEN_TRIALS, ("both", "eeg"), quick)


def _table_4(column: int, quick: bool) -> list[Setting]:
    """Unmasked fine-tuning, masked in the test alone; then masks in fine-tuning and test alike."""
    unmasked = [_network(model, labels=TEN_TRIALS, test_masks=MASKS) for model in _NETWORKS]
    masked = [
        _network(model, labels=TEN_TRIALS, mask=mask, paper=(MMV_TABLE_4[model][column][at], None))
        for at, mask in enumerate(MASKS)
        for model in _NETWORKS
    ]
    lda = Setting("shrinkage LDA", kind="lda", labels=TEN_TRIALS, test_masks=MASKS)
    references = [lda, _lda("eeg", TEN_TRIALS, test_masks=MASKS)]
    return unmasked + masked + references + _ours(TEN_TRIALS, ("both", "eeg"), quick, test_masks=MASKS)
