"""Published weights from a folder or, where the user named one, from the hub.

Their folder settles the sizes (``config.json``) and what pixels and log-mel frames they expect
(``preprocessor_config.json``): a linear map of what our features give.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acquisition.errors import ErrorCode, InputError
from acquisition.text import parse_json
from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD

CONFIG_FILE, PREPROCESSOR_FILE = "config.json", "preprocessor_config.json"
WEIGHTS = "model*.safetensors"
#: Gain and offset by input channel, from our features to those that open weights expect.
Scaling = tuple[list[float], list[float]]
_HUB_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w.-]*))?", re.ASCII)
_REMEDY = "give a folder with config.json and model.safetensors, or a hub name and a network"


def refused(what: str, source: str, file: str = "", *, setting: str = "", remedy: str = "") -> InputError:
    """Return the error for an open model, a file or a setting of it that cannot be used."""
    return InputError(
        f"{setting}: {what}" if setting else what,
        where=f"{source}: {file}" if file else source,
        remedy=remedy,
        code=ErrorCode.MODEL,
        file=file,
        setting=setting,
    )


def import_transformers(source: str) -> Any:
    """Return the library `transformers`, an extra that takes seconds to import.

    Raises `InputError` where it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        what = "expected transformers, which builds published classifiers, found none installed"
        remedy = "pip install 'transformers>=5'"
        raise InputError(what, where=source, remedy=remedy, code=ErrorCode.INSTALLATION) from error
    return transformers


def folder_of(source: str, only_words: bool = False) -> Path:
    """Return the folder of a model, downloaded first if it is a hub name that was not yet.

    ``only_words`` fetches its card and settings, not its weights. A hub name is OWNER/NAME or
    OWNER/NAME@COMMIT; one whose first part is a folder here is a mistyped path.
    Raises `InputError`: there is no such folder, or the hub does not give it.
    """
    if not source:
        raise refused("no folder or hub name given", "open weights", remedy="set source in the config")
    folder = Path(source).expanduser()
    if folder.exists():
        return folder
    hub = _HUB_NAME.fullmatch(source)
    if not hub or folder.parent.exists():
        raise refused("expected a folder, found none", source, remedy=_REMEDY)
    return _of_hub(source, hub[1], hub[2], only_words)


def is_hub_name(source: str) -> bool:
    """Tell whether a name has the form of one of the hub."""
    return _HUB_NAME.fullmatch(source) is not None


def pinned(source: str) -> str:
    """Return a hub name with the commit that it stands for now, so that figures can be repeated.

    A folder stays as it is; else OWNER/NAME@COMMIT. Errors are those of `folder_of`.
    """
    folder, hub = folder_of(source), _HUB_NAME.fullmatch(source)
    if not hub or folder == Path(source).expanduser():
        return source
    return f"{hub[1]}@{folder.name}"  # the hub's client names a snapshot's folder by its commit


def _of_hub(source: str, name: str, revision: str | None, only_words: bool) -> Path:
    import_transformers(source)
    from huggingface_hub import snapshot_download  # which comes with it

    wanted = CONFIG_FILE if only_words else WEIGHTS
    files = [CONFIG_FILE, PREPROCESSOR_FILE, "README.md"]
    files += [] if only_words else [WEIGHTS, "model.safetensors.index.json"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=files, local_files_only=True))
        if any(folder.glob(wanted)):  # else the cache holds only what another program asked for
            return folder
    except OSError:
        pass  # not here yet
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except Exception as error:  # its transport has errors of its own, another package's in each version
        what = f"there is no such folder, and the hub does not give it: {_first_line(error)}"
        raise refused(what, source, remedy=_REMEDY) from error


