"""Pieces of HTML; every text that goes through here is escaped."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from acquisition.errors import printable

_LONGEST = 400  # characters of a short text
_SHORT = 16  # rows of a table that stays on one sheet


def text(value: object) -> str:
    """Return a short text fit for HTML, cut where it is longer than any name should be."""
    line = printable(str(value)[: 2 * _LONGEST])
    return _escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")


def _escaped(line: str) -> str:
    """Escape, and keep a figure and its unit on one line."""
    return escape(line.replace(" %", "\u00a0%").replace("p < ", "p\u00a0<\u00a0"), quote=True)


def paragraph(words: str, css: str = "") -> str:
    """Return a paragraph of any length; nothing for no words."""
    return f"<p{_css(css)}>{_escaped(printable(words))}</p>" if words else ""


def section(title: str, *parts: str) -> str:
    """Return a titled section."""
    return f"<section>\n<h2>{text(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def figure(svg: str, css: str = "") -> str:
    """Return a figure around an ``<svg>`` element, which is taken as it is."""
    return f'<div class="figure {css}">{svg}</div>' if svg else ""


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    caption: str = "",
) -> str:
    """Return a table; the first column heads its rows, columns in ``numeric`` are set flush right."""
    flush_right = frozenset(numeric)
    lines = []
    for row in rows:
        first, *others = row
        cells = "".join(
            f"<td{_css(_kind(one, at in flush_right))}>{text(one)}</td>" for at, one in enumerate(others, 1)
        )
        lines.append(f'<tr><th scope="row">{text(first)}</th>{cells}</tr>')
    if not lines:
        return ""
    heads = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    top = f"<thead><tr>{heads}</tr></thead>" if head else ""
    return _wide(caption, f"{top}<tbody>\n" + "\n".join(lines) + "\n</tbody>")


def counts_table(classes: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """Return counts (n, n): rows true, columns predicted; darker cells hold more of their row."""
    lines = []
    for at, row in enumerate(counts):
        total = max(1, sum(row))
        cells = "".join(
            f'<td class="count{" hit" if column == at else ""}" '
            f'style="background:rgba(0,114,178,{0.55 * n / total:.2f})">{n}</td>'
            for column, n in enumerate(row)
        )
        lines.append(f'<tr><th scope="row">{text(classes[at])}</th>{cells}<td class="n">{sum(row)}</td></tr>')
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in classes)
    top = f'<thead><tr><th scope="col">labelled</th>{heads}<th scope="col">trials</th></tr></thead>'
    return _wide(caption, f"{top}<tbody>\n" + "\n".join(lines) + "\n</tbody>")


def _wide(caption: str, rows: str) -> str:
    """Return a table that scrolls by itself where the page is narrow; a short one stays on its sheet."""
    css = "wide short" if rows.count("<tr>") <= _SHORT else "wide"
    return f'{paragraph(caption, "caption")}<div class="{css}"><table>{rows}</table></div>'


def _kind(cell: object, is_numeric: bool) -> str:
    if is_numeric:
        return "n"
    return "hash" if re.fullmatch(r"[0-9a-f]{16,}", str(cell)) else ""


def _css(name: str) -> str:
    return f' class="{name}"' if name else ""
