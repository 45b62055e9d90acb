"""Head maps of the differential entropy in each band."""

import math

import numpy as np
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QGridLayout, QWidget

from acquisition.text import age
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.heads import HeadPlot
from app.qt.widgets import plain_label
from app.view.conditions import stream_note
from app.view.scales import CalmRange
from app.view.store import ViewStore
from app.view.trust import electrodes_at
from models.prediction import Prediction

_STEP_NATS = 0.5
_MAX_AGE_S = 2.0
_HOLD_S = 30.0  # a scale does not shrink sooner
_CAPTION = "nats, separate scales"


class BandMapsPanel(Panel):
    """One head per band; each has its own scale, as the bands' entropies lie far apart."""

    def __init__(self) -> None:
        super().__init__("Differential entropy (DE)")
        self._maps: list[HeadPlot] = []
        self._ranges: list[CalmRange] = []
        self._bands: tuple[tuple[str, float, float], ...] = ()
        self._heads = QWidget()
        self._grid = QGridLayout(self._heads)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self.body.addWidget(self._heads, 1)
        self.reason = plain_label(muted=True, wraps=True)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.body.addWidget(self.reason, 1)
        self.reason.hide()
        self.caption = self.add_words(_CAPTION, muted=True)
        self.setToolTip(
            "Differential entropy of each electrode in the newest second, as fed to the network. "
            "Bad electrodes are left out. The bands differ widely, so their scales are separate."
        )

    def refresh(self, store: ViewStore, t: float) -> None:
        bands = store.model.bands if store.model else ()
        if bands != self._bands:
            self._make_maps(bands)
        prediction = store.predictions.at(t) if math.isfinite(t) else None
        part = electrodes_at(store, t)
        bad = {c.ch_name for c in part.channels if c.state == "bad"} if part is not None else ()
        names = prediction.band_ch_names if prediction is not None else ()
        is_bad = np.array([name in bad for name in names], dtype=bool)
        is_unknown = store.eeg.unit == "unscaled"
        missing = stream_note(store, Kind.EEG, t) or _missing(prediction, t)
        if not missing and len(names) and is_bad.all():
            missing = "all electrodes are bad"
        if missing != self.reason.text():
            self.reason.setText(missing)
            self._heads.setVisible(not missing)
            self.reason.setVisible(bool(missing))
        if missing:
            self.is_new()
            return
        assert prediction is not None
        if not self.is_new(prediction, bad, is_unknown):
            return
        self.caption.setText("nats of an unknown unit, separate scales" if is_unknown else _CAPTION)
        for i, (head, scale) in enumerate(zip(self._maps, self._ranges, strict=True)):
            if i < prediction.band_de.shape[1]:
                values = np.where(is_bad, np.nan, prediction.band_de[:, i])
                low, high = scale.fit(values, shares=(0.02, 0.98), t=prediction.t_end)
                head.set_values(prediction.band_ch_names, values, low, high, "nats")

    def _make_maps(self, bands: tuple[tuple[str, float, float], ...]) -> None:
        for head in self._maps:
            self._grid.removeWidget(head)
            head.deleteLater()
        self._bands = bands
        self.is_new()
        self._maps = [HeadPlot(f"{name} {low:g}-{high:g} Hz", n_labels=1) for name, low, high in bands]
        self._ranges = [CalmRange(_STEP_NATS, least=1.0, hold_s=_HOLD_S) for _ in bands]
        for head in self._maps:
            head.set_theme(self.theme)
        self.fit()

    def fit(self) -> None:
        """Put the heads into as many columns as makes them largest."""
        n = len(self._maps)
        if not n:
            return
        width, height = max(1, self.width()), max(1, self.height())
        n_columns = max(range(1, n + 1), key=lambda k: min(width / k, height / math.ceil(n / k)))
        for i, head in enumerate(self._maps):
            self._grid.addWidget(head, i // n_columns, i % n_columns)


def _missing(prediction: Prediction | None, t: float) -> str:
    if prediction is None:
        return "no window yet"
    if not prediction.band_de.size:
        return "no EEG in this window"
    if np.isnan(prediction.band_de).all():
        return "the EEG of this second is unusable"
    if t - prediction.t_end > _MAX_AGE_S:
        return f"no window for {age(t - prediction.t_end)}"
    return ""
