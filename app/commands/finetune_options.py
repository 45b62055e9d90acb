"""Which options of finetune go together, and the command line that a model card names."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Mapping
from pathlib import Path

import typer

from acquisition.errors import InputError
from app.commands.given_options import refuse_others
from app.commands.options import Features
from models.datasets.kinds import RECORDINGS

#: Options that hold a path, of which a model card keeps the last part.
_PATHS = ("out", "model", "seed_iv", "seed_v", "eav", "xdf", "raw", "montage")


def check_together(context: typer.Context, kind: str) -> None:
    """Refuse options that mean nothing for what is trained on, instead of passing over them."""
    for_data_sets, for_recordings = ("subject", "session"), ("montage", "events", "trial_s")
    if kind in RECORDINGS:
        why = dict.fromkeys(for_data_sets, "only for data sets")
    else:
        why = dict.fromkeys(for_recordings, "only for recordings")
    refuse_others(context, f"--{kind}", why)
    if context.params["features"] is Features.PUBLISHED and kind not in ("seed-iv", "seed-v"):
        raise InputError(
            "--features published: only for SEED's own features", where=f"--{kind}", remedy="leave it out"
        )


def check_from_scratch(given: Mapping[str, bool]) -> None:
    """Refuse options that are about a model where there is none."""
    if wrong := [name for name, there in given.items() if there]:
        raise InputError("there is no model whose weights these are", where=wrong[0], remedy="give a --model")


def command_line(context: typer.Context) -> str:
    """Return the command line that makes the same model, with names of folders in place of paths."""
    words = ["affectscope finetune"]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if name == "as_json" or value is None or value == parameter.default:
            continue
        if isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
            continue
        text = value.value if isinstance(value, enum.Enum) else str(value)
        words += [parameter.opts[0], shlex.quote(Path(text).name if name in _PATHS else text)]
    return " ".join(words)
