"""Chooses which streams feed which modality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QComboBox, QFormLayout, QWidget

from acquisition import select
from acquisition.errors import InputError
from acquisition.lsl.discovery import FoundStream, discover
from acquisition.text import counted, rate
from acquisition.types import KIND_OF_MODALITY, MODALITIES, MODALITY_NAMES, Kind, StreamHeader
from app.devices import RecordedStream
from app.qt.dialogs.base import Dialog, Role
from app.qt.widgets import RowTable, there
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
        is_ours = [
            select.is_own(s.header) or select.is_notes(s.header) or select.is_calibration(s.header)
            for s in found
        ]
        self._found = found = [s for s, ours in zip(found, is_ours, strict=True) if not ours]
        n_own = counted(sum(is_ours), "stream")
        self.hidden.setText(f"Not shown: {n_own} of Affectscope itself (predictions, clock map, notes)")
        self.hidden.setVisible(any(is_ours))
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
        nothing = (
            "This file holds no stream."
            if self._file
            else "No stream found: is the device's LSL app running, and on the same network?"
        )
        self.say("" if found else nothing)

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
    """Return a modality's name, capitalised, with its key."""
    name, key = MODALITY_NAMES[modality], _ALT_KEYS[modality]
    return (name[:1].upper() + name[1:]).replace(key, f"&{key}", 1)


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
