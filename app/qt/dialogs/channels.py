"""Maps the channels of an EEG stream to electrodes, and states their unit; kept for the device."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QComboBox,
    QCompleter,
    QFormLayout,
    QLineEdit,
    QSplitter,
    QStyledItemDelegate,
    QTableWidgetItem,
    QWidget,
)

from acquisition.adapters.eeg import electrodes_of, uv_per_unit
from acquisition.errors import InputError
from acquisition.montage import (
    Montage,
    canonical_name,
    electrode_names,
    headset_of,
    headsets,
    load_montage,
    unit_positions,
)
from acquisition.quality import amplitude_trouble
from acquisition.text import rate
from app.devices import Look, keep_montage, kept_montage, mapping_path
from app.qt.dialogs.base import Dialog, Role, Work, plain_table
from app.qt.plots.heads import ElectrodeState, HeadPlot, head_map
from app.qt.theme import DARK, LIGHT
from app.view.text import one_line

_KEPT, _LABELS = "as kept for this device", "by the stream's labels"
_OTHERS = ("biosemi16", "biosemi32", "biosemi64", "standard_1020")  # of MNE
_UNITS = ("uV", "mV", "V", "nV", "0.02235uV")  # the last: counts of an OpenBCI Cyton at gain 24
_COLUMNS = ("Channel", "Type", "Unit", "SD of a second", "Electrode")
_ELECTRODE = len(_COLUMNS) - 1


class ChannelsDialog(Dialog):
    """A row for each channel with its electrode, a head that shows them, presets and the unit.

    ``look`` returns how the stream looks; it takes seconds, so it runs in a thread. ``on_kept`` is told when
    a mapping was kept or dropped.
    """

    def __init__(self, parent: QWidget | None, look: Callable[[], Look], on_kept: Callable[[], None]) -> None:
        super().__init__(parent, "Channel mapping")
        self._on_kept = on_kept
        self._look: Look | None = None
        self.electrodes: dict[int, str] = {}  # by channel, as far as they are names
        self._is_filling = False
        self.preset, self.unit = QComboBox(), QComboBox()
        self.preset.setAccessibleName("Preset")
        self.preset.activated.connect(lambda _: self.use_preset(self.preset.currentText()))
        self.unit.setAccessibleName("Unit of the EEG")
        self.unit.setEditable(True)
        self.unit.addItems(["", *_UNITS])
        edit = self.unit.lineEdit()
        assert edit is not None
        edit.setPlaceholderText("as the stream states")
        self.unit.currentTextChanged.connect(lambda _: self._judge())
        self.device, self.amplitude = self.label(), self.label(n_lines=2)
        self.table = plain_table("Channels and their electrodes", _COLUMNS)
        self.table.setEditTriggers(self.table.EditTrigger.AllEditTriggers)
        self.table.setItemDelegateForColumn(_ELECTRODE, _Electrodes(self.table))
        self.table.itemChanged.connect(lambda _: self._judge())
        self.head = _Places("Electrodes")
        self.head.set_theme(LIGHT if self.palette().window().color().lightnessF() > 0.5 else DARK)
        self.head.setToolTip("Click a place to give it to the channel that is selected")
        self.head.clicked.connect(self._place)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("&Preset", self.preset)
        form.addRow("&Unit", self.unit)
        body = QSplitter()
        self.head.setMinimumWidth(self.fontMetrics().averageCharWidth() * 50)
        for part, share in ((self.table, 3), (self.head, 2)):
            body.addWidget(part)
            body.setStretchFactor(body.indexOf(part), share)
        self.keep = self.button("&Keep and use", Role.ActionRole, self.use)
        self.forget = self.button("&Forget", Role.DestructiveRole, self.drop)
        self.button("Cancel", Role.RejectRole, self.reject)
        for button in (self.keep, self.forget):
            button.setEnabled(False)
        self.lay_out(self.device, form, self.amplitude, body, self.words, stretched=body)
        self.fit_screen(150, 38)
        self.say("Looking at the channels …")
        Work(look, self.show_look, partial(self.say, is_refused=True), self)

    def show_look(self, look: Look) -> None:
        """Fill the table, with the mapping that is kept or the preset that fits."""
        self._look, header = look, look.header
        has_rate = math.isfinite(look.sfreq)
        measured = f"{look.sfreq:.2f} Hz measured" if has_rate else "rate not measured: too few samples"
        stated = rate(header.nominal_sfreq) if header.nominal_sfreq else "no rate"
        self.device.setText(
            f"{one_line(header.name)} ({one_line(header.type)}), {header.n_channels} channels, {measured}, "
            f"{stated} stated"
        )
        labels = [channel.label for channel in header.channels]
        self._is_filling = True
        self.table.setRowCount(header.n_channels)
        for row in range(header.n_channels):
            channel = header.channels[row] if header.channels else None
            texts = (channel.label, channel.type, channel.unit) if channel is not None else ("", "", "")
            for column, text in enumerate(
                (one_line(texts[0]) or f"#{row}", *map(one_line, texts[1:]), "", "")
            ):
                item = QTableWidgetItem(text)
                if column != _ELECTRODE:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.table.setItem(row, column, item)
        self._is_filling = False
        try:
            kept = kept_montage(header)
        except InputError:
            kept = None
        self.forget.setEnabled(mapping_path(header).is_file())
        self.preset.addItems([*([_KEPT] if kept else []), _LABELS, *headsets(), *_OTHERS])
        if kept is not None:
            self.unit.setCurrentText(kept.unit)
            self.use_preset(_KEPT)
        else:
            self.use_preset(_LABELS)
            if not self.electrodes and (headset := headset_of(labels, header.name)):
                self.use_preset(headset)
        self.table.resizeColumnsToContents()
        self.table.setCurrentCell(0, _ELECTRODE)

    def use_preset(self, name: str) -> None:
        """Fill in the electrodes of a preset; one that MNE knows takes a second."""
        self.preset.setCurrentText(name)
        if name in _OTHERS:
            Work(partial(load_montage, name), self._fill, partial(self.say, is_refused=True), self)
        elif self._look is not None:
            kept = kept_montage(self._look.header) if name == _KEPT else None
            self._fill(kept or headsets().get(name))

    def _fill(self, montage: Montage | None) -> None:
        look = self._look
        assert look is not None
        try:
            names = fitting_electrodes(look, montage)
        except InputError as error:
            self.say(str(error), is_refused=True)
            return
        self._is_filling = True
        for row in range(self.table.rowCount()):
            self._item(row, _ELECTRODE).setText(names.get(row, ""))
        self._is_filling = False
        self._judge()

    def use(self) -> None:
        """Keep the mapping for this device, and go on with it."""
        assert self._look is not None
        try:
            keep_montage(self._look.header, self.electrodes, self.unit.currentText().strip())
        except OSError as error:
            self.say(f"the mapping cannot be kept: {error}", is_refused=True)
            return
        self.accept()
        self._on_kept()

    def drop(self) -> None:
        """Forget the mapping of this device."""
        assert self._look is not None
        mapping_path(self._look.header).unlink(missing_ok=True)
        self.accept()
        self._on_kept()

    def _item(self, row: int, column: int) -> QTableWidgetItem:
        item = self.table.item(row, column)
        assert item is not None
        return item

    def _place(self, x: float, y: float) -> None:
        """Give the electrode at a place to the selected channel."""
        names = electrode_names()[:62]
        off = np.hypot(*(head_map(names).xy - (x, y)).T)
        row = self.table.currentRow()
        if row >= 0 and np.nanmin(off) < 0.1:
            self._item(row, _ELECTRODE).setText(names[int(np.nanargmin(off))])
            self.table.setCurrentCell(min(row + 1, self.table.rowCount() - 1), _ELECTRODE)

    def _judge(self) -> None:
        """Say what is wrong with names, unit and amplitude, and show the electrodes."""
        if self._is_filling or self._look is None:
            return
        typed = {row: self._item(row, _ELECTRODE).text().strip() for row in range(self.table.rowCount())}
        names = {row: canonical_name(text) for row, text in typed.items() if text}
        known = set(electrode_names())
        unknown = sorted({name for name in names.values() if name not in known})
        twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
        unit = self.unit.currentText().strip()
        trouble = [
            f"no electrode is called {', '.join(unknown)}" if unknown else "",
            f"{', '.join(twice)} stands at several channels" if twice else "",
            f"the unit {unit!r} is not known: write uV, mV, V, nV or a scale such as 0.02235uV"
            if unit and uv_per_unit(unit) is None
            else "",
            "no channel has an electrode yet: choose a preset, type names, or click the head"
            if not names
            else "",
        ]
        said = "; ".join(filter(None, trouble))
        self.electrodes = {row: name for row, name in names.items() if name in known}
        self.keep.setEnabled(not said)
        self.say(said, is_refused=bool(said and names))
        if not said:
            self.say(f"{len(names)} of {len(typed)} channels mapped, {len(typed) - len(names)} left out")
        self._show_amplitudes(unit)
        label = {name: self._item(row, 0).text() for row, name in self.electrodes.items()}
        roles = {name: "bad" if name in twice else "good" for name in label}
        states = {name: ElectrodeState("", roles[name], f"channel {label[name]}") for name in label}
        self.head.set_states(states, tuple(label))

    def _show_amplitudes(self, unit: str) -> None:
        look = self._look
        assert look is not None
        stated = [channel.unit for channel in look.header.channels] or [""] * look.header.n_channels
        scales = np.array([uv_per_unit(unit or each) or math.nan for each in stated])
        self._is_filling = True
        for row, spread in enumerate(look.spread):
            text = "counts samples" if row in look.counters else _microvolts(spread * scales[row])
            is_raw = math.isnan(scales[row]) and math.isfinite(spread) and row not in look.counters
            self._item(row, 3).setText(f"{spread:.3g}, no unit" if is_raw else text)
        self._is_filling = False
        rows = [row for row in self.electrodes if row not in look.counters] or list(range(len(look.spread)))
        if not np.isfinite(look.spread[rows]).any():
            self.amplitude.setText("Amplitude: nothing varies, or there are too few samples to measure it.")
            return
        typical = float(np.nanmedian(look.spread[rows]))
        each = "; ".join(
            f"as {name} {_microvolts(typical * (uv_per_unit(name) or 1.0))}" for name in _UNITS[:3]
        )
        scale = float(scales[rows][0])
        fits = (
            "no unit is stated: taken for µV" if math.isnan(scale) else f"now {_microvolts(typical * scale)}"
        )
        trouble = amplitude_trouble(typical * (1.0 if math.isnan(scale) else scale))
        self.amplitude.setText(f"Amplitude (SD of a second): {each}; {fits}. {trouble}".strip())


def fitting_electrodes(look: Look, montage: Montage | None) -> dict[int, str]:
    """Return electrodes by channel of a preset, of the labels without one; a packet counter gets none.

    Where the first channel counts packets, a preset that goes by number begins after it.
    """
    indices = dict(montage.indices) if montage is not None else {}
    if montage is not None and montage.is_headset and look.counters[:1] == (0,):
        indices = {i + 1: name for i, name in indices.items() if i + 1 < look.header.n_channels}
    if montage is not None:
        shifted = Montage(montage.name, montage.labels, indices, montage.complete, montage.is_headset)
        found = electrodes_of(look.header, shifted, electrode_names(), [])
    else:
        found = electrodes_of(look.header, None, electrode_names(), [])
    return {row: name for row, name in found.items() if row not in look.counters}


def _microvolts(amplitude: float) -> str:
    return f"{amplitude:,.0f} µV" if amplitude >= 10 else f"{amplitude:.3g} µV" if amplitude >= 0 else "-"


class _Places(HeadPlot):
    """A head on which every electrode has its name."""

    def named(self, are_few: bool) -> list[str]:
        return [name for name in self.names if np.isfinite(unit_positions([name])).all()]


class _Electrodes(QStyledItemDelegate):
    """Edits an electrode's name with the 10-20 names to choose from."""

    def createEditor(self, parent, option, index):
        edit = QLineEdit(parent)
        completer = QCompleter(list(electrode_names()), edit)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        edit.setCompleter(completer)
        return edit
