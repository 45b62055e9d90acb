"""The layout of model cards and the sentences they share; a card is written where its model is trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import StrictUndefined, Template

from assets import CARDS

#: Marks of a card.
GENERATED = "Generated data: no real subjects."
QUICK = "Made with --quick: little data and few epochs; do not quote these results."
NOT_FOR = "Not for workplaces or education; people exposed to it must be informed."
LIMITS_OF_FEW = (
    "Results from few trials have wide intervals (given beside them). The output says what the signals "
    f"resemble, not what a person feels. {NOT_FOR}"
)
LICENCE = "Weights: the licence of their training data. Program: GPL-3.0-or-later."


@dataclass(frozen=True)
class ModelCard:
    """The content of a model folder's README."""

    title: str
    intro: str
    #: In bold above everything, where they apply: what must be quoted with every result.
    marks: Mapping[str, bool] = field(default_factory=dict)
    sections: Mapping[str, Sequence[str]] = field(default_factory=dict)  # paragraphs by heading

    def markdown(self) -> str:
        """Return the card as Markdown."""
        parts = [f"# {self.title}", *(f"**{mark}**" for mark, applies in self.marks.items() if applies)]
        parts.append(self.intro)
        for heading, paragraphs in self.sections.items():
            parts += [f"## {heading}", *paragraphs]
        return "\n\n".join(part for part in parts if part) + "\n"


def card_of(template: str, **given: object) -> str:
    """Return a card of ``assets/cards``, a Jinja template, with what is given."""
    text = (CARDS / f"{template}.md").read_text(encoding="utf-8")
    card = Template(text, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return card.render(given)


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
