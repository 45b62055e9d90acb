"""A setting for each row of the two papers' tables, beside the figures that they print: ``printed.toml``."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.training.evaluate_trials import MASKS
from models.training.sources import Labels
from models.training.tables import Figure

_PRINTED = tomllib.loads(Path(__file__).with_name("printed.toml").read_text("utf-8"))
MMV: dict[str, Any] = _PRINTED["mmv"]  # of SEED-IV and SEED-V
EAV: dict[str, Any] = _PRINTED["eav"]
_COLUMN = {"seed-iv": 0, "seed-v": 1}


@dataclass(frozen=True)
class EavRow:
    """What a row of our table counts, and the paper's figures beside it: those that count the same."""

    unit: str  # clip, of 5 s | frame
    column: int | None = None  # of Table I, which counts frames where there is a video, else clips


EAV_ROWS = {
    "Vision": EavRow("clip"),
    "Audio": EavRow("clip", 1),
    "EEG": EavRow("clip", 2),
    "Multimodal": EavRow("clip"),
    "Vision, per frame": EavRow("frame", 0),
    "Multimodal, per frame": EavRow("frame", 3),
}

ALL_LABELS = Labels()
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


@dataclass(frozen=True)
class Setting:
    """One row of a table, before it has figures."""

    model: str  # as the paper calls it, or our own words
    kind: str = "network"  # or a name of `reproduce.BASELINES`, or `OURS`
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


def _figure(table: int, row: str, column: int) -> Figure:
    mean, sd = MMV[f"table_{table}"][row][column]
    return mean, sd


def _table_1(column: int, quick: bool) -> list[Setting]:
    """With and without pre-training, each signal alone; by all labels and by ten."""
    wanted = [TEN_TRIALS] if quick else [ALL_LABELS, TEN_TRIALS]
    rows = [
        Setting(
            f"MV-SSTMA-{signal}",
            modalities=(signal.lower(),),
            pretrained=pretrained,
            labels=labels,
            paper=_figure(1, f"{signal}{words}", column),
        )
        for labels in wanted
        for signal in ("EEG", "EYE")
        for pretrained, words in ((False, ""), (True, ", pre-trained"))
    ]
    for labels in wanted:
        rows += [_lda(signal, labels) for signal in ("eeg", "eye")] + _ours(labels, ("eeg", "eye"), quick)
    return rows


def _table_2(column: int, quick: bool) -> list[Setting]:
    """All labels: fusion, beside references of our own."""
    figures = {model: _figure(2, model, column) for model in _NETWORKS}
    rows = [_network(m, alone=m == "MMV-SSTMA-Att", paper=figure) for m, figure in figures.items()]
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
    ]


def _table_3(column: int, quick: bool) -> list[Setting]:
    """Ten labels, read as ten trials and as ten windows, and with every class (not the paper's protocol)."""
    rows = [
        _network(model, labels=labels, paper=None if labels is TWO_A_CLASS else _figure(3, model, column))
        for labels in ([TEN_TRIALS, TEN_WINDOWS] if quick else [TEN_TRIALS, TEN_WINDOWS, TWO_A_CLASS])
        for model in _NETWORKS
    ]
    return rows + _references(TEN_TRIALS) + _ours(TEN_TRIALS, ("both", "eeg"), quick)


def _table_4(column: int, quick: bool) -> list[Setting]:
    """Unmasked fine-tuning, masked in the test alone; then masks in fine-tuning and test alike."""
    unmasked = [_network(model, labels=TEN_TRIALS, test_masks=MASKS) for model in _NETWORKS]
    masked = [
        _network(model, labels=TEN_TRIALS, mask=mask, paper=(MMV["table_4"][model][column][at], None))
        for at, mask in enumerate(MASKS)
        for model in _NETWORKS
    ]
    lda = Setting("shrinkage LDA", kind="lda", labels=TEN_TRIALS, test_masks=MASKS)
    references = [lda, _lda("eeg", TEN_TRIALS, test_masks=MASKS)]
    return unmasked + masked + references + _ours(TEN_TRIALS, ("both", "eeg"), quick, test_masks=MASKS)
