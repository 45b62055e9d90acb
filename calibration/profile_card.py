"""The card of a profile: what it is, how it did, and what it must not be used for."""

from __future__ import annotations

from calibration.profile_summary import ProfileSummary

_HEADS = {
    "fusion": "the base model's fusion, fine-tuned to the session's trials",
    "linear": "a linear head (shrinkage LDA) on standardised modality tokens",
}
NOTICE = (
    "For research and demonstration, with the consent of the person it was made of. Not for use at the "
    "workplace or in education: inferring emotions there is forbidden in the European Union (AI Act, "
    "Article 5(1)(f)). Not for decisions about anybody. Whoever is exposed to it must be told."
)


def card(summary: ProfileSummary) -> str:
    """Return the card as Markdown."""
    simulated = " It was made of a **simulated** person: it says nothing of people." * summary.is_simulated
    warning = [f"**{summary.warning[0].upper()}{summary.warning[1:]}.**", ""] if summary.warning else []
    rows = [f"| {name.replace('_', ' ')} | {_figure(value)} |" for name, value in summary.figures.items()]
    table = ["| figure | value |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(
        [
            f"# Profile of {summary.name}",
            "",
            f"A personal classifier of {', '.join(summary.classes)}, fitted by a guided calibration"
            + (f" on {summary.date}" if summary.date else "")
            + f".{simulated}",
            "",
            f"**Verdict: {summary.verdict}.** {summary.words}".rstrip(),
            "",
            *warning,
            *table,
            "## What it is made of",
            f"- Head: {_HEADS[summary.head]}; labels: the {summary.labels} emotions.",
            f"- Modalities: {', '.join(summary.modalities)}; any other is masked when it is used.",
            f"- EEG channels: {', '.join(summary.ch_names) or 'none'}.",
            f"- Base model: {summary.base_name}, sha256 {summary.base_sha256}.",
            f"- Features: sha256 {summary.features_sha256}.",
            "",
            "It is no model without its base model, and is refused with another one, with other features and "
            "with other EEG channels: `affectscope live --profile FOLDER`.",
            "",
            "## Notice",
            NOTICE,
            "",
        ]
    )


def _figure(value: float | int | None) -> str:
    if value is None:
        return "not known"
    return str(value) if isinstance(value, int) else f"{value:.3g}"
