"""Which network the EAV table is of: a preset, with open weights for face and voice where they are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.errors import InputError
from models.checkpoint import save_checkpoint
from models.config import ModelConfig, preset
from models.datasets import eav
from models.encoders.transformer import AstEncoder, VitEncoder, open_ast, open_vit
from models.features.log_mel import n_log_mel_frames
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.cards import GENERATED, LICENCE, LIMITS_OF_FEW, ModelCard, bullets
from models.training.loop import StageOptions
from models.training.scores import wilson_interval
from models.training.tables import Entry

_ENCODERS = {"face": "ViT", "voice": "AST"}
HEAD = ", head"  # a stage of a modality, before its own
#: Of an encoder with open weights: its head while it is frozen, then both. Epochs and rates are those of the
#: paper's code: at the head's rate the encoder would lose what its open weights hold.
_OPEN_STAGES = {
    "face" + HEAD: StageOptions(epochs=10, batch_size=64, learning_rate=5e-4),
    "face": StageOptions(epochs=5, batch_size=64, learning_rate=5e-6),
    "voice" + HEAD: StageOptions(epochs=10, batch_size=8, learning_rate=5e-4),
    "voice": StageOptions(epochs=15, batch_size=8, learning_rate=5e-6),
}
_PAPER_BATCH = {"face": 128, "voice": 8}


@dataclass(frozen=True)
class EavNetwork:
    """A preset's sizes, and folders or hub names that face and voice begin with; empty: at random.

    What they hold is read by `config`, once for all people: each takes that.
    """

    preset: str = "small"
    face_weights: str = ""
    voice_weights: str = ""

    def config(self) -> ModelConfig:
        """Return the network's config; sizes of encoders with open weights, and their features, are theirs.

        Raises
        ------
        InputError
            There is no such preset, the weights are of no ViT or AST, or they take less than 5 s of voice.
        """
        base = preset(self.preset, labels=eav.LABELS, ch_names=eav.CH_NAMES, eeg_encoder="eegformer")
        sizes, features = base.network, base.features
        if self.face_weights:
            sizes = replace(sizes, face=open_vit(self.face_weights))
        if self.voice_weights:
            sizes = replace(sizes, voice=open_ast(self.voice_weights))
            n_frames = n_log_mel_frames(round(base.windows.voice_s * features.voice_sfreq))
            if sizes.voice.max_frames < n_frames:
                raise InputError(
                    f"max_length: expected at least {n_frames} frames, {base.windows.voice_s:g} s of voice, "
                    f"found {sizes.voice.max_frames}",
                    where=self.voice_weights,
                    remedy="name an AST for clips at least as long",
                )
        if self.face_weights or self.voice_weights:  # no longer of the preset's size
            sizes = replace(sizes, preset=f"{self.preset}, open weights")
        features = replace(features, face_size=sizes.face.image_size, n_mels=sizes.voice.n_mels)
        return replace(base, network=sizes, features=features)

    def check_weights(self) -> None:
        """Load the open weights once, so that what is wrong with them is said before anybody is read.

        A hub name is downloaded here.

        Raises
        ------
        InputError
            They cannot be had, or do not fit their own config.
        """
        sizes = self.config().network
        if self.face_weights:
            VitEncoder(sizes.face).load_open_weights()
        if self.voice_weights:
            AstEncoder(sizes.voice).load_open_weights()

    def open_stages(self) -> dict[str, StageOptions]:
        """Return the stages of the encoders that begin with open weights: the head's, then the modality's."""
        given = {"face": self.face_weights, "voice": self.voice_weights}
        names = [name for modality, source in given.items() if source for name in (modality + HEAD, modality)]
        return {name: _OPEN_STAGES[name] for name in names}

    def differs(self, config: ModelConfig, stages: Mapping[str, StageOptions]) -> tuple[str, ...]:
        """Return sentences on each encoder, or on both, that the paper's are not like.

        Parameters
        ----------
        config : ModelConfig
            Of `config`.
        stages : mapping of str to StageOptions
            What is run, which may be less than `open_stages`.
        """
        sources, words = origins(config), []
        sized = "of that size" if self.preset == "paper" else "small, unless --preset paper is given,"
        random = [modality for modality in _ENCODERS if modality not in sources]
        if len(random) == 2:
            words.append(
                f"The paper's ViT and AST are of base size with open weights; here they are {sized} and "
                "begin at random, without --face-weights and --voice-weights."
            )
        elif random:
            words.append(
                f"The paper's {_ENCODERS[random[0]]} is of base size with open weights; here it is {sized} "
                f"and begins at random, without --{random[0]}-weights."
            )
        for modality, source in sources.items():
            size = config.network.face if modality == "face" else config.network.voice
            words.append(
                f"The {_ENCODERS[modality]} begins with the weights of {source} ({size.n_layers} layers of "
                f"width {size.width}). {_training_words(modality, stages)}"
            )
        if "face" in sources:
            words.append("Faces are cut and scaled by this program, not by the ViT's own preprocessor.")
        if "voice" in sources:
            words.append(
                "Of the AST all time columns are read, not its two summary tokens, and 5 s are not filled up "
                "with silence."
            )
        return tuple(words)


def _training_words(modality: str, stages: Mapping[str, StageOptions]) -> str:
    names = modality + HEAD, modality
    head, both = (stages[name] for name in names)
    paper_head, paper_both = (_OPEN_STAGES[name] for name in names)
    return (
        f"Its head trains first, {head.epochs:g} epochs at a learning rate of up to {_rate(head)} with the "
        f"encoder frozen, then both, {both.epochs:g} epochs at up to {_rate(both)}, in batches of "
        f"{both.batch_size}; the paper's code has {paper_head.epochs:g} and {paper_both.epochs:g} epochs at "
        f"constant {_rate(paper_head)} and {_rate(paper_both)}, in batches of {_PAPER_BATCH[modality]}."
    )


def _rate(stage: StageOptions) -> str:
    return f"{stage.learning_rate:.0e}".replace("e-0", "e-")


def origins(config: ModelConfig) -> dict[str, str]:
    """Return which folder or hub name the weights of face and voice came from, by modality."""
    sources = {"face": config.network.face.source, "voice": config.network.voice.source}
    return {modality: source for modality, source in sources.items() if source}


def origin_words(config: ModelConfig) -> str:
    """Return the same in words, for the modalities that were trained; empty where all began at random."""
    parts = [
        f"{_ENCODERS[modality]} from {source}"
        for modality, source in origins(config).items()
        if modality in config.modalities
    ]
    return ", ".join(parts)


_NAMES = {"eeg": "EEG", "face": "face", "voice": "voice"}
_HEAD_FIRST = "Where an encoder begins with open weights, its head trains first while it is frozen. "


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
    marks = {
        GENERATED: model.is_generated,
        "Made with --quick: few epochs and frames, no figure to quote.": model.is_quick,
    }
    begun = origin_words(config)
    inputs = [
        f"**Inputs:** {', '.join(_NAMES[m] for m in config.modalities)}; {len(config.ch_names)} EEG channels "
        f"known, windows of {config.windows.eeg_step_s:g} s.",
        f"**Encoders:** EEGformer, ViT, AST, of size {config.network.preset}. **Fusion:** shared attention.",
        f"**Before training:** {f'{begun}; all else' if begun else 'all weights'} at random.",
    ]
    card = ModelCard(
        f"Affectscope, one person of EAV: {', '.join(config.labels)}",
        f"Data: {config.trained_on}. It runs live.\n\n{bullets(inputs)}",
        [mark for mark, applies in marks.items() if applies],
        {
            "Protocol": [
                f"{model.protocol} Each encoder trains alone by its own head and is then frozen; shared "
                f"attention and an MLP train on their tokens. {_HEAD_FIRST if begun else ''}"
                "Normalisation and the number of epochs come from no test clip."
            ],
            "Figures": [
                f"On test trials of the same person and session; chance is {1 / len(config.labels):.0%}.",
                bullets(f"{name}: {_figure(name, entry)}" for name, entry in entries.items()),
            ],
            "Limits": [
                "It knows one person in one session, speaking, with one cap, camera and microphone. "
                f"{LIMITS_OF_FEW}"
            ],
            "Licence": [f"{LICENCE} The open weights' own binds too." if begun else LICENCE],
        },
    )
    return card.markdown()


def _figure(name: str, entry: Entry) -> str:
    unit = "frame" if name.endswith("per frame") else "clip"
    low, high = wilson_interval(entry.trial.accuracy, entry.trial.n)
    return (
        f"{entry.window.accuracy:.1%} of {entry.window.n} {unit}s; per trial {entry.trial.accuracy:.1%} "
        f"(95 % interval {low:.0%} to {high:.0%}, {entry.trial.n} trials)"
    )
