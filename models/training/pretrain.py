"""Self-supervised pre-training of MV-SSTMA: EEG and eye features, each by its own masked autoencoder.

The paper (MMV-SSTMA, section 2.1) gives the learning rate, the share of hidden channels and that the loss
counts hidden channels alone; AdamW, warm-up and cosine are inferred (He et al. 2022, masked autoencoders).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.montage import SEED_CH_NAMES
from acquisition.types import MODALITY_NAMES
from models.checkpoint import save_checkpoint
from models.config import CONTEXTS, ModelConfig, preset
from models.datasets import eav
from models.datasets.trials import TRIAL_MODALITIES
from models.encoders.mv_sstma import MvSstmaEncoder
from models.features.config import FeatureConfig
from models.network import FusionNetwork
from models.normalise import EegScale, EyeScale, Normaliser
from models.process import keep_freed_memory
from models.training.cards import LICENCE, NOT_FOR, card_of, markdown_table
from models.training.corpus import CorpusWindows, Entry, fit_eeg_scale, fit_eye_scale
from models.training.loop import Report
from models.training.pretrain_loop import LoopOptions, MaskedAutoencoder, Outcome, World, run_loop
from models.training.provenance import record_of_recordings, write_record
from models.training.sources import Corpus, Source, kind_of_features, open_corpus

MODALITIES = TRIAL_MODALITIES


@dataclass(frozen=True)
class PretrainOptions:
    """What is trained on what, and for how long."""

    sources: tuple[Source, ...]
    out: Path
    cache: Path | None = None  # beside ``out`` without it
    features: str | None = None  # raw | published; see `kind_of_features`
    modalities: tuple[str, ...] | None = None  # those the corpus has
    batch: int = 64  # windows, over all processes
    mask: float = 0.3  # share of hidden channels
    seed: int = 1
    resume: bool = False
    quick: bool = False
    context: str = "window"  # of the EEG's MvSstmaConfig
    most_a_pass: int | None = None  # windows an epoch
    line_hz: float | None = None
    loop: LoopOptions = field(default_factory=lambda: LoopOptions(epochs=30))


@dataclass(frozen=True)
class Pretrained:
    """What a run wrote."""

    sha256: str
    outcomes: dict[str, Outcome]
    corpus: Corpus


def pretrain(options: PretrainOptions, world: World, report: Report) -> Pretrained | None:
    """Train and write the model folder; None in processes that do not write."""
    _check(options, world)
    keep_freed_memory()
    corpus = _corpus(options, world, report)
    config = model_config(corpus, options)
    if world.is_first and not options.resume:
        with file_errors("the folder cannot be written", f"--out {options.out}", "choose another"):
            options.out.mkdir(parents=True, exist_ok=True)
            for path in (*(options.out / "resume").glob("*.safetensors"), options.out / "loss.jsonl"):
                path.unlink(missing_ok=True)
    world.wait()
    recordings = [source.path for source in corpus.used if not source.is_dataset]
    record = record_of_recordings(recordings if world.is_first else (), labels=False)
    torch.manual_seed(options.seed)
    network = FusionNetwork(config)
    scales: dict[str, EegScale | EyeScale] = {}
    outcomes: dict[str, Outcome] = {}
    for modality in config.modalities:
        n_steps = config.windows.eeg_n_steps if modality == "eeg" else config.windows.eye_n_steps
        n_context_steps = getattr(config.network, modality).n_context_steps
        windows = CorpusWindows(
            corpus.entries, modality, config.ch_names, n_steps, options.batch, options.seed,
            options.most_a_pass, n_context_steps,
        )  # fmt: skip
        model, scales[modality] = _autoencoder(network, corpus.entries, modality, options)
        settings = _settings(options, corpus, config, modality)
        outcomes[modality] = run_loop(
            model, windows, options.loop, world, options.out,
            settings=settings, resume=options.resume, report=report if world.is_first else lambda *_: None,
        )  # fmt: skip
        model.to("cpu")
        World().join_statistics(model)
    if not world.is_first:
        return None
    normaliser = Normaliser(**scales)  # type: ignore[arg-type]
    card = _card(options, corpus, config, outcomes, world.size)
    sha256 = save_checkpoint(options.out, config, network, normaliser.to_dict(), card)
    write_record(options.out, replace(record, quick=options.quick))
    return Pretrained(sha256, outcomes, corpus)


def model_config(corpus: Corpus, options: PretrainOptions) -> ModelConfig:
    """Return the network's config; its channels are those of SEED's 62, or EAV's 30 alone, that there are."""
    there = {name for entry in corpus.entries for name in entry.ch_names}
    only_eav = {source.kind for source in corpus.used} == {"eav"}
    ch_names = [name for name in (eav.CH_NAMES if only_eav else SEED_CH_NAMES) if name in there]
    n_eye = max(entry.n_eye for entry in corpus.entries)
    found = tuple(m for m, has in (("eeg", bool(ch_names)), ("eye", n_eye > 0)) if has)
    modalities = options.modalities or found
    if missing := [m for m in modalities if m not in found]:
        raise InputError(
            f"no trial or recording has modality {missing[0]!r} to train on"
            + (", and published ones are excluded with raw EEG" if corpus.features == "raw" else ""),
            where=f"--modalities {','.join(modalities)}",
            code=ErrorCode.DATA,
        )
    small = preset(
        "small", labels=("unlabelled",), ch_names=ch_names or ("none",), eeg_context=options.context
    )
    features = replace(small.features, eye_features=31 if 0 < n_eye <= 31 else 33, line_hz=options.line_hz)
    network = replace(small.network, n_eye_features=features.eye_features)
    kinds = ", ".join(dict.fromkeys(f"{'generated ' if s.is_generated else ''}{s.kind}" for s in corpus.used))
    return replace(
        small,
        features=features,
        network=network,
        modalities=tuple(m for m in MODALITIES if m in modalities),
        trained_on=f"pre-trained on {kinds} (unlabelled)",
        is_simulated=any(source.is_generated for source in corpus.used),
        notes="quick: few windows and passes" if options.quick else "",
        is_classifier=False,
        feature_origin=corpus.features,
        step_s=corpus.entries[0].step_s,
    )


