"""A session's summary, to be read and saved."""

from datetime import datetime
from pathlib import Path

from PyQt6.QtCore import QUrl
from PyQt6.QtGui import QImage, QTextDocument
from PyQt6.QtWidgets import QFileDialog, QTextBrowser, QWidget

from app.qt.dialogs.base import Dialog, Role, Work
from app.summary import SessionSummary

_KINDS = {
    "Web page (*.html)": ".html",
    "Picture of the time course (*.png)": ".png",
    "Tables (*.csv)": ".csv",
}
_STYLE = """
td, th { padding: 1px 8px; text-align: left; white-space: nowrap; } tbody th { font-weight: 400; }
.simulated { font-weight: 600; } h1 { font-size: large; } h2 { font-size: medium; }"""
_FIGURE = '<img src="{name}" width="{width}">'


class SummaryDialog(Dialog):
    """The summary as a page; it leaves the window usable. Files go into ``folder`` by default."""

    def __init__(self, parent: QWidget | None, summary: SessionSummary, folder: Path) -> None:
        super().__init__(parent, f"Summary: {summary.title}")
        self._summary, self._folder = summary, folder
        self.page = QTextBrowser()
        self.page.setAccessibleName("Summary of the session")
        self.save = self.button("&Save…", Role.ActionRole, self._ask)
        self.button("&Close", Role.RejectRole, self.reject)
        self.lay_out(self.page, self.words, stretched=self.page)
        self.fit_screen(125, 42)
        Work(self._drawn, self._show, self._refuse, self)

    def _drawn(self) -> tuple[bytes, bytes]:
        """Return the figures as pictures; loading what draws them takes a second."""
        from app.summary_page import course, electrodes, to_png

        shown = electrodes(self._summary)
        return to_png(course(self._summary)), b"" if shown is None else to_png(shown)

    def _show(self, pictures: tuple[bytes, bytes]) -> None:
        from app.summary_page import sections

        document = self.page.document()
        assert document is not None
        document.setDefaultStyleSheet(_STYLE)
        width = self.fontMetrics().averageCharWidth() * 105
        shown = []
        for name, picture in zip(("course.png", "electrodes.png"), pictures, strict=True):
            image = QImage.fromData(picture)
            document.addResource(QTextDocument.ResourceType.ImageResource, QUrl(name), image)
            shown.append(_FIGURE.format(name=name, width=width) if picture else "")
        self.page.setHtml("\n".join(sections(self._summary, *shown)))

    def _ask(self) -> None:
        free = self._folder / f"summary_{datetime.now():%Y-%m-%d_%H-%M-%S}.html"
        chosen, kind = QFileDialog.getSaveFileName(self, "Save the summary", str(free), ";;".join(_KINDS))
        if chosen:
            path, ending = Path(chosen), _KINDS.get(kind, ".html")
            self.write(path if path.suffix.lower() in _KINDS.values() else path.with_name(path.name + ending))

    def write(self, path: Path) -> None:
        """Save the summary as what the name's ending says."""
        from app.summary_page import write_summary

        def tell(written: list[Path]) -> None:
            self.say(f"Saved: {', '.join(map(str, written))}")

        Work(lambda: write_summary(self._summary, path), tell, self._refuse, self)

    def _refuse(self, why: str) -> None:
        self.say(why, is_refused=True)
