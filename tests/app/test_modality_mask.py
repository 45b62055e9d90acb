"""Modalities masked manually, and rests: from which window on, how markers note and replays repeat them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acquisition.errors import InputError
from acquisition.header import NOTES_ID
from acquisition.simulator.recording import write_simulated
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Change
from acquisition.xdf.write import XdfWriter
from app.modality_mask import MaskChange, ModalityMask, Rest, read_change
from app.outputs import DigestSink, prediction_record
from app.pipeline import Pipeline
from app.replay import ReplayFile, ReplaySession
from app.request import ReplayRequest, SessionOptions
from app.telemetry import Telemetry
from assets import DEMO_MODEL
from models.checkpoint import load_checkpoint
from models.decoder import Decoder

HOP_S = 0.25


def test_a_change_holds_for_windows_that_end_at_its_time_or_later():
    mask = ModalityMask()
    first = mask.add(MaskChange(10.1, "eye", True), HOP_S)
    second = mask.add(MaskChange(20.1, "eye", False), HOP_S)
    assert (first.time, second.time) == (10.1, 20.1)
    assert [mask.masked_at(t) for t in (10.0, 10.25, 20.0, 20.25)] == [(), ("eye",), ("eye",), ()]


def test_no_change_reaches_back_to_a_window_that_was_decoded():
    mask = ModalityMask()
    assert mask.of_window(10.5) == frozenset()  # a stream's stamps ran ahead of the clock
    change = mask.add(MaskChange(10.2, "eeg", True), HOP_S)
    assert 10.5 < change.time < 10.75
    assert mask.of_window(10.5) == frozenset()
    assert mask.of_window(10.75) == {"eeg"}


@pytest.mark.parametrize("now", [9.9999, 10.0, 10.0001])
def test_a_change_keeps_away_from_the_ends_of_windows(now):
    assert ModalityMask().add(MaskChange(now, "eeg", True), HOP_S).time == pytest.approx(10.01)


def test_changes_never_go_back_in_time():
    mask = ModalityMask()
    times = [mask.add(MaskChange(10.0 + at * 1e-3, "eeg", bool(at % 2)), HOP_S).time for at in range(30)]
    assert times == sorted(times)


def test_what_was_recorded_yields_to_what_is_ordered_now():
    mask = ModalityMask([MaskChange(10.1, "eeg", True), MaskChange(12.1, "eye", True)])
    mask.settle("eeg", False)
    assert mask.masked_at(math.inf) == ("eye",)
    assert [change.modality for change in mask.between(-math.inf, 20.0)] == ["eye"]


def test_an_unknown_modality_is_refused():
    for call in (
        lambda mask: mask.add(MaskChange(1.0, "smell", True), HOP_S),
        lambda mask: mask.settle("smell", True),
    ):
        with pytest.raises(InputError) as error:
            call(ModalityMask())
        assert error.value.where == "mask"


def test_markers_are_read_as_they_were_written():
    for masked in (True, False):
        change = MaskChange(3.0, "voice", masked)
        assert read_change(change.marker, 3.0) == change
    assert MaskChange(3.0, "eeg", True).marker == "affectscope/unplug/eeg"
    marked = MaskChange(3.0, "eeg", True, "CZ")
    assert marked.marker == "affectscope/bad/CZ"
    for change in (marked, MaskChange(3.0, "eeg", False, "CZ")):
        assert read_change(change.marker, 3.0) == change
    for text in ("affectscope/unplug/smell", "unplug/eeg", "affectscope/unplug/eeg now", ""):
        assert read_change(text, 3.0) is None


def header(source_id: str) -> str:
    from pylsl import StreamInfo

    return StreamInfo("Affectscope notes", "Markers", 1, 0.0, "string", source_id).as_xml()


@pytest.fixture(scope="module")
def noted(tmp_path_factory):
    """EEG and voice, in which the EEG was masked by the program itself, the voice by somebody else."""
    path = tmp_path_factory.mktemp("noted") / "noted.xdf"
    write_simulated(path, ("eeg", "audio"), 12.0, eeg_sfreq=250.0)
    with XdfWriter(path, append=True) as writer:
        writer.add_stream(8, header(f"{NOTES_ID}abc"))
        writer.samples(
            8, [1004.1, 1005.1, 1006.1], [("affectscope/unplug/eeg",), ("a note",), ("affectscope/plug/eeg",)]
        )
        writer.add_stream(9, header("somebody"))
        writer.samples(9, [1004.1], [("affectscope/unplug/voice",)])
    return path


class Collect:
    def __init__(self):
        self.present = {}

    def write(self, prediction):
        self.present[prediction.t_end] = dict(prediction.present)

    def close(self):
        pass


@pytest.mark.parametrize("streams", [None, "markers=none"])
def test_a_replay_masks_what_was_masked_live_and_says_so(noted, random_model, streams):
    collect, telemetry = Collect(), Telemetry()
    options = SessionOptions(model=random_model, extra_sinks=(collect,), streams=streams)
    ReplaySession(ReplayRequest(noted, options), telemetry).run(lambda share: None)
    absent = [t_end for t_end, present in collect.present.items() if t_end > 1003.5 and not present["eeg"]]
    assert absent == [1004.25 + at * HOP_S for at in range(8)]  # 1004.25 to 1006.0
    assert all(present["voice"] for t_end, present in collect.present.items() if t_end > 1003.5)
    said = [message for message in telemetry.messages if "masked" in message]
    assert said == [
        "eeg: masked manually here, as in the live run",
        "eeg: unmasked here, as in the live run",
    ]


def test_rests_are_read_as_they_were_written_and_last_their_seconds():
    mask = ModalityMask()
    rest = mask.add(Rest(10.0, 60.0), HOP_S)
    assert (rest.time, rest.marker) == (pytest.approx(10.01), "affectscope/rest/60")
    assert read_change(rest.marker, rest.time) == rest
    assert [mask.rest_at(t) for t in (10.0, 10.25, 70.0, 70.25)] == [None, rest, rest, None]
    early = mask.add(Rest(30.1, 0.0), HOP_S)
    assert [mask.rest_at(t) for t in (30.0, 30.25, 100.0)] == [rest, early, early]
    assert [change.sentence for change in mask.between(-math.inf, 40.0)] == [
        "a rest of 60 s begins here, as in the live run",
        "the rest was ended early here, as in the live run",
    ]


@pytest.fixture(scope="module")
def rested(tmp_path_factory):
    """EEG and gaze with a rest of 12 s noted at 1003.1 s."""
    path = tmp_path_factory.mktemp("rested") / "rested.xdf"
    write_simulated(path, ("eeg", "gaze"), 17.0, eeg_sfreq=200.0)
    with XdfWriter(path, append=True) as writer:
        writer.add_stream(8, header(f"{NOTES_ID}abc"))
        writer.samples(8, [1003.1], [("affectscope/rest/12",)])
    return path


class Keep(DigestSink):
    """A digest, and where the normalisation came from."""

    def __init__(self):
        super().__init__()
        self.origins = {}

    def write(self, prediction):
        super().write(prediction)
        self.origins[prediction.t_end] = prediction.normalisation


def test_a_rest_asked_for_while_running_sets_the_level_and_its_replay_repeats_it(rested):
    live, replayed = Keep(), Keep()
    file = ReplayFile(ReplayRequest(rested, SessionOptions()))
    mask, events = ModalityMask(), []
    pipeline = Pipeline(file.open(), Decoder(file.checkpoint), live=False, on_event=events.append, mask=mask)
    for hop in range(4001, 4068):
        for prediction in pipeline.step(hop * HOP_S):
            live.write(prediction)
        if hop * HOP_S == 1003.0:  # as a command between two windows
            mask.add(Rest(1003.1, 12.0), HOP_S)
    ReplaySession(ReplayRequest(rested, SessionOptions(extra_sinks=(replayed,)))).run(lambda share: None)
    assert live.line() == replayed.line()
    assert [replayed.origins[t] for t in (1015.0, 1015.5)] == ["running level", "baseline of 12 s"]
    assert "the participant's own level is set" in [event.message for event in events]


def test_a_rest_without_signals_leaves_the_level_running_and_ends():
    mask, events, source = ModalityMask(), [], SimulatedSource(SimulatorOptions(streams=("audio",)))
    decoder = Decoder(load_checkpoint(DEMO_MODEL))
    pipeline = Pipeline(source, decoder, live=False, on_event=events.append, mask=mask)
    mask.add(Rest(3.1, 2.0), HOP_S)
    for hop in range(1, 25):
        pipeline.step(hop * HOP_S)
    assert (decoder.is_in_baseline, decoder.rest_failed) == (False, True)
    assert decoder.newest.normalisation == "running level"
    assert [event.time for event in events if event.change is Change.WARNING] == [5.25]


def test_marks_of_electrodes_are_restated_and_can_be_taken_back():
    mask = ModalityMask()
    for name, bad, now in (("PZ", True, 1.1), ("CZ", True, 1.1), ("PZ", False, 5.1)):
        mask.add(MaskChange(now, "eeg", bad, name), HOP_S)
    assert [mask.marked_bad_at(t) for t in (1.0, 1.25, 5.25)] == [(), ("CZ", "PZ"), ("CZ",)]
    assert mask.masked_at(5.25) == ()
    assert [change.marker for change in mask.restated(9.1, HOP_S)] == ["affectscope/bad/CZ"]
    mask.settle("eeg", False, "CZ")
    assert mask.marked_bad_at(math.inf) == ()


@pytest.fixture(scope="module")
def with_bad(tmp_path_factory):
    """EEG in which CZ and PZ were marked bad at 1004.1 s, and PZ no longer at 1006.1 s."""
    path = tmp_path_factory.mktemp("bad") / "bad.xdf"
    write_simulated(path, ("eeg",), 8.0, eeg_sfreq=200.0)
    marks = [("affectscope/bad/CZ",), ("affectscope/bad/PZ",), ("affectscope/good/PZ",)]
    with XdfWriter(path, append=True) as writer:
        writer.add_stream(8, header(f"{NOTES_ID}abc"))
        writer.samples(8, [1004.1, 1004.1, 1006.1], marks)
    return path


class KeepMarks(DigestSink):
    """A digest, and what every prediction says of CZ and PZ."""

    def __init__(self):
        super().__init__()
        self.marked, self.entropy_known, self.masks = {}, {}, {}

    def write(self, prediction):
        super().write(prediction)
        t, of = prediction.t_end, [prediction.band_ch_names.index(name) for name in ("CZ", "PZ")]
        self.marked[t] = list(prediction_record(prediction)["marked_bad"])
        self.entropy_known[t] = [bool(np.isfinite(prediction.band_de[at]).all()) for at in of]
        self.masks[t] = prediction.inputs.eeg_channel_mask[0].reshape(-1, 62)[-1, of].tolist()


def test_electrodes_marked_bad_are_masked_in_the_network_live_as_in_replay(with_bad):
    live, replayed = KeepMarks(), KeepMarks()
    file = ReplayFile(ReplayRequest(with_bad, SessionOptions()))
    mask = ModalityMask()
    pipeline = Pipeline(file.open(), Decoder(file.checkpoint), live=False, mask=mask)
    for hop in range(4001, 4032):
        for prediction in pipeline.step(hop * HOP_S):
            live.write(prediction)
        if hop * HOP_S == 1004.0:  # as commands between two windows
            mask.add(MaskChange(1004.1, "eeg", True, "CZ"), HOP_S)
            mask.add(MaskChange(1004.1, "eeg", True, "PZ"), HOP_S)
        elif hop * HOP_S == 1006.0:
            mask.add(MaskChange(1006.1, "eeg", False, "PZ"), HOP_S)
    telemetry = Telemetry()
    request = ReplayRequest(with_bad, SessionOptions(extra_sinks=(replayed,)))
    ReplaySession(request, telemetry).run(lambda share: None)
    assert live.line() == replayed.line()
    times = (1004.0, 1004.25, 1006.0, 1006.25)
    assert [replayed.marked[t] for t in times] == [[], ["CZ", "PZ"], ["CZ", "PZ"], ["CZ"]]
    expected = [[True, True], [False, False], [False, False], [False, True]]
    assert [replayed.masks[t] for t in times] == expected
    assert [replayed.entropy_known[t] for t in times] == expected
    said = telemetry.messages
    assert "electrode CZ: marked bad here, as in the live run" in said
