"""Small pieces of HTML; every text that goes through here is escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

_LONGEST = 400
_SHORT = 16  # rows
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #eceff3; color: #15191f; font: 15px/1.5 "Segoe UI", "Noto Sans", "DejaVu Sans",
  Verdana, sans-serif; }
main { max-width: 60rem; margin: 1.5rem auto; padding: 2rem 2.5rem 3rem; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; padding-top: .7rem; border-top: 1px solid #d5dae2; }
p { margin: .4rem 0 .7rem; max-width: 52rem; }
.under { color: #566070; margin: 0 0 1rem; }
.notice { border: 1px solid #9aa3af; padding: .6rem .9rem; margin: .8rem 0; }
.notice, .simulated { max-width: none; }
.simulated { border: 3px solid #b94a00; padding: .6rem .9rem; margin: .8rem 0; font-weight: 700; }
.verdict { border-left: .6rem solid #566070; background: #f3f5f8; padding: .9rem 1.2rem; margin: 1rem 0; }
.verdict.good { border-color: #00795a; } .verdict.weak { border-color: #9a6700; }
.verdict.bad { border-color: #b94a00; }
.verdict .word { font-size: 1.5rem; font-weight: 700; margin: 0; }
.verdict .use { font-weight: 700; }
.figure { margin: .6rem 0; } .figure svg { display: block; width: 100%; height: auto; }
.figure.small svg { max-width: 30rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-size: .92rem; }
p.caption { color: #566070; margin: .6rem 0 .2rem; font-size: .92rem; }
th, td { border: 1px solid #d5dae2; padding: .25rem .6rem; text-align: left; vertical-align: top; }
thead th, tbody th { background: #f3f5f8; font-weight: 600; }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.hit { outline: 2px solid #15191f; outline-offset: -2px; font-weight: 700; }
td.count { text-align: center; min-width: 4.2rem; }
td.hash { font-family: "DejaVu Sans Mono", Consolas, monospace; overflow-wrap: anywhere; }
@media print {
  body { background: #fff; font-size: 10pt; } main { margin: 0; padding: 0; max-width: none; }
  h2, h2 + p, p.caption { break-after: avoid; } .figure, .verdict, .short, tr { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  @page { margin: 16mm; }
}
"""


def plain(value: object) -> str:
    """Return a text on one line, without control and direction-changing characters."""
    kept = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in str(value))
    return " ".join(kept.split())


def text(value: object) -> str:
    """Return a short text fit for HTML, cut where it is longer than any name should be."""
    line = plain(str(value)[: 2 * _LONGEST])
    return _escaped(line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")


def _escaped(line: str) -> str:
    """Escape, and keep a figure and its unit on one line."""
    return escape(line.replace(" %", "\u00a0%").replace("p < ", "p\u00a0<\u00a0"), quote=True)


def paragraph(words: str, css: str = "") -> str:
    """Return a paragraph of any length; nothing for no words."""
    return f"<p{_css(css)}>{_escaped(plain(words))}</p>" if words else ""


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
