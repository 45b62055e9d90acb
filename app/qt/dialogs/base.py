"""The base of dialogs, questions, the list of keys, and work in a background thread."""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLayout,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from acquisition.errors import InputError
from app.qt.widgets import RowTable, plain_label, put, there
from app.view.text import message_line

Role = QDialogButtonBox.ButtonRole
_SHARE = 0.95  # of the screen
_LONGEST = 600


class Dialog(QDialog):
    """Parts in a column, then a row of buttons; `say` shows why a choice is refused."""

    def __init__(self, parent: QWidget | None, title: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._box = QDialogButtonBox()
        self._box.rejected.connect(self.reject)
        self.words = self.label()  # what `say` said last; it stands where a dialog puts it
        self.is_refused = False  # whether that was a refusal

    def label(self, text: str = "", *, n_columns: int = 0, n_lines: int = 0) -> QLabel:
        """Return a label of plain text with room for so many characters and lines."""
        label = plain_label(text, wraps=True)
        metrics = self.fontMetrics()
        label.setMinimumSize(metrics.averageCharWidth() * n_columns, metrics.height() * n_lines)
        return label

    def button(self, text: str, role: Role, call: Callable[[], object]) -> QPushButton:
        button = there(self._box.addButton(text, role))
        button.clicked.connect(lambda: call())
        return button

    def lay_out(self, *parts: QWidget | QLayout, stretched: QWidget | None = None) -> None:
        """Put parts and buttons below each other; ``stretched`` takes the room there is."""
        put(QVBoxLayout(self), *((part, int(part is stretched)) for part in (*parts, self._box)))

    def fit_screen(self, n_columns: int, n_lines: int) -> None:
        """Resize to so many characters and lines (0: as needed), within the screen."""
        metrics = self.fontMetrics()
        width, height = metrics.averageCharWidth() * n_columns, metrics.height() * n_lines
        if (screen := self.screen()) is not None:
            room = screen.availableGeometry()
            width = min(width, round(_SHARE * room.width()))
            height = min(height, round(_SHARE * room.height()))
        self.resize(width, height or self.sizeHint().height())

    def say(self, text: str) -> None:
        self.is_refused = False
        self.words.setText(text)

    def refuse(self, why: str) -> None:
        self.is_refused = True
        self.words.setText(f"Cannot be used: {message_line(why, _LONGEST)}")

    def work(
        self,
        function: Callable[[], Any],
        on_done: Callable[[Any], object],
        said: str = "",
        button: QPushButton | None = None,
    ) -> None:
        """Call a function in a background thread, a button idle meanwhile; its `InputError` is shown."""

        def finish(act: Callable[[Any], object], what: Any) -> None:
            if button is not None:
                button.setEnabled(True)
            act(what)

        if button is not None:
            button.setEnabled(False)
        self.say(said)
        Work(function, partial(finish, on_done), partial(finish, self.refuse), self)


def short_path(widget: QWidget, path: Path, n_characters: int) -> str:
    """Return a path cut in its middle where it is wider than so many characters of average width."""
    width = widget.fontMetrics().averageCharWidth() * n_characters
    return widget.fontMetrics().elidedText(str(path), Qt.TextElideMode.ElideMiddle, width)


def key_names(keys: Iterable[str]) -> str:
    """Return keys as this system writes them: "P or Esc"."""
    native = QKeySequence.SequenceFormat.NativeText
    return " or ".join(QKeySequence(key).toString(native) for key in keys)


class KeysDialog(Dialog):
    """A list of keys and what they do."""

    def __init__(
        self, parent: QWidget | None, columns: Sequence[str], rows: Iterable[Sequence[str]], note: str = ""
    ) -> None:
        super().__init__(parent, "Keyboard shortcuts")
        table = RowTable("All keys", columns, rows)
        table.selectRow(0)
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        self.button("&Close", Role.RejectRole, self.reject)
        self.lay_out(table, *([self.label(note)] if note else []), stretched=table)
        self.fit_screen(130, 3 + 2 * table.rowCount())


_NOTICE = """\
Affectscope infers emotions from EEG, eyes, face and voice. It is a research instrument.

- Not for workplaces or education: the EU AI Act, Article 5(1)(f), prohibits inferring emotions there.
- Not for decisions about people, and not a medical device.
- Anyone exposed must be informed; the window shows whenever emotion inference is active.
- A model trained on simulated data is not valid for real people.
- Probabilities and attention are model outputs. They do not measure what someone feels."""


class NoticeDialog(Dialog):
    """What the program is and is not for; shown before the first use."""

    def __init__(self, parent: QWidget | None, *, must_agree: bool) -> None:
        super().__init__(parent, "Intended use")
        self.button("I &understand" if must_agree else "&Close", Role.AcceptRole, self.accept)
        if must_agree:
            self.button("&Quit", Role.RejectRole, self.reject)
        self.lay_out(self.label(_NOTICE, n_columns=75))


def ask(
    parent: QWidget,
    title: str,
    text: str,
    yes: str,
    no: str,
    on_answer: Callable[[bool], object],
    *,
    no_is_default: bool = False,
) -> QMessageBox:
    """Ask a question without blocking the window; ``on_answer`` gets whether ``yes`` was chosen."""
    question = QMessageBox(parent)
    question.setWindowTitle(title)
    question.setTextFormat(Qt.TextFormat.PlainText)
    question.setText(text)
    accept = question.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    reject = question.addButton(no, QMessageBox.ButtonRole.RejectRole)
    if no_is_default:
        question.setDefaultButton(reject)
    question.finished.connect(lambda: on_answer(question.clickedButton() is accept))
    question.open()
    return question


class Work(QObject):
    """Calls a function in a background thread and hands its result over in the window's thread.

    ``on_refused`` gets the text of an `InputError`. The result is dropped if ``owner`` has gone.
    """

    _finished = pyqtSignal(object, str)

    def __init__(
        self,
        function: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_refused: Callable[[str], None],
        owner: QObject,
    ) -> None:
        super().__init__(owner)
        self._function, self._on_done, self._on_refused = function, on_done, on_refused
        self._finished.connect(self._hand_over)  # queued: it is emitted in another thread
        threading.Thread(target=self._run, name="window-work", daemon=True).start()

    def _run(self) -> None:
        try:
            result, refusal = self._function(), ""
        except InputError as error:
            result, refusal = None, str(error)
        try:
            self._finished.emit(result, refusal)
        except RuntimeError:
            return  # the dialog was closed and deleted meanwhile

    def _hand_over(self, result: object, refusal: str) -> None:
        if refusal:
            self._on_refused(refusal)
        else:
            self._on_done(result)
        self.deleteLater()