def _check(options: PretrainOptions, world: World) -> None:
    mask, batch, epochs, context = options.mask, options.batch, options.loop.epochs, options.context
    known, least = set(options.modalities or MODALITIES) <= set(MODALITIES), 2 * world.size
    for what, value, allowed, expected in (
        ("--mask", mask, 0 < mask < 1, "more than 0 and less than 1"),
        ("--batch", batch, batch >= least, f"at least {least} windows for {world.size} processes"),
        ("--epochs", epochs, epochs >= 1, "at least 1"),
        ("--context", context, context in CONTEXTS, " or ".join(CONTEXTS)),
        ("--modalities", options.modalities, known, "eeg, eye or both"),
    ):
        if not allowed:
            raise InputError(f"expected {expected}, got {value}", where=what)


def _corpus(options: PretrainOptions, world: World, report: Report) -> Corpus:
    """Open the corpus: the first process reads it, then one on each machine that has its own disk."""
    features = kind_of_features(options.sources, options.features)
    out = options.out.absolute()
    cache = options.cache or out.with_name(f"{out.name}-cache")
    if world.is_first:
        report("reading", 0.0, float("nan"), "")
    own_turn = 0 if world.is_first else 1 if world.local_rank == 0 else 2
    for turn in range(3):
        if turn == own_turn:
            config = FeatureConfig(line_hz=options.line_hz)
            corpus = open_corpus(options.sources, cache, config, features=features)
        world.wait()
    if world.is_first:
        report("reading", 1.0, float("nan"), "")
    steps = sorted({entry.step_s for entry in corpus.entries})
    if len(steps) > 1:
        what = f"expected one step length, found {', '.join(f'{s:g} s' for s in steps)}"
        raise InputError(what, where="corpus", remedy="use --features raw for all of it", code=ErrorCode.DATA)
    return corpus


def _autoencoder(
    network: FusionNetwork, entries: Sequence[Entry], modality: str, options: PretrainOptions
) -> tuple[MaskedAutoencoder, EegScale | EyeScale]:
    """Return the autoencoder around the network's own encoder, and the scale fitted to the corpus."""
    config, windows = network.config, network.config.windows
    torch.manual_seed(options.seed + MODALITIES.index(modality))
    if modality == "eeg":
        assert isinstance(network.eeg, MvSstmaEncoder)
        scale = fit_eeg_scale(entries, config.ch_names)
        given = (network.eeg, len(config.ch_names), scale)
        return MaskedAutoencoder(*given, mask_ratio=options.mask, n_counted=windows.eeg_n_steps), scale
    n_features = config.network.n_eye_features
    eye_scale, mean, sd = fit_eye_scale(entries, n_features)
    model = MaskedAutoencoder(
        network.eye, n_features, eye_scale, (mean, sd),
        mask_ratio=options.mask, n_counted=windows.eye_n_steps,
    )  # fmt: skip
    return model, eye_scale


def _settings(options: PretrainOptions, corpus: Corpus, config: ModelConfig, modality: str) -> dict[str, Any]:
    loop = asdict(options.loop)
    kept = ("epochs", "learning_rate", "weight_decay", "betas", "eps", "warm_up")
    return {name: loop[name] for name in kept} | {
        "modality": modality,
        "corpus": [part.key for part in corpus.parts],
        "batch": options.batch,
        "mask": options.mask,
        "seed": options.seed,
        "windows an epoch": options.most_a_pass,
        "channels": list(config.ch_names),
        "network": asdict(getattr(config.network, modality)),
        "windows": asdict(config.windows),
        "features": config.features.digest(),
    }


def _card(
    options: PretrainOptions,
    corpus: Corpus,
    config: ModelConfig,
    outcomes: Mapping[str, Outcome],
    n_processes: int,
) -> str:
    figures = [
        (MODALITY_NAMES[modality], f"{of.losses[0]:.3f}", f"{of.losses[-1]:.3f}", str(len(of.losses)),
         str(of.n_steps), str(of.n_windows), f"{of.seconds:.0f}")
        for modality, of in outcomes.items()
    ]  # fmt: skip
    header = ("", "first epoch", "last epoch", "epochs", "steps", "windows", "seconds")
    return card_of(
        "pretrained",
        options=options,
        config=config,
        n_processes=n_processes,
        modalities=[MODALITY_NAMES[modality] for modality in outcomes],
        corpus=corpus,
        figures=markdown_table(header, figures),
        limits=[NOT_FOR, LICENCE],
    )
