"""A person's network of the EAV table as a model folder, with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError
from models.checkpoint import save_checkpoint
from models.features.normalise import Normaliser
from models.network import FusionNetwork
from models.training.eav_network import origin_words
from models.training.scores import wilson_interval
from models.training.tables import Entry

_NAMES = {"eeg": "EEG", "face": "face", "voice": "voice"}
_HEAD_FIRST = "Where an encoder begins with open weights, its head trains first while it is frozen.\n"


@dataclass(frozen=True, eq=False)
class PersonModel:
    """What of one person's training is kept."""

    network: FusionNetwork
    normaliser: Normaliser
    protocol: str  # in words
    is_generated: bool
    is_quick: bool


def save_person(folder: Path, model: PersonModel, entries: Mapping[str, Entry]) -> str:
    """Write the folder and return the model's SHA-256.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    card = person_card(model, entries)
    try:
        return save_checkpoint(folder, model.network.config, model.network, model.normaliser.to_dict(), card)
    except OSError as error:
        raise InputError(
            f"the model cannot be written: {error.strerror}", where=str(folder), remedy="name another --out"
        ) from error


def person_card(model: PersonModel, entries: Mapping[str, Entry]) -> str:
    """Return the card, Markdown: data, protocol, figures, limits, licence."""
    config = model.network.config
    marks = ("**Generated data: nobody was measured.**\n\n" if model.is_generated else "") + (
        "**Made with --quick: few epochs and frames, no figure to quote.**\n\n" if model.is_quick else ""
    )
    figures = "\n".join(f"- {name}: {_figure(name, entry)}" for name, entry in entries.items())
    begun = origin_words(config)
    head_first = _HEAD_FIRST if begun else ""
    licence = ", and that of the open weights" if begun else ""
    return f"""# Affectscope, one person of EAV: {", ".join(config.labels)}

{marks}Data: {config.trained_on}. It runs live.

- **Inputs:** {", ".join(_NAMES[m] for m in config.modalities)}; {len(config.ch_names)} EEG channels known,
  windows of {config.windows.eeg_step_s:g} s.
- **Encoders:** EEGformer, ViT, AST, of size {config.network.preset}. **Fusion:** shared attention.
- **Before training:** {f"{begun}; all else" if begun else "all weights"} at random.

## Protocol
{model.protocol} Each encoder trains alone by its own head and is then frozen; shared attention and an MLP
train on their tokens. {head_first}Normalisation and the number of epochs come from no test clip.

## Figures
On test trials of the same person and session; chance is {1 / len(config.labels):.0%}.

{figures}

## Limits
It knows one person in one session, speaking, with one cap, camera and microphone. A figure from few trials
has the wide interval that stands beside it. It tells what signals resemble, not what a person feels. Not for
workplace or education; people exposed must be informed.

## Licence
Of the weights: that of the data they were trained on{licence}; of the program: GPL-3.0-or-later.
"""


def _figure(name: str, entry: Entry) -> str:
    unit = "frame" if name.endswith("per frame") else "clip"
    low, high = wilson_interval(entry.trial.accuracy, entry.trial.n)
    return (
        f"{entry.window.accuracy:.1%} of {entry.window.n} {unit}s; per trial {entry.trial.accuracy:.1%} "
        f"(95 % interval {low:.0%} to {high:.0%}, {entry.trial.n} trials)"
    )
