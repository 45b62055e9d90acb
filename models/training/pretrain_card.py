"""The card of a pre-trained model."""

from __future__ import annotations

from collections.abc import Mapping

from models.config import ModelConfig
from models.training.corpus_sources import Corpus
from models.training.pretrain_loop import LoopOptions, Outcome

_NAMES = {"eeg": "EEG", "eye": "eye features"}


def pretraining_card(
    corpus: Corpus,
    config: ModelConfig,
    loop: LoopOptions,
    outcomes: Mapping[str, Outcome],
    choices: Mapping[str, str],
    n_processes: int,
) -> str:
    """Return the card, Markdown.

    Parameters
    ----------
    choices : mapping of str to str
        More of the protocol, by name; an empty one is left out.
    """
    return "\n".join(
        [
            "# Affectscope, pre-trained encoders\n",
            f"Self-supervised: {config.trained_on}. It has no classifier: `affectscope finetune` makes "
            "one.\n",
            *_data(corpus, config),
            "\n## Protocol\n",
            f"MV-SSTMA masked autoencoder, one for each of {', '.join(_NAMES[m] for m in outcomes)}; loss on "
            "the hidden channels alone. Normalisation fitted to the pre-training part.\n",
            f"- learning rate: {loop.learning_rate:g}, AdamW (weight decay {loop.weight_decay:g}), warm-up "
            f"over {loop.warm_up:.0%} of the steps, then a half cosine; no dropout",
            f"- processes: {n_processes}",
            *(f"- {name}: {text}" for name, text in choices.items() if text),
            *_figures(outcomes),
            *_limits(corpus),
        ]
    )


def _data(corpus: Corpus, config: ModelConfig) -> list[str]:
    lines = ["## Data\n", *(f"- {line}" for line in corpus.words())]
    origin = "by the functions that serve live" if corpus.features == "raw" else "as published with the set"
    lines.append(f"- features {origin}; {len(config.ch_names)} EEG channels; no label was read into training")
    if config.transductive:
        lines.append(
            "- **Transductive:** test trials of the published splits entered pre-training, without labels. "
            "Figures on them must say so."
        )
    elif corpus.n_test:
        lines.append(f"- {corpus.n_test} test trials of the published splits did not enter")
    if any(not source.is_dataset for source in corpus.used):
        lines.append("- recordings entered whole: a test on one of them would be transductive")
    lines += [f"- left out: {entry.subject}: {entry.why}" for entry in corpus.left_out]
    return lines


def _figures(outcomes: Mapping[str, Outcome]) -> list[str]:
    lines = [
        "\n## Figures\n",
        "Squared error on hidden channels in units of their variance: 1 is what guessing the mean gives. On "
        "training windows; `loss.jsonl` has the curve.\n",
        "| | first epoch | last epoch | epochs | steps | windows | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for modality, outcome in outcomes.items():
        lines.append(
            f"| {_NAMES[modality]} | {outcome.losses[0]:.3f} | {outcome.losses[-1]:.3f} "
            f"| {len(outcome.losses)} | {outcome.n_steps} | {outcome.n_windows} | {outcome.seconds:.0f} |"
        )
    return lines


def _limits(corpus: Corpus) -> list[str]:
    lines = [
        "\n## Limits\n",
        "- It tells no emotion. What it learned is which channels go together in these people and devices.",
    ]
    if corpus.features == "published":
        lines.append(
            "- Published features are smoothed with what comes later, so neither this model nor one "
            "fine-tuned from it runs live: pre-train with `--features raw` for that."
        )
    return [
        *lines,
        "- Not for workplace or education.",
        "- Licence: the program's is GPL-3.0-or-later; the data's own terms bind what is made from them.",
        "",
    ]
