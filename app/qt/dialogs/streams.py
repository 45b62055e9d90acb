"""Chooses the streams of each modality, and maps an EEG stream's channels to electrodes."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QComboBox,
    QCompleter,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QSplitter,
    QStyledItemDelegate,
    QWidget,
)
from PyQt6.QtWidgets import QTableWidgetItem as Item

from acquisition import montage as electrodes
from acquisition import select
from acquisition.adapters.eeg import electrodes_of, uv_per_unit
from acquisition.errors import InputError
from acquisition.lsl.discovery import FoundStream, discover
from acquisition.montage import Montage, canonical_name, headsets
from acquisition.quality import amplitude_trouble
from acquisition.text import counted, rate
from acquisition.types import KIND_OF_MODALITY, MODALITIES, Kind, StreamHeader
from app.devices import Look, RecordedStream, keep_montage, kept_montage, mapping_path
from app.qt.dialogs.base import Dialog, Role
from app.qt.plots.heads import ElectrodeState, HeadPlot, head_map
from app.qt.theme import DARK, LIGHT
from app.qt.widgets import RowTable, there
from app.view.explanation import modality_word
from app.view.text import one_line, tooltip

_LOOK_S = 2.0
_ALT_KEYS = dict(zip(MODALITIES, "EyFV", strict=True))
_COLUMNS = ("Used as", "Name", "Type", "Rate", "Channels", "Host", "source_id", "Remarks")
_OF_FILE = (*_COLUMNS[:5], "Seconds", "What a replay makes of it")


@dataclass(frozen=True)
class StreamChoice:
    """What the dialog hands on; the fields are the options of `affectscope live`."""

    streams: str | None
    webcam: str | None = None
    microphone: str | None = None


class StreamsDialog(Dialog):
    """All streams on the network or of a ``file`` as plain text, and a choice for each modality.

    ``look`` returns the streams there are; it takes seconds, so it runs in a thread. ``map_channels`` opens
    the mapping of the EEG's channels, ``go_live`` the streams on the network in place of a file's.
    """

    def __init__(
        self,
        parent: QWidget | None,
        before: StreamChoice,
        on_chosen: Callable[[StreamChoice], None],
        look: Callable[[], Sequence[FoundStream]] = lambda: discover(_LOOK_S),
        *,
        file: str = "",
        map_channels: Callable[[], object] = lambda: None,
        go_live: Callable[[], object] = lambda: None,
        check: Callable[[StreamChoice, list[StreamHeader]], None] = lambda choice, headers: None,
    ) -> None:
        super().__init__(parent, f"Streams of {file}" if file else "Streams")
        self._on_chosen, self._look, self._file, self._check = on_chosen, look, file, check
        self._found: Sequence[FoundStream] = []
        self._before = select.parse_choices(before.streams or "")
        where = "in the file" if file else "on the network"
        self.table = RowTable(f"Streams {where}", _OF_FILE if file else _COLUMNS)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.choices = {modality: _combo(_label(modality)) for modality in MODALITIES}
        for combo in self.choices.values():
            combo.activated.connect(lambda _at, combo=combo: _show_whole(combo))
        self.webcam = _combo("Camera to publish", ("", "0", "1", "2"), hint="none; 0 is the first camera")
        self.webcam.setEditText(before.webcam or "")
        self.microphone = _combo("Microphone to publish", ("", "default"), hint="none; default, or a name")
        self.microphone.setEditText(before.microphone or "")
        self.hidden = self.label()
        self.hidden.setProperty("muted", "true")
        self.apply = self.button("&Apply", Role.ActionRole, self.use)
        self.button("Cancel", Role.RejectRole, self.reject)
        others = {"Channel &mapping…": map_channels} | ({"&Live streams…": go_live} if file else {})
        for text, call in others.items():
            self.button(text, Role.ActionRole, call).clicked.connect(self.reject)
        self.again = self.button("&Refresh", Role.ResetRole, self.look_again)
        self.lay_out(self.table, self.hidden, self._form(), self.words, stretched=self.table)
        self.fit_screen(165, 38)
        self.look_again()

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for modality, combo in self.choices.items():
            form.addRow(_label(modality), combo)
        if not self._file:
            form.addRow("Publish &camera", self.webcam)
            form.addRow("Publish micro&phone", self.microphone)
        return form

    def look_again(self) -> None:
        said = f"Looking through {self._file} …" if self._file else "Looking for streams …"
        self.work(self._look, self.show_found, said, self.again)

    def show_found(self, found: Sequence[FoundStream]) -> None:
        """Fill table and choices, without the program's own streams."""
        is_ours = (select.is_own, select.is_notes, select.is_calibration)
        n_all, found = len(found), [s for s in found if not any(test(s.header) for test in is_ours)]
        self._found, n_own = found, n_all - len(found)
        said = f"Not shown: {counted(n_own, 'stream')} of Affectscope itself (predictions, clock map, notes)"
        self.hidden.setText(said)
        self.hidden.setVisible(n_own > 0)
        self.table.fill([[one_line(words) for words in _row(stream)] for stream in found], has_tips=True)
        self.table.resizeColumnsToContents()
        if self._file:  # sentences, broken into lines
            last, room = self.table.columnCount() - 1, self.table.maximumViewportSize().width()
            taken = sum(self.table.columnWidth(column) for column in range(last))
            self.table.setColumnWidth(last, max(room - taken, 24 * self.fontMetrics().averageCharWidth()))
        self.table.resizeRowsToContents()
        for modality, combo in self.choices.items():
            before = self._before.get(modality, "") if combo.count() == 0 else combo.currentData()
            combo.clear()
            combo.addItem("Automatic (by type)", "")
            combo.addItem("None", "none")
            for stream in found:
                if select.kind_of(stream.header) in (KIND_OF_MODALITY[modality], Kind.OTHER):
                    combo.addItem(_title(stream.header), self._reference(stream))
            combo.setCurrentIndex(max(0, combo.findData(before)))
            _show_whole(combo)
        absent = "No stream found: is the device's LSL app running, and on the same network?"
        self.say("" if found else "This file holds no stream." if self._file else absent)

    def use(self) -> None:
        chosen = {m: combo.currentData() or "" for m, combo in self.choices.items()}
        streams = select.format_choices(self._before | chosen)  # a choice of markers stays
        webcam, microphone = (combo.currentText().strip() or None for combo in (self.webcam, self.microphone))
        choice = StreamChoice(streams, webcam, microphone)
        try:
            if webcam is None and microphone is None:
                select.select_streams({stream.key: stream.header for stream in self._found}, streams)
                self._check(choice, [stream.header for stream in self._found])
        except InputError as error:
            self.refuse(str(error))
            return
        self.accept()
        self._on_chosen(choice)

    def _reference(self, stream: FoundStream) -> str:
        """Return a unique name of this stream: its source_id, else its name, else its outlet."""
        header = stream.header
        others = [other.header for other in self._found if other is not stream]
        if header.source_id and all(other.source_id != header.source_id for other in others):
            return f"source_id:{header.source_id}"
        if header.name and all(other.name != header.name for other in others):
            return f"name:{header.name}"
        return f"id:{stream.key}"


