"""A view store filled by the shipped simulated recording, run through pipeline and tap as a replay would."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

from app.view.store import ViewStore

PROJECT = Path(__file__).parents[3]
RECORDING = PROJECT / "assets" / "recordings" / "simulated-60s.xdf"


def filled_store(seconds: float = 20.0) -> ViewStore:
    """Return a store that has taken the first ``seconds`` of the simulated recording."""
    store = ViewStore()
    for piece in news(seconds):
        store.take(piece)
    return store


def news(seconds: float = 20.0) -> list[object]:
    """Return what an engine would have sent, oldest first; kept beside pytest's own cache once made."""
    folder = PROJECT / ".pytest_cache"
    path = folder / f"news-{_digest()}-{seconds:g}.pickle"
    if path.is_file():
        return pickle.loads(path.read_bytes())
    made = _make(seconds)
    folder.mkdir(exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(pickle.dumps(made))
    draft.replace(path)
    return made


def _make(seconds: float) -> list[object]:
    from acquisition.intake import intake_maker
    from acquisition.select import select_streams
    from acquisition.xdf.scan import scan_xdf
    from acquisition.xdf.source import XdfSource
    from app.engine.messages import ModelInfo, Opened, Phase, Timeline
    from app.engine.tap import Tap
    from app.model_loading import load_model
    from app.pipeline import Pipeline
    from app.request import SessionOptions
    from models.decoder import Decoder

    options = SessionOptions()
    checkpoint = load_model(options)  # and one thread for the network
    config = checkpoint.config
    made: list[object] = [Phase("loading")]
    tap = Tap(made.append, config)
    index = scan_xdf(RECORDING)
    selection = select_streams({key: stream.header for key, stream in index.streams.items()}, None)
    maker = intake_maker(options.adapter_options(config.ch_names), config.windows.max_gap_s)
    source = XdfSource(RECORDING, selection, maker, index=index)
    model = ModelInfo(
        name=Path(options.model).name,
        path=Path(options.model),
        labels=config.labels,
        ch_names=config.ch_names,
        trained_on=config.trained_on,
        is_simulated=True,
        preset=config.network.preset,
        n_parameters=sum(p.numel() for p in checkpoint.network.parameters()),
        device="cpu",
        bands=config.features.bands,
        windows=config.windows,
    )
    timeline = Timeline(RECORDING, source.first_time, source.last_time, (), ())
    made += [Opened("replay", model, timeline, is_simulated=True), Phase("running")]
    pipeline = Pipeline(source, Decoder(checkpoint), live=False, on_event=tap.on_event, on_chunk=tap.on_chunk)
    hop_s = config.windows.hop_s
    first = int(source.first_time // hop_s) + 1
    last = min(source.last_time, source.first_time + seconds)
    for k in range(first, int(last // hop_s) + 1):
        for prediction in pipeline.step(k * hop_s):
            tap.on_prediction(prediction)
        tap.step()
    source.close()
    return made


def _digest() -> str:
    """Return a name for the code that makes the news: other code, other news."""
    digest = hashlib.sha256(RECORDING.read_bytes()[:100_000])
    names = ("acquisition/quality.py", "acquisition/types.py", "app/telemetry.py", "models/prediction.py")
    paths = [*(PROJECT / "app" / "engine").glob("*.py"), *(PROJECT / name for name in names)]
    for path in sorted([*paths, Path(__file__)]):
        if path.stem not in ("process", "main", "live", "replay", "occlusion"):  # these have no part in it
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
