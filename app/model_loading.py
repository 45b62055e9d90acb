"""From a session's options to the model, on the device it runs on."""

import gc
import os
from collections.abc import Callable
from dataclasses import replace

import torch

from acquisition.errors import ErrorCode, InputError
from app.request import SessionOptions
from calibration.profile import apply_profile, load_profile
from calibration.storage import default_weights_folder
from models.checkpoint import Checkpoint, load_checkpoint
from models.config import ModelConfig
from models.decoder import Decoder
from models.encoders.expression import LandmarkNet
from models.weights import FACE_LANDMARKS, load_installed


def load_model(options: SessionOptions) -> Checkpoint:
    """Load the checkpoint and set the number of CPU threads of its network.

    The ``small`` preset is fastest with one thread next to the acquire thread; its results then do not
    depend on the number of cores either.
    """
    checkpoint = _personal(load_checkpoint(options.model), options)
    check_runs_live(checkpoint.config, str(options.model))
    checkpoint = replace(checkpoint, config=_with_thresholds(checkpoint.config, options))
    small = checkpoint.config.network.preset == "small"
    n_cores = os.cpu_count() or 1
    if options.threads > n_cores:  # far more threads than cores bring everything to a standstill
        what = f"expected 0 to {n_cores}, the number of cores, got {options.threads}"
        raise InputError(what, where="--threads")
    torch.set_num_threads(options.threads or (1 if small else torch.get_num_threads()))
    if gc.get_freeze_count() == 0:
        gc.freeze()  # modules and model stay: a full collection would look at them for 100 ms, mid-session
    return checkpoint


def _with_thresholds(config: ModelConfig, options: SessionOptions) -> ModelConfig:
    """Return the model's rules of presence and of answering with what the options say of them."""
    if options.min_coverage is not None:
        config = replace(config, windows=replace(config.windows, min_coverage=options.min_coverage))
    if options.answer_from is None:
        return config
    if config.answers is None:
        what, remedy = "this model states no error of its answers: its rule is fixed", "omit --answer-from"
        raise InputError(what, where="--answer-from", remedy=remedy, code=ErrorCode.MODEL)
    least = max(config.answers.abstain_below, options.answer_from)  # a lower one would break the error stated
    return replace(config, answers=replace(config.answers, abstain_below=least))


def _personal(checkpoint: Checkpoint, options: SessionOptions) -> Checkpoint:
    if options.profile is None:
        return checkpoint
    where = f"--profile {options.profile}"
    profile = load_profile(options.profile)
    summary = profile.summary
    was_in_degrees = summary.screen_cm is not None and summary.distance_cm is not None
    is_in_degrees = options.screen() is not None
    if "eye" in summary.modalities and was_in_degrees != is_in_degrees:
        units = ("degrees", "shares of the screen")
        was, now = units if was_in_degrees else units[::-1]
        raise InputError(
            f"this profile was fitted with gaze in {was}; here it is in {now}",
            where=where,
            code=ErrorCode.PROFILE,
            in_degrees=int(was_in_degrees),
            remedy="give --screen-cm and --distance-cm as in the calibration"
            if was_in_degrees
            else "omit --screen-cm and --distance-cm, as in the calibration",
        )
    return apply_profile(profile, checkpoint, where, line_hz=options.line)


def check_runs_live(config: ModelConfig, where: str) -> None:
    """Refuse a model without a classifier, or of features that only a published data set has."""
    if not config.is_classifier:
        what = "this model is pre-trained only and has no classifier"
        remedy = "fine-tune it: affectscope finetune --model ... --out ..., and use the result"
        raise InputError(what, where=where, code=ErrorCode.MODEL, remedy=remedy)
    if config.feature_origin != "raw":
        features = f"features as published with its data set, one every {config.step_s:g} s"
        what = f"this model reads {features} and smoothed with later data: they cannot be computed live"
        remedy, origin = "train it with --features raw", config.feature_origin
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.MODEL, feature_origin=origin)


def make_decoder(
    checkpoint: Checkpoint, options: SessionOptions, on_failure: Callable[[str], None]
) -> Decoder:
    if options.normalise == "training" and checkpoint.evidence is not None:
        told = checkpoint.evidence.discriminant
        level = {modality: told.part(modality).level.mean for modality in told.modalities}
        checkpoint = replace(checkpoint, level=level, normalisation="training")
    landmarks = None
    if options.face_landmarks:
        landmarks = LandmarkNet(load_installed(FACE_LANDMARKS, default_weights_folder()).tensors)
    return Decoder(
        checkpoint,
        landmarks=landmarks,
        device=choose_device(options.device),
        screen=options.screen(),
        line_hz=options.line,
        baseline_s=options.baseline_s,
        on_failure=on_failure,
    )


def choose_device(wanted: str) -> str:
    """Return ``cpu`` or ``cuda``; refuse CUDA if it is not available."""
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        what = "no CUDA device is available to this build of torch"
        remedy = "use --device cpu, or install a CUDA build of torch"
        raise InputError(what, where="--device cuda", remedy=remedy, code=ErrorCode.DEVICE)
    return "cuda" if wanted == "cuda" or (wanted == "auto" and has_cuda) else "cpu"
