"""Loading open ViT and AST weights from a folder or, where the user named one, from the hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from acquisition.errors import InputError


def copy_weights(source: str, fetch: Callable[[str], Any], target: nn.Module) -> None:
    """Copy the weights of a named model into one of the same size.

    Parameters
    ----------
    source : str
        A folder or a hub name. A hub name downloads, so this runs only where the user asked for it.
    fetch : callable
        Returns the model of that name.
    target : Module
        Changed in place.

    Raises
    ------
    InputError
        The name is empty, nothing loads from it, or its sizes differ from the configured ones.
    """
    if not source:
        raise InputError(
            "no folder or hub name given", where="open weights", remedy="set source in the config"
        )
    try:
        state = fetch(source).state_dict()
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"no model could be loaded: {first_line}",
            where=source,
            remedy="give a folder with config.json and model.safetensors, or a hub name and a network",
        ) from error
    own = target.state_dict()
    for name in sorted(set(own) | set(state)):
        expected, found = own.get(name), state.get(name)
        if expected is None or found is None or expected.shape != found.shape:
            sizes = [None if tensor is None else tuple(tensor.shape) for tensor in (expected, found)]
            raise InputError(
                f"{name}: expected {sizes[0] or 'nothing'}, found {sizes[1] or 'nothing'}",
                where=source,
                remedy="set the widths, layers and patch sizes of the config to those of the open model",
            )
    target.load_state_dict(state)