def read_settings(source: str, name: str = CONFIG_FILE) -> dict[str, Any]:
    """Return a JSON file of the model; an empty dict for a preprocessor's that is not there.

    Raises `InputError`: there is no such model, ``config.json`` is missing, or the file is not a JSON object.
    """
    path = folder_of(source) / name
    if name == PREPROCESSOR_FILE and not path.exists():
        return {}
    if path.exists() and not path.is_file():
        raise refused("expected a file", source, name)
    try:
        found = parse_json(path.read_bytes())
    except OSError as error:
        what = f"cannot read {name} of the model ({error.strerror})"
        raise refused(what, source, remedy=_REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise refused(f"is not valid JSON: {error}", source, name) from error
    if not isinstance(found, dict):
        raise refused(f"expected a JSON object, found {type(found).__name__}", source, name)
    return found


def square(value: int | Sequence[int], name: str, source: str) -> int:
    """Return one side of what must be square and not empty, as a patch, in pixels or mel frames."""
    sides = [value] if isinstance(value, int) else list(value)
    if len(set(sides)) != 1 or sides[0] < 1:
        raise refused(f"expected a square, found {value}", source, CONFIG_FILE, setting=name)
    return sides[0]


def numbers(settings: Mapping[str, Any], name: str, default: float, n: int, source: str) -> list[float]:
    """Return n numbers of a preprocessor's settings, of which there may be one for all; finite ones only."""
    value = settings.get(name, default)
    values = list(value) if isinstance(value, list) else [value] * n
    if len(values) != n or not all(isinstance(v, (int, float)) and abs(v) < 1e6 for v in values):
        raise refused(f"expected {n} numbers, found {value}", source, PREPROCESSOR_FILE, setting=name)
    return [float(v) for v in values]


def pixel_scaling(source: str) -> Scaling:
    """Return gain and offset by colour from our pixels, -1 to 1, to those of the model's own."""
    settings = read_settings(source, PREPROCESSOR_FILE)
    mean, sd = (numbers(settings, name, 0.5, 3, source) for name in ("image_mean", "image_std"))
    (rescale,) = numbers(settings, "rescale_factor", 1 / 255, 1, source)
    if not settings.get("do_normalize", True):
        mean, sd = [0.0] * 3, [1.0] * 3
    if min(sd) <= 0:
        raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="image_std")
    half = 255 / 2 * (rescale if settings.get("do_rescale", True) else 1.0)  # their value of our 0
    return [half / s for s in sd], [(half - m) / s for m, s in zip(mean, sd, strict=True)]


def log_mel_scaling(source: str) -> Scaling:
    """Return gain and offset from our log-mel frames to those of the model's own extractor.

    Ours are ``y = (x - AUDIOSET_MEAN) / (2 AUDIOSET_SD)``; with the extractor's own mean and SD, or with
    AudioSet's where it names none, its are ``(x - mean) / (2 SD)`` (Gong et al. 2021), which is
    ``y AUDIOSET_SD / SD + (AUDIOSET_MEAN - mean) / (2 SD)``; x itself where it does not normalise.
    """
    settings = read_settings(source, PREPROCESSOR_FILE)
    (mean,) = numbers(settings, "mean", AUDIOSET_MEAN, 1, source)
    (sd,) = numbers(settings, "std", AUDIOSET_SD, 1, source)
    if sd <= 0:
        raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="std")
    if not settings.get("do_normalize", True):
        return [2 * AUDIOSET_SD], [AUDIOSET_MEAN]
    return [AUDIOSET_SD / sd], [(AUDIOSET_MEAN - mean) / (2 * sd)]


def copy_weights(source: str, model_class: Any, target: nn.Module) -> None:
    """Copy the weights of a model of `transformers` into one of the same size.

    ``source`` is a folder or a hub name, which downloads: this runs only where the user asked for it. Raises
    `InputError`: the name is empty, nothing loads from it, or its sizes differ from the configured ones.
    """
    folder = folder_of(source)
    try:
        with _silence():
            model, report = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,  # a pickle could run anything
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # told below, in our words
                output_loading_info=True,
            )
    except Exception as error:  # damaged weights raise errors of `safetensors`, which are plain exceptions
        what = f"the model cannot be loaded:  {_first_line(error)}"
        raise refused(what, source, remedy=_REMEDY) from error
    _check_complete(report, source)
    _copy(model.state_dict(), target, source)


def _check_complete(report: Mapping[str, Any], source: str) -> None:
    """Refuse weights of other sizes than their own config says: `transformers` would make random ones."""
    remedy = "take config.json and model.safetensors of one and the same model"
    for name, found, expected in sorted(report["mismatched_keys"])[:1]:
        what = f"{name}: expected {tuple(expected)} by config.json, found {tuple(found)}"
        raise refused(what, source, remedy=remedy)
    further = [name for name in report["unexpected_keys"] if "layers." in name]
    for what, names in (("missing", report["missing_keys"]), ("more than config.json has", further)):
        if names:
            some = f"{len(names)} tensors {what}, e.g. {min(names)}"
            raise refused(f"expected the weights of config.json, found {some}", source, remedy=remedy)


def _copy(state: Mapping[str, Tensor], target: nn.Module, source: str) -> None:
    own = target.state_dict()
    for name in sorted(set(own) | set(state)):
        expected, found = own.get(name), state.get(name)
        if expected is None or found is None or expected.shape != found.shape:
            sizes = [None if tensor is None else tuple(tensor.shape) for tensor in (expected, found)]
            what = f"{name}: expected {sizes[0] or 'nothing'}, found {sizes[1] or 'nothing'}"
            remedy = "set the widths, layers and patch sizes of the config to those of the open model"
            raise refused(what, source, remedy=remedy)
        if not found.isfinite().all():
            raise refused(f"{name}: expected finite weights, found NaN or infinity", source)
    target.load_state_dict(state)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep `transformers` from reporting classifiers that are not taken over, and from drawing bars."""
    from transformers.utils import logging

    verbosity, drew = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if drew:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