def _label(modality: str) -> str:
    key = _ALT_KEYS[modality]
    return modality_word(modality).replace(key, f"&{key}", 1)


def _combo(name: str, texts: tuple[str, ...] | list[str] = (), *, hint: str = "") -> QComboBox:
    """Return a choice; one with a ``hint``, which stands where nothing is typed, also takes other texts."""
    combo = QComboBox()
    combo.setAccessibleName(name.replace("&", ""))
    combo.setEditable(bool(hint))
    combo.addItems(list(texts))
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(20)
    if (edit := combo.lineEdit()) is not None:
        edit.setPlaceholderText(hint)
    return combo


def _show_whole(combo: QComboBox) -> None:
    """Make the list as wide as its longest text, and tell the chosen one in full."""
    view = there(combo.view())
    view.setMinimumWidth(view.sizeHintForColumn(0) + 2 * combo.fontMetrics().height())
    view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    combo.setToolTip(tooltip(combo.currentText()))


def _row(stream: FoundStream) -> tuple[str, ...]:
    header, recorded = stream.header, stream if isinstance(stream, RecordedStream) else None
    return (
        select.kind_of(header).value,
        header.name,
        header.type,
        rate(header.nominal_sfreq, recorded.measured or None) if recorded else rate(header.nominal_sfreq),
        str(header.n_channels),
        *((f"{recorded.seconds:.1f}",) if recorded else (header.hostname, header.source_id)),
        "; ".join(stream.problems),
    )


