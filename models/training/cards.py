"""Model cards: what a model is, what trained it, how well it does, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acquisition.types import MODALITY_NAMES

if TYPE_CHECKING:
    from models.config import ModelConfig
    from models.training.evaluate_trials import ScoreReport
    from models.training.finetune import Finetuned
    from models.training.pretrain_loop import LoopOptions, Outcome
    from models.training.simulated import TrainingOptions
    from models.training.sources import Corpus

GENERATED = "Generated data: no real subjects."
NOT_FOR = "Not for workplaces or education; people exposed to it must be informed."
LIMITS_OF_FEW = (
    "Results from few trials have wide intervals (given beside them). The output says what the signals "
    f"resemble, not what a person feels. {NOT_FOR}"
)
LICENCE = "Weights: the licence of their training data. Program: GPL-3.0-or-later."
#: Instead of a report, where a classifier was trained further: see `models.training.finetune_config`.
NO_FIGURES = "none: the initial classifier may have been trained on these trials"


@dataclass(frozen=True)
class ModelCard:
    """The content of a model folder's README."""

    title: str
    intro: str
    marks: Sequence[str] = ()  # in bold above everything: what must be quoted with every result
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)  # paragraphs by heading

    def markdown(self) -> str:
        """Return the card as Markdown."""
        parts = [f"# {self.title}", *(f"**{mark}**" for mark in self.marks), self.intro]
        for heading, paragraphs in self.sections.items():
            parts += [f"## {heading}", *paragraphs]
        return "\n\n".join(part for part in parts if part) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def pretraining_card(
    corpus: Corpus,
    config: ModelConfig,
    loop: LoopOptions,
    outcomes: Mapping[str, Outcome],
    choices: Mapping[str, str],
    n_processes: int,
) -> str:
    """Return the card of pre-trained encoders; ``choices`` are more of the protocol, by name."""
    protocol = [
        f"learning rate: {loop.learning_rate:g}, AdamW (weight decay {loop.weight_decay:g}), warm-up over "
        f"{loop.warm_up:.0%} of the steps, then a half cosine; no dropout",
        f"processes: {n_processes}",
        *(f"{name}: {text}" for name, text in choices.items() if text),
    ]
    figures = [
        (MODALITY_NAMES[modality], f"{of.losses[0]:.3f}", f"{of.losses[-1]:.3f}", str(len(of.losses)),
         str(of.n_steps), str(of.n_windows), f"{of.seconds:.0f}")
        for modality, of in outcomes.items()
    ]  # fmt: skip
    header = ("", "first epoch", "last epoch", "epochs", "steps", "windows", "seconds")
    limits = [
        "It does not predict emotion. It learned which channels vary together in these subjects and devices."
    ]
    if corpus.features == "published":
        limits.append(
            "Published features are smoothed with future data, so neither this model nor one "
            "fine-tuned from it runs live: pre-train with `--features raw` for that."
        )
    card = ModelCard(
        "Affectscope, pre-trained encoders",
        f"Self-supervised: {config.trained_on}. It has no classifier: `affectscope finetune` makes one.",
        sections={
            "Data": [bullets(_corpus_lines(corpus, config))],
            "Protocol": [
                f"MV-SSTMA masked autoencoder, one for each of "
                f"{', '.join(MODALITY_NAMES[m] for m in outcomes)}; "
                "loss on the masked channels only. Normalisation fitted to the pre-training data.",
                bullets(protocol),
            ],
            "Figures": [
                "Mean squared error on masked channels divided by their variance (1 = predicting the mean), "
                "on training windows; the curve is in `loss.jsonl`.",
                markdown_table(header, figures),
            ],
            "Limits": [bullets([*limits, NOT_FOR, LICENCE])],
        },
    )
    return card.markdown()


def _corpus_lines(corpus: Corpus, config: ModelConfig) -> list[str]:
    origin = "computed by the live code" if corpus.features == "raw" else "as published with the set"
    lines = [
        *corpus.words(),
        f"features {origin}; {len(config.ch_names)} EEG channels; no labels used",
    ]
    if config.transductive:
        lines.append(
            "**Transductive:** test trials of the published splits were used in pre-training, without "
            "labels. Results on them must be marked transductive."
        )
    elif corpus.n_test:
        lines.append(f"{corpus.n_test} test trials of the published splits were not used")
    if any(not source.is_dataset for source in corpus.used):
        lines.append("recordings were used in full: a test on one of them would be transductive")
    return lines + [f"excluded: {entry.subject}: {entry.why}" for entry in corpus.excluded]


def finetuned_card(
    model: Finetuned, report: ScoreReport | None, command: str, generated: bool, quick: bool
) -> str:
    """Return the card of a fine-tuned classifier."""
    config = model.config
    runs_live = (
        "It runs live."
        if config.feature_origin == "raw"
        else "It uses the published features, which are smoothed with future data: for offline tables only; "
        "`live` rejects it."
    )
    marks = {
        GENERATED: generated,
        "Made with --quick: few epochs and windows; do not quote these results.": quick,
        "Transductive: test trials were used in pre-training, without labels. Results on them must be marked "
        "transductive.": config.transductive,
    }
    inputs = [
        f"**Inputs:** {' and '.join(config.modalities)}; {len(config.ch_names)} EEG channels, windows "
        f"of {config.windows.eeg_n_steps} steps, one every {config.step_s:g} s.",
        f"**Fusion:** {config.network.fusion.variant}. **Outputs:** {', '.join(config.labels)}.",
    ]
    card = ModelCard(
        f"Affectscope, fine-tuned: {', '.join(config.labels)}",
        f"Written by `{command}`. Data: {config.trained_on}. {runs_live}\n\n{bullets(inputs)}",
        [mark for mark, applies in marks.items() if applies],
        {
            "Training": [bullets(model.notes)],
            "Figures": [bullets(report.lines() if report else [NO_FIGURES])],
            "Limits": [f"Valid only for its training subjects, day and classes. {LIMITS_OF_FEW}"],
            "Licence": [LICENCE],
        },
    )
    return card.markdown()


def simulated_card(options: TrainingOptions, labels: Sequence[str]) -> str:
    """Return the card of a model trained on simulated subjects alone."""
    lines = [
        "**What it is for:** trying the program, its timing and its displays on simulated devices.",
        "**What it is not for:** predictions about real people: it was trained on none. "
        "Not for workplaces or education.",
        "**Inputs:** any subset of its 62 EEG channels (DE in five bands), 33 eye features, face crops, "
        "voice.",
        f"**Outputs:** {', '.join(labels)}; attention per modality, EEG channel and time step.",
        "**Protocol:** each encoder alone, then frozen, then shared attention over modality tokens with "
        "modality dropout; normalisation fitted on the training subjects. `affectscope evaluate simulated` "
        "gives its figures on subjects not seen in training.",
        "**Licence:** GPL-3.0-or-later.",
    ]
    card = ModelCard(
        "Affectscope small, simulated data only",
        f"Trained by `affectscope train --simulated` on {options.n_subjects - options.n_validation} "
        f"simulated subjects ({options.n_trials} trials of {options.trial_s:g} s each, five emotions, "
        f"difficulty {options.difficulty}, seed {options.seed}); {options.n_validation} more set the softmax "
        f"temperature. No recordings of real people were used.\n\n{bullets(lines)}",
    )
    return card.markdown()
