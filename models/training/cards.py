"""The layout of model cards and the sentences they share; a card is written where its model is trained."""

from collections.abc import Iterable, Sequence

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


def card_of(template: str, **given: object) -> str:
    """Return a card of ``assets/cards``, a Jinja template, with what is given."""
    from jinja2 import StrictUndefined, Template  # what decodes renders no card

    text = (CARDS / f"{template}.md").read_text(encoding="utf-8")
    card = Template(text, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return card.render(given)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