def _title(header: StreamHeader) -> str:
    parts = (header.name, header.type, rate(header.nominal_sfreq), header.hostname, header.source_id)
    return one_line(", ".join(part for part in parts if part), 120)


_KEPT, _LABELS = "as kept for this device", "by the stream's labels"
_FILE = "from a file…"
_OF_MNE = ("biosemi16", "biosemi32", "biosemi64", "standard_1020")
_UNITS = ("uV", "mV", "V", "nV", "0.02235uV")  # the last: counts of an OpenBCI Cyton at gain 24
_BAD_UNIT = "the unit is not known: write uV, mV, V, nV or a scale such as 0.02235uV"
_NONE = "no channel has an electrode yet: choose a preset, type names, or click the head"
_OF_CHANNELS = ("Channel", "Type", "Unit", "SD of a second", "Electrode")
_SD, _ELECTRODE = 3, 4


class ChannelsDialog(Dialog):
    """A row for each channel with its electrode, a head that shows them, presets and the unit.

    ``look`` returns how the stream looks; it takes seconds, so it runs in a thread. ``on_kept`` is told the
    file of a mapping that was kept, None of one that was dropped. ``used`` is the session's ``--montage``.
    """

    def __init__(
        self,
        parent: QWidget | None,
        look: Callable[[], Look],
        on_kept: Callable[[Path | None], None],
        used: str | None = None,
    ) -> None:
        super().__init__(parent, "Channel mapping")
        self._on_kept, self._used = on_kept, used
        self._look: Look | None = None
        self.electrodes: dict[int, str] = {}  # by channel, as far as they are names
        self.preset, self.unit = QComboBox(), QComboBox()
        self.preset.activated.connect(lambda _: self.use_preset(self.preset.currentText()))
        self.unit.setEditable(True)
        self.unit.addItems(["", *_UNITS])
        self.unit.lineEdit().setPlaceholderText("as the stream states")  # type: ignore[union-attr]
        self.unit.currentTextChanged.connect(lambda _: self._judge())
        self.device, self.amplitude = self.label(), self.label(n_lines=2)
        self.table = RowTable("Channels and their electrodes", _OF_CHANNELS)
        self.table.setEditTriggers(self.table.EditTrigger.AllEditTriggers)
        self.table.setItemDelegateForColumn(_ELECTRODE, _Names(self.table))
        self.table.itemChanged.connect(lambda _: self._judge())
        self.head = _Places("Electrodes")
        self.head.set_theme(LIGHT if self.palette().window().color().lightnessF() > 0.5 else DARK)
        self.head.setMinimumWidth(self.fontMetrics().averageCharWidth() * 50)
        self.head.setToolTip("Click a place to give it to the channel that is selected")
        self.head.clicked.connect(self._place)
        form, body = QFormLayout(), QSplitter()
        form.setFieldGrowthPolicy(form.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, field in (("&Preset", self.preset), ("&Unit", self.unit)):
            form.addRow(name, field)
        for part in (self.table, self.head):
            body.addWidget(part)
        self.keep = self.button("&Keep and use", Role.ActionRole, self.use)
        self.forget = self.button("&Forget", Role.DestructiveRole, self.drop)
        self.button("Cancel", Role.RejectRole, self.reject)
        for button in (self.keep, self.forget):
            button.setEnabled(False)
        self.lay_out(self.device, form, self.amplitude, body, self.words, stretched=body)
        self.fit_screen(150, 38)
        self.work(look, self.show_look, "Looking at the channels …")

    def show_look(self, look: Look) -> None:
        """Fill the table, with the mapping that is kept or the preset that fits."""
        self._look, header = look, look.header
        measured = f"{look.sfreq:.2f} Hz measured" if look.sfreq > 0 else "rate not measured: too few samples"
        self.device.setText(
            f"{one_line(header.name)} ({one_line(header.type)}), "
            f"{counted(header.n_channels, 'channel')}, {measured}, {rate(header.nominal_sfreq)} stated"
        )
        labels = [channel.label for channel in header.channels]
        said = [(c.label, c.type, c.unit) for c in header.channels] or [("", "", "")] * header.n_channels
        self.table.blockSignals(True)
        self.table.setRowCount(header.n_channels)
        for row, (label, *others) in enumerate(said):
            for column, text in enumerate((label or f"#{row}", *others, "", "")):
                self.table.setItem(row, column, item := Item(one_line(text)))
                if column != _ELECTRODE:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
        self.table.blockSignals(False)
        self.forget.setEnabled(mapping_path(header).is_file())
        try:
            kept = kept_montage(header)
        except InputError:  # it can be made anew
            kept = None
        self.preset.addItems([*([_KEPT] if kept else []), _LABELS, *headsets(), *_OF_MNE, _FILE])
        self.unit.setCurrentText(kept.unit if kept else "")
        self.use_preset(_KEPT if kept else _LABELS)
        if self._used and self._used != str(mapping_path(header)):  # which counts more than what is kept
            self.preset.addItem(self._used)
            self.use_preset(self._used)
        elif not self.electrodes and (headset := electrodes.headset_of(labels, header.name)):
            self.use_preset(headset)
        self.table.resizeColumnsToContents()
        self.table.setCurrentCell(0, _ELECTRODE)

    def use_preset(self, name: str) -> None:
        """Fill in the electrodes of a preset; one that MNE knows takes a second."""
        self.preset.setCurrentText(name)
        if name == _FILE:
            name, _ = QFileDialog.getOpenFileName(self, "Montage file", "", "Montages (*.toml)")
        if name in (*_OF_MNE, self._used) or name.endswith(".toml"):
            self.work(partial(electrodes.load_montage, name), self._fill)
        elif self._look is not None:
            self._fill(kept_montage(self._look.header) if name == _KEPT else headsets().get(name))

    def _fill(self, montage: Montage | None) -> None:
        assert self._look is not None
        try:
            names = fitting_electrodes(self._look, montage)
        except InputError as error:
            self.refuse(str(error))
            return
        self._write(_ELECTRODE, [names.get(row, "") for row in range(self.table.rowCount())])
        self._judge()

    def _write(self, column: int, texts: list[str]) -> None:
        self.table.blockSignals(True)
        for row, text in enumerate(texts):
            self._item(row, column).setText(text)
        self.table.blockSignals(False)
        self.table.viewport().update()  # type: ignore[union-attr]

    def _item(self, row: int, column: int) -> Item:
        return there(self.table.item(row, column))

    def use(self) -> None:
        assert self._look is not None
        try:
            path = keep_montage(self._look.header, self.electrodes, self.unit.currentText().strip())
        except OSError as error:
            self.refuse(f"the mapping cannot be kept: {error}")
            return
        self.accept()
        self._on_kept(path)

    def drop(self) -> None:
        assert self._look is not None
        mapping_path(self._look.header).unlink(missing_ok=True)
        self.accept()
        self._on_kept(None)

    def _place(self, x: float, y: float) -> None:
        """Give the electrode at a place to the selected channel."""
        names, row = electrodes.SEED_CH_NAMES, self.table.currentRow()
        off = np.hypot(*(head_map(names).xy - (x, y)).T)
        if row >= 0 and np.nanmin(off) < 0.1:
            self._item(row, _ELECTRODE).setText(names[int(np.nanargmin(off))])
            self.table.setCurrentCell(min(row + 1, self.table.rowCount() - 1), _ELECTRODE)

    def _judge(self) -> None:
        """Say what is wrong with names, unit and amplitude, and show the electrodes."""
        if self._look is None:
            return
        typed = [self._item(row, _ELECTRODE).text() for row in range(self.table.rowCount())]
        names = {row: canonical_name(text) for row, text in enumerate(typed) if text.strip()}
        unknown = {*names.values()} - {*electrodes.electrode_names()}
        twice = {name for name, n in Counter(names.values()).items() if n > 1}
        unit = self.unit.currentText().strip()
        troubles = [
            f"no electrode is called {', '.join(sorted(unknown))}" if unknown else "",
            f"{', '.join(sorted(twice))} stands at several channels" if twice else "",
            _BAD_UNIT if unit and uv_per_unit(unit) is None else "",
            "" if names else _NONE,
        ]
        trouble = "; ".join(filter(None, troubles))
        n_out = len(typed) - len(names)
        said = trouble or f"{len(names)} of {len(typed)} channels mapped, {n_out} left out"
        (self.refuse if trouble and names else self.say)(said)
        self.keep.setEnabled(not trouble)
        self.electrodes = {row: name for row, name in names.items() if name not in unknown}
        self._show_amplitudes(self._look, unit)
        states = {}
        for row, name in self.electrodes.items():
            role = "bad" if name in twice else "good"
            states[name] = ElectrodeState("", role, f"channel {self._item(row, 0).text()}")
        self.head.set_states(states, tuple(states))

    def _show_amplitudes(self, look: Look, unit: str) -> None:
        stated = [channel.unit for channel in look.header.channels] or [""] * look.header.n_channels
        scales = np.array([uv_per_unit(unit or each) or math.nan for each in stated])
        told = [_spread_words(sd, scale) for sd, scale in zip(look.spread, scales, strict=True)]
        self._write(_SD, ["counts samples" if i in look.counters else text for i, text in enumerate(told)])
        rows = [row for row in self.electrodes if row not in look.counters] or list(range(len(told)))
        if not np.isfinite(look.spread[rows]).any():
            self.amplitude.setText("Amplitude: nothing varies, or there are too few samples to measure it.")
            return
        sd, scale = float(np.nanmedian(look.spread[rows])), float(scales[rows[0]])
        each = "; ".join(f"as {name} {_microvolts(sd * (uv_per_unit(name) or 1.0))}" for name in _UNITS[:3])
        now = f"now {_microvolts(sd * scale)}" if scale > 0 else "no unit is stated: taken for µV"
        trouble = amplitude_trouble(sd * (scale if scale > 0 else 1.0))
        self.amplitude.setText(f"Amplitude (SD of a second): {each}; {now}. {trouble}".strip())


def fitting_electrodes(look: Look, montage: Montage | None) -> dict[int, str]:
    """Return electrodes by channel of a preset, of the labels without one; a packet counter gets none.

    Where the first channel counts packets, a preset that goes by number begins after it.
    """
    if montage is not None:
        shift = int(montage.is_headset and look.counters[:1] == (0,))
        indices = {i + shift: name for i, name in montage.indices.items()}
        if shift:
            indices = {i: name for i, name in indices.items() if i < look.header.n_channels}
        montage = replace(montage, indices=indices, near=False)
    found = electrodes_of(look.header, montage, electrodes.electrode_names(), [])
    return {row: name for row, name in found.items() if row not in look.counters}


def _spread_words(sd: float, scale: float) -> str:
    if math.isnan(sd):
        return "-"
    return _microvolts(sd * scale) if scale > 0 else f"{sd:.3g}, no unit"


def _microvolts(amplitude: float) -> str:
    return f"{amplitude:,.0f} µV" if amplitude >= 10 else f"{amplitude:.3g} µV"


class _Places(HeadPlot):
    """A head on which every electrode has its name."""

    def named(self, are_few: bool) -> list[str]:
        return [name for name in self.names if np.isfinite(electrodes.unit_positions([name])).all()]


class _Names(QStyledItemDelegate):
    """Edits an electrode's name with the 10-20 names to choose from."""

    def createEditor(self, parent, option, index):
        edit = QLineEdit(parent)
        completer = QCompleter(list(electrodes.electrode_names()), edit)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        edit.setCompleter(completer)
        return edit
