"""The live view in a terminal: probabilities, attention, streams, latency and what to know about them."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from acquisition.types import MODALITIES, MODALITY_OF_KIND
from app.telemetry import Snapshot
from models.prediction import Prediction

#: Shown for as long as emotions are inferred.
NOTICE = "Emotion inference active"
_BAR_WIDTH = 20
_N_MESSAGES = 5


def render(snapshot: Snapshot, *, trained_on: str, model: str, warning: str = "") -> RenderableType:
    """Return one screen."""
    return Panel(
        Group(
            *([Text(warning.upper(), style="bold red")] if warning else []),
            _headline(snapshot, trained_on),
            _probabilities(snapshot.prediction),
            _modalities(snapshot),
            Text("attention is the model's weight, not a cause", style="dim"),
            _footer(snapshot, model),
        ),
        title=f"Affectscope | {NOTICE}",
        title_align="left",
        padding=(0, 1),
    )


def plain_line(prediction: Prediction) -> str:
    """Return a prediction as one line, for output that is no terminal."""
    probs = "  ".join(f"{label} {p:.2f}" for label, p in prediction.probs.items())
    attention = " ".join(f"{m} {prediction.modality_attention[m]:.2f}" for m in MODALITIES)
    absent = [m for m in MODALITIES if not prediction.present[m]]
    notes = (f"  absent: {', '.join(absent)}" if absent else "") + (
        "  warming up" if prediction.warm_up else ""
    )
    return f"t={prediction.t_end:.2f}s  {prediction.label:<8} {probs}  | attention {attention}{notes}"


def _headline(snapshot: Snapshot, trained_on: str) -> Text:
    text = Text()
    prediction = snapshot.prediction
    if prediction is None:
        text.append("waiting for signals\n", style="bold")
    else:
        text.append(prediction.label, style="bold")
        text.append(f"  {prediction.probs[prediction.label]:.0%}")
        if prediction.warm_up:
            text.append("  (warming up: the context is not whole yet)", style="dim")
        text.append("\n")
    if trained_on:
        text.append(f"model trained on {trained_on}", style="yellow")
    text.append(f"   {snapshot.n_predictions} predictions, {snapshot.n_skipped} skipped")
    return text


def _probabilities(prediction: Prediction | None) -> Table:
    table = Table.grid(padding=(0, 1))
    for label, p in (prediction.probs if prediction else {}).items():
        table.add_row(Text(label), Text(_bar(p), style="cyan"), Text(f"{p:.2f}"))
    return table


def _modalities(snapshot: Snapshot) -> Table:
    table = Table(box=None, padding=(0, 1))
    for column in ("modality", "stream", "state", "coverage", "attention"):
        table.add_column(column, header_style="dim")
    prediction = snapshot.prediction
    by_modality = {MODALITY_OF_KIND.get(s.spec.kind): s for s in snapshot.streams.values()}
    for modality in MODALITIES:
        stream = by_modality.get(modality)
        present = bool(prediction and prediction.present[modality])
        weight = prediction.modality_attention[modality] if prediction else 0.0
        state = "present" if present else (stream.state if stream and stream.state != "open" else "absent")
        table.add_row(
            modality,
            Text(stream.spec.name if stream else "no stream"),
            Text(state, style="green" if present else "red"),
            f"{prediction.coverage[modality]:.0%}" if prediction else "",
            Text(f"{_bar(weight)} {weight:.2f}", style="magenta"),
        )
    return table


def _footer(snapshot: Snapshot, model: str) -> Text:
    text = Text()
    if not math.isnan(snapshot.total_p50_ms):
        text.append(f"latency p50 {snapshot.total_p50_ms:.0f} ms, p99 {snapshot.total_p99_ms:.0f} ms")
    text.append(f"   model {model}")
    if snapshot.recording:
        text.append(f"   recording {snapshot.recording}", style="red")
    for failure in snapshot.failures:
        text.append(f"\n{failure.stage}: {failure.error}", style="bold red")
    for message in snapshot.messages[-_N_MESSAGES:]:
        text.append(f"\n- {message}", style="dim")
    return text


def _bar(share: float) -> str:
    filled = round(share * _BAR_WIDTH)
    return "█" * filled + "·" * (_BAR_WIDTH - filled)
