"""What the network says when one thing in a window is blanked: a check on what attention claims.

Blanking a modality or a channel region masks it, as if its stream or its electrodes were gone. Blanking
an EEG band sets its normalised entropy to 0, the mean of training (of the baseline, where one is in use):
the network then sees an ordinary value there, not a missing one, because it has no mask for bands. A
network on raw EEG has none to blank. Of a model on covariances neither band nor region can be blanked: each
of its features is of all channels.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acquisition.montage import canonical_name
from acquisition.types import MODALITIES
from models.decoder import Decoder
from models.prediction import OcclusionRow, Prediction
from models.window_batch import NetworkInput

#: Lobes by the letters of a 10-20, 10-10 or 10-05 name. Sides are told by the number: odd is left.
_LOBE_OF_LETTERS = {
    **dict.fromkeys(("FP", "AFP", "AF", "AFF", "F"), "frontal"),
    **dict.fromkeys(("FFT", "FT", "FTT", "T", "TTP", "TP", "TPP"), "temporal"),
    **dict.fromkeys(("FFC", "FC", "FCC", "C", "CCP", "CP"), "central"),
    **dict.fromkeys(("CPP", "P", "PPO", "PO", "POO", "O", "OI", "I", "CB"), "parieto-occipital"),
}
LOBES = ("frontal", "temporal", "central", "parieto-occipital")

#: Every electrode with a 10-20 name lies in one of these.
REGIONS = (*(f"{side} {lobe}" for lobe in LOBES for side in ("left", "right")), "midline")


@dataclass(frozen=True, eq=False)
class Variant:
    """A window in which one thing is blanked."""

    kind: str  # modality | band | region
    name: str
    inputs: NetworkInput
    ch_names: tuple[str, ...] = ()
    at: int = -1  # of a band: its place


class OcclusionRun:
    """Blanks one thing after the other in a decoded window; `advance` where `Decoder.decode` is called."""

    def __init__(self, decoder: Decoder, prediction: Prediction) -> None:
        assert prediction.inputs is not None
        self.prediction = prediction
        self.effects: list[OcclusionRow] = []
        self._decoder = decoder
        self._whole = decoder.probabilities(prediction.inputs)  # of this window alone, not averaged
        bands: tuple[str, ...] = ()
        tangent = None if decoder.evidence is None else decoder.evidence.discriminant.tangent
        self.has_parts = tangent is None
        if not decoder.config.network.takes_raw_eeg:
            bands = tuple(name for name, _, _ in decoder.config.features.bands)
        self._variants = variants(prediction.inputs, bands, prediction.band_ch_names)

    @torch.inference_mode()
    def advance(self) -> bool:
        """Ask the network about one more variant; return False when there was none left."""
        variant = next((one for one in self._variants if self.has_parts or one.kind == "modality"), None)
        if variant is None:
            return False
        inputs, label = variant.inputs, self.prediction.label
        if variant.kind != "modality":
            inputs = replace(
                inputs, evidence=self._decoder.evidence_without(self.prediction, variant.ch_names, variant.at)
            )
        delta_p = self._decoder.probabilities(inputs)[label] - self._whole[label]
        self.effects.append(OcclusionRow(variant.kind, variant.name, delta_p, variant.ch_names))
        return True


def variants(inputs: NetworkInput, bands: Sequence[str], ch_names: Sequence[str]) -> Iterator[Variant]:
    """Yield a window of one with each modality, band and region blanked that leaves the network input."""
    present = dict(zip(MODALITIES, inputs.present[0].tolist(), strict=True))
    are_others_there = sum(present.values()) > 1
    for modality in MODALITIES:
        if present[modality] and are_others_there:
            yield Variant("modality", modality, without_modality(inputs, modality))
    if not present["eeg"]:
        return
    for at, band in enumerate(bands):
        yield Variant("band", band, without_band(inputs, at), at=at)
    in_use = inputs.eeg_channel_mask[0]
    in_use = in_use if in_use.dim() == 1 else in_use[-1]  # a streaming encoder's newest step
    places = [region_of(name) for name in ch_names]
    for region in REGIONS:
        inside = in_use & torch.tensor([place == region for place in places])
        if inside.any() and (are_others_there or bool((in_use & ~inside).any())):
            names = tuple(
                name for name, is_inside in zip(ch_names, inside.tolist(), strict=True) if is_inside
            )
            yield Variant("region", region, without_channels(inputs, inside), names)


def without_modality(inputs: NetworkInput, modality: str) -> NetworkInput:
    """Return the windows with a modality absent."""
    present = inputs.present.clone()
    present[:, MODALITIES.index(modality)] = False
    return replace(inputs, present=present)


def without_band(inputs: NetworkInput, band: int) -> NetworkInput:
    """Return the windows with an EEG band at the mean of the normalisation, which is 0."""
    eeg = inputs.eeg.clone()
    eeg[..., band] = 0.0
    return replace(inputs, eeg=eeg)


def without_channels(inputs: NetworkInput, channels: Tensor) -> NetworkInput:
    """Return the windows with some EEG channels (C,) bool masked, as if they were unusable."""
    return replace(inputs, eeg_channel_mask=inputs.eeg_channel_mask & ~channels)


def region_of(ch_name: str) -> str | None:
    """Return the region of `REGIONS` in which an electrode lies, None for a name that is not a 10-20 name."""
    found = re.fullmatch(r"([A-Z]+?)(Z|\d+)H?", canonical_name(ch_name))
    lobe = _LOBE_OF_LETTERS.get(found[1]) if found else None
    if found is None or lobe is None:
        return None
    if found[2] == "Z":
        return "midline"
    return f"{'left' if int(found[2]) % 2 else 'right'} {lobe}"
