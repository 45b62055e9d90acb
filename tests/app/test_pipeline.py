"""The whole path with a simulated person and a clock moved by hand: presence, loss, return, failures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from profiles import model_with_evidence

from acquisition.errors import InputError
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.stream_words import why_nothing
from acquisition.types import MODALITIES, Change, Chunk, Kind, StreamSpec
from app.outputs import network_features
from app.pipeline import Pipeline
from app.terminal import plain_line
from assets import DEMO_MODEL
from models.checkpoint import load_checkpoint
from models.config import VitConfig
from models.decoder import Decoder
from models.encoders.expression import ExpressionEncoder, LandmarkNet
from models.trust import LEAST_RELIABLE, Code


@pytest.fixture(scope="module")
def checkpoint(random_model):
    return load_checkpoint(random_model)


def run(
    checkpoint,
    seconds,
    *,
    faults="",
    streams=("eeg", "gaze", "video", "audio"),
    start=1000.0,
    hop_s=0.25,
    landmarks=None,
):
    """Pump a simulated person through the pipeline; return predictions and events by time."""
    options = SimulatorOptions(seed=5, streams=streams, faults=faults)
    events = []
    decoder = Decoder(checkpoint, landmarks=landmarks)
    pipeline = Pipeline(SimulatedSource(options, start=start), decoder, live=False, on_event=events.append)
    predictions = []
    for hop in range(1, round(seconds / hop_s) + 1):
        predictions += pipeline.step(start + hop * hop_s)
    return predictions, events


@pytest.fixture(scope="module")
def whole_run(checkpoint):
    return run(checkpoint, 21.0)[0]


def test_a_window_that_a_live_run_skipped_is_decoded_and_leaves_no_trace(random_model, tmp_path):
    with_evidence = load_checkpoint(model_with_evidence(random_model, tmp_path))
    skipped = {*range(4060, 4064), *range(4075, 4078), 4081, 4090}
    found = []
    for is_live in (True, False):
        source = SimulatedSource(SimulatorOptions(seed=5, streams=("gaze",)), start=1000.0)
        pipeline = Pipeline(source, Decoder(with_evidence), live=False)
        if not is_live:
            pipeline.follow({}, [t for t in np.arange(1000.0, 1030.0, 0.25) if round(4 * t) not in skipped])
        predictions = {}
        for now in np.arange(1000.25, 1028.0, 0.25):
            pipeline.acquire(now)
            for window in pipeline.due_windows(now):
                if not (is_live and window.index in skipped):
                    predictions[window.index] = pipeline.decode(window, lambda: 0.0)
        found.append({index: p.probs for index, p in predictions.items() if p is not None})
    live, replayed = found
    assert replayed.keys() - live.keys() == skipped
    assert {index: probs for index, probs in replayed.items() if index in live} == live


def test_every_window_is_predicted_on_the_hop_grid(whole_run):
    t_ends = np.array([p.t_end for p in whole_run])
    np.testing.assert_allclose(np.diff(t_ends), 0.25, atol=1e-9)
    assert np.allclose(t_ends / 0.25, np.round(t_ends / 0.25))


def test_probabilities_and_attention_are_distributions(whole_run):
    for p in whole_run:
        assert sum(p.probs.values()) == pytest.approx(1.0, abs=1e-5)
        assert sum(p.modality_attention.values()) == pytest.approx(1.0, abs=1e-5)
        assert sum(p.time_attention) == pytest.approx(1.0, abs=1e-5)
        for modality in MODALITIES:
            assert p.present[modality] or p.modality_attention[modality] == 0.0
        if p.present["eeg"]:
            assert sum(p.channel_attention.values()) == pytest.approx(1.0, abs=1e-4)
    assert list(whole_run[-1].channel_attention)[:2] == ["FP1", "FPZ"]


def test_modalities_come_in_as_their_context_fills(whole_run):
    since = {m: next(p.t_end - 1000.0 for p in whole_run if p.present[m]) for m in MODALITIES}
    assert since["face"] <= 1.0
    assert since["voice"] == pytest.approx(2.0)
    assert since["eeg"] == pytest.approx(3.0)
    assert since["eye"] == pytest.approx(6.0)
    assert whole_run[0].warm_up
    assert not whole_run[-1].warm_up


def test_a_stream_that_stops_goes_absent_and_comes_back(checkpoint):
    predictions, events = run(checkpoint, 23.0, faults="drop:gaze@10+6", streams=("eeg", "gaze"))
    present = {round(p.t_end - 1000.0, 2): p.present["eye"] for p in predictions}
    assert present[10.0]
    assert not any(there for t, there in present.items() if 11.0 <= t <= 16.0)
    returned = min(t for t, there in present.items() if t > 16.0 and there)
    assert returned <= 16.0 + 6.0 + 0.5  # three valid steps of 4 s, a second apart
    assert all(p.present["eeg"] for p in predictions if p.t_end > 1003.0)
    assert [e.change for e in events if e.stream == "gaze"] == [Change.OPENED, Change.STALE, Change.BACK]


def test_same_run_twice_gives_the_same_bytes(checkpoint):
    first, second = (run(checkpoint, 7.0)[0] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.probs == b.probs
        one, other = network_features(a), network_features(b)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_only_one_modality_is_enough(checkpoint):
    predictions, _ = run(checkpoint, 6.0, streams=("eeg",))
    assert predictions[0].t_end == pytest.approx(1003.0)
    assert predictions[-1].modality_attention == {"eeg": 1.0, "eye": 0.0, "face": 0.0, "voice": 0.0}


class FlatEeg(SimulatedSource):
    """Its EEG holds one value from 1006 s on."""

    def read(self, now):
        is_flat = now > 1006.0
        return [
            replace(item, data=np.ones_like(item.data))
            if is_flat and isinstance(item, Chunk) and item.stream.startswith("eeg")
            else item
            for item in super().read(now)
        ]


def test_seconds_in_which_no_electrode_is_usable_are_not_decodable(checkpoint):
    source = FlatEeg(SimulatorOptions(seed=5, streams=("eeg",)), start=1000.0)
    pipeline = Pipeline(source, Decoder(checkpoint), live=False)
    predictions = [p for hop in range(1, 81) for p in pipeline.step(1000.0 + hop * 0.25)]
    (ledger,) = pipeline.ledgers().values()
    assert ledger.decodable_s == len(predictions) * 0.25
    assert ledger.faulty_s > ledger.decodable_s > 2.0
    (reason,) = why_nothing([replace(ledger, n_received=9, decodable_s=0.0)], ["eeg"])
    assert "usable" in reason


class JoiningSource(SimulatedSource):
    """One stream sends its first sample late; ``is_known`` opens it at the start, as a recording does."""

    def __init__(self, options, start, late, join_s, *, is_known):
        super().__init__(options, start=start)
        self._late, self._join_at, self._is_known = late, start + join_s, is_known

    def read(self, now):
        items, kept = super().read(now), []
        for item in items:
            if item.stream != self._late:
                kept.append(item)
            elif isinstance(item, Chunk):
                first = int(np.searchsorted(item.times, self._join_at))
                if first < len(item.times):
                    kept += self._opening(now)
                    times, data = item.times[first:], item.data[first:]
                    kept.append(replace(item, data=data, times=times, start_index=0))
            elif self._is_known:
                kept.append(item)
            else:
                self._event = item
        return kept

    def _opening(self, now):
        event, self._event = getattr(self, "_event", None), None
        return [] if event is None else [replace(event, time=now)]


@pytest.mark.parametrize("late", ["gaze", "eeg"])
def test_a_stream_that_joins_is_as_one_that_a_recording_knows_from_the_start(checkpoint, late):
    """Live = replay of a recording that holds the stream: masked before it joined, all else untouched."""

    def pumped(*, is_known, join_s=21.0):
        options = SimulatorOptions(seed=5, streams=("eeg", "gaze"))
        source = JoiningSource(options, 1000.0, late, join_s, is_known=is_known)
        pipeline = Pipeline(source, Decoder(checkpoint), live=False)
        pipeline.aligner.start_at(1018.0)  # what the windows before look back at is read all the same
        return [p for hop in range(112) for p in pipeline.step(1000.0 + hop * 0.25)]

    live, replayed = pumped(is_known=False), pumped(is_known=True)
    assert [(p.t_end, p.probs, p.present, p.warm_up) for p in live] == [
        (p.t_end, p.probs, p.present, p.warm_up) for p in replayed
    ]
    modality = {"gaze": "eye", "eeg": "eeg"}[late]
    there = [p.t_end for p in live if p.present[modality]]
    assert 1023.0 < there[0] <= 1027.5
    np.testing.assert_allclose(np.diff([p.t_end for p in live]), 0.25)  # not one window is lost
    assert live[0].t_end == 1018.0
    assert not any(p.warm_up for p in live if p.t_end > 1020.0)  # the others go on answering


def test_windows_wait_as_long_as_a_run_says(checkpoint):
    source, decoder = SimulatedSource(SimulatorOptions(seed=1)), Decoder(checkpoint)
    pipeline = Pipeline(source, decoder, live=True, lateness_s=4.0)
    assert pipeline.aligner.config == replace(checkpoint.config.windows, lateness_s=4.0)
    assert Pipeline(source, decoder, live=True).aligner.config == checkpoint.config.windows


def test_foreign_channels_are_refused_with_both_lists(checkpoint):
    spec = StreamSpec("x", "Cap", Kind.EEG, ("A1", "A2"), ("uV", "uV"), 250.0)
    with pytest.raises(InputError, match=r"A1, A2.*FP1, FPZ.*--montage"):
        Decoder(checkpoint).open(spec)


def test_baseline_replaces_the_training_statistics_and_says_so(checkpoint):
    options = SimulatorOptions(seed=5, streams=("eeg",))
    pipeline = Pipeline(SimulatedSource(options), Decoder(checkpoint, baseline_s=10.0), live=False)
    predictions = [p for hop in range(1, 57) for p in pipeline.step(hop * 0.25)]
    origins = {round(p.t_end, 2): p.normalisation for p in predictions}
    assert origins[10.0] == "training"
    assert origins[14.0] == "baseline of 10 s"
    eeg = predictions[-1].inputs.eeg[0]  # (C, T, bands), now centred on the person's own mean
    assert abs(float(eeg.mean())) < 0.5


def test_memory_of_cached_steps_is_bounded(checkpoint):
    options = SimulatorOptions(seed=5, streams=("gaze",))
    decoder = Decoder(checkpoint)
    pipeline = Pipeline(SimulatedSource(options), decoder, live=False)
    counts = []
    for hop in range(1, 160):
        pipeline.step(hop * 0.25)
        counts.append(len(decoder._cached))
    assert counts[-1] == counts[110]


def test_a_device_that_fails_is_told_and_the_cpu_takes_over(checkpoint):
    def predictions(device):
        failures = []
        decoder = Decoder(checkpoint, device=device, on_failure=failures.append)
        pipeline = Pipeline(SimulatedSource(SimulatorOptions(seed=5)), decoder, live=False)
        return [p.probs for hop in range(1, 21) for p in pipeline.step(hop * 0.25)], failures

    expected, _ = predictions("cpu")
    found, failures = predictions("meta")  # holds no data: whatever is fetched from it raises
    assert found == expected
    assert len(failures) == 1
    assert "meta failed" in failures[0]


def test_features_move_to_the_cpu_with_the_network(checkpoint):
    failures = []
    options = SimulatorOptions(seed=5, streams=("eeg",))
    decoder = Decoder(checkpoint, on_failure=failures.append)
    pipeline = Pipeline(SimulatedSource(options), decoder, live=False)
    assert not [p for hop in range(1, 9) for p in pipeline.step(hop * 0.25)]
    decoder._forward.device = torch.device("meta")  # lost between two windows
    assert [p for hop in range(9, 17) for p in pipeline.step(hop * 0.25)]
    assert len(failures) == 1


@pytest.fixture(scope="module")
def landmarks():
    torch.manual_seed(6)
    tensors = dict(ExpressionEncoder(VitConfig(width=256, image_size=112)).state_dict())
    return LandmarkNet(tensors | {"fc.weight": torch.randn(136, 256), "fc.bias": torch.rand(136)})


def test_face_measures_come_with_every_window_and_change_no_probability(checkpoint, landmarks):
    streams = ("eeg", "video")
    plain, _ = run(checkpoint, 4.0, streams=streams)
    measured, events = run(checkpoint, 4.0, streams=streams, landmarks=landmarks)
    assert [p.probs for p in measured] == [p.probs for p in plain]
    assert all(p.face_measures is None for p in plain)
    for p in measured[4:]:
        assert p.t_end - 0.1 <= p.face_measures.time <= p.t_end  # of 15 frames a second
    assert not any(event.change is Change.NOTICE for event in events)


def test_an_eye_tracker_takes_the_place_of_face_measures(checkpoint, landmarks):
    measured, events = run(checkpoint, 3.0, streams=("gaze", "video"), landmarks=landmarks)
    assert all(p.face_measures is None for p in measured)
    assert sum(event.change is Change.NOTICE for event in events) == 1


@pytest.mark.parametrize(("scale", "n_told"), [(1.0, 0), (100.0, 1)])
def test_a_signal_unlike_that_of_training_is_told_once(scale, n_told):
    source = SimulatedSource(SimulatorOptions(seed=5, streams=("eeg",)), start=1000.0)
    read = source.read

    def scaled(now):
        return [replace(c, data=c.data * scale) if isinstance(c, Chunk) else c for c in read(now)]

    source.read, events = scaled, []
    pipeline = Pipeline(source, Decoder(load_checkpoint(DEMO_MODEL)), live=False, on_event=events.append)
    predictions = []
    for now in np.arange(1000.25, 1020.0, 0.25):
        predictions += pipeline.step(now)
    told = [event for event in events if event.code is Code.RELIABILITY]
    assert (len(told), {event.change for event in told}) == (n_told, {Change.WARNING} if n_told else set())
    assert (predictions[-1].reliability["eeg"] < LEAST_RELIABLE) == bool(n_told)
    assert ("unreliable: eeg" in plain_line(predictions[-1])) == bool(n_told)
