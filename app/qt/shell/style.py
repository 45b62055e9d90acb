"""Style sheet and palette of the window, from a theme's colours; sizes follow the system's font."""

from __future__ import annotations

from PyQt6.QtGui import QColor, QPalette

from app.qt.theme import Theme

_SHEET = """
QMainWindow, QDialog, QWidget#page {{ background: {window}; }}
QWidget {{ color: {text}; }}
QLabel {{ background: transparent; }}
QFrame#panel {{ background: {surface}; border: 1px solid {grid}; border-radius: 6px; }}
QLabel#panel-title {{ font-weight: 600; color: {text}; }}
QLabel[muted="true"] {{ color: {muted}; }}
QToolBar {{ background: {window}; border: 0; spacing: 4px; padding: 2px 6px; }}
QToolBar::separator {{ background: {grid}; width: 1px; margin: 4px 3px; }}
QToolButton, QPushButton, QLineEdit {{
    background: {surface}; border: 1px solid {grid}; border-radius: 4px; padding: 2px 8px; min-height: 1.3em;
}}
QLineEdit {{ placeholder-text-color: {muted}; }}
QToolBar QToolButton {{ padding: 2px 5px; }}
QToolBarExtension {{ padding: 0; min-width: 1.2em; }}
QToolButton:hover, QPushButton:hover {{ border-color: {accent}; }}
QToolButton:checked, QPushButton:checked {{ border: 2px solid {accent}; padding: 1px 7px; }}
QToolBar QToolButton:checked {{ padding: 1px 4px; }}
QToolButton:focus, QPushButton:focus, QLineEdit:focus,
QListView:focus, QTreeView:focus, QTableView:focus, QPlainTextEdit:focus {{ border: 2px solid {accent}; }}
QToolButton:disabled, QPushButton:disabled, QLineEdit:disabled {{ color: {stale}; }}
QWidget#screen QPushButton {{ padding: 2px 14px; }}
QWidget#screen QPushButton:checked {{
    background: {accent}; color: {window}; font-weight: 600; padding: 1px 13px;
}}
QPushButton[primary="true"] {{
    background: {accent}; color: {window}; border-color: {accent}; font-weight: 600;
}}
QPushButton[primary="true"]:focus {{ border: 2px solid {text}; }}
QPushButton[primary="true"]:disabled {{ background: {surface}; border-color: {grid}; color: {stale}; }}
QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
QTabWidget::pane {{ border: 0; }}
QTabBar::tab {{
    background: transparent; color: {muted}; padding: 5px 16px;
    border: 0; border-bottom: 3px solid transparent;
}}
QTabBar::tab:selected {{ color: {text}; border-bottom: 3px solid {accent}; font-weight: 600; }}
QTabBar::tab:focus {{ background: {surface}; text-decoration: underline; }}
QMenuBar {{ background: {window}; }}
QMenuBar::item {{ background: transparent; padding: 3px 8px; }}
QMenuBar::item:selected, QMenu::item:selected {{ background: {accent}; color: {window}; }}
QMenu {{ background: {surface}; border: 1px solid {grid}; }}
QMenu::item {{ padding: 4px 24px; }}
QMenu::item:disabled {{ color: {stale}; }}
QMenu::separator {{ height: 1px; background: {grid}; margin: 4px 8px; }}
QListView, QTreeView, QTableView, QPlainTextEdit {{
    background: {surface}; border: 1px solid {grid}; alternate-background-color: {window};
}}
QListView::item:selected, QTreeView::item:selected, QTableView::item:selected {{
    background: {accent}; color: {window};
}}
QHeaderView::section {{ background: {window}; color: {muted}; border: 0; padding: 3px 6px; }}
QToolTip {{ background: {surface}; color: {text}; border: 1px solid {accent}; }}
QScrollArea {{ background: transparent; border: 0; }}
QStatusBar {{ background: {window}; }}
QProgressBar {{ border: 1px solid {grid}; border-radius: 4px; text-align: center; background: {surface}; }}
QProgressBar::chunk {{ background: {accent}; }}
QLabel#sign {{ font-weight: 600; border: 1px solid {suspect}; border-radius: 4px; padding: 1px 8px; }}
QLabel#state, QLabel#answer, QLabel#title {{ font-weight: 600; }}
QFrame#banner {{ background: {surface}; border: 1px solid {muted}; border-radius: 4px; }}
QFrame#banner[severity="error"] {{ border-color: {bad}; }}
QFrame#banner[severity="warning"] {{ border-color: {suspect}; }}
QFrame#banner[severity="info"] {{ border-color: {accent}; }}
"""


def style_sheet(theme: Theme) -> str:
    """Return the style sheet in a theme's colours."""
    return _SHEET.format(
        window=theme.window,
        surface=theme.surface,
        text=theme.text,
        muted=theme.muted,
        grid=theme.grid,
        accent=theme.accent,
        stale=theme.stale,
        suspect=theme.suspect,
        bad=theme.bad,
    )


def palette(theme: Theme) -> QPalette:
    """Return the palette, for what style sheets do not reach: scroll bars, selections, disabled text."""
    made = QPalette()
    role = QPalette.ColorRole
    colours = {
        role.Window: theme.window,
        role.Button: theme.surface,
        role.Base: theme.surface,
        role.AlternateBase: theme.window,
        role.ToolTipBase: theme.surface,
        role.Mid: theme.grid,
        role.Midlight: theme.grid,
        role.Light: theme.grid,
        role.Dark: theme.grid,
        role.Highlight: theme.accent,
        role.HighlightedText: theme.window,
        role.Link: theme.accent,
        role.PlaceholderText: theme.muted,
        role.WindowText: theme.text,
        role.Text: theme.text,
        role.ButtonText: theme.text,
        role.ToolTipText: theme.text,
    }
    for each, colour in colours.items():
        made.setColor(each, QColor(colour))
    for each in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, each, QColor(theme.stale))
    return made
