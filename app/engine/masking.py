"""Modalities unplugged by hand, to rehearse their loss."""

from __future__ import annotations

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from models.decoder import Decoder


def mask(decoder: Decoder, modality: str, masked: bool) -> None:
    """Leave a modality out of the windows decoded from now on, or use it again; from any thread.

    Raises
    ------
    InputError
        If there is no such modality.
    """
    if modality not in MODALITIES:
        raise InputError(f"expected one of {', '.join(MODALITIES)}, got {modality!r}", where="unplug")
    decoder.masked = decoder.masked | {modality} if masked else decoder.masked - {modality}


def masked_modalities(decoder: Decoder) -> list[str]:
    """Return what is left out, in the order of `MODALITIES`."""
    return [modality for modality in MODALITIES if modality in decoder.masked]
