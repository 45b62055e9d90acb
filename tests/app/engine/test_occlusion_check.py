"""The occlusion check runs in slices and answers once."""

from __future__ import annotations

import pytest

from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from app.engine.health import OcclusionCheck
from app.pipeline import Pipeline
from models.checkpoint import load_checkpoint
from models.decoder import Decoder
from models.occlusion import OcclusionRun


@pytest.fixture
def running(random_model):
    """A decoder that has just decoded, and what decodes its next window."""
    decoder = Decoder(load_checkpoint(random_model))
    options = SimulatorOptions(seed=5, streams=("eeg",))
    pipeline = Pipeline(SimulatedSource(options), decoder, live=False)
    hops = iter(range(1, 1000))

    def decode_next():
        return pipeline.step(next(hops) * 0.25)

    return decoder, decode_next


class Ticks:
    """A stopwatch that goes on by one step at every look."""

    def __init__(self, step_s):
        self.step_s, self.now = step_s, 0.0

    def __call__(self):
        self.now += self.step_s
        return self.now


def test_answer_is_the_same_in_slices_and_at_once(running):
    decoder, decode_next = running
    while not decode_next():
        pass
    at_once, in_slices = [], []
    for answers, step_s in ((at_once, 0.0), (in_slices, 1.0)):
        check = OcclusionCheck(decoder, answers.append, time=Ticks(step_s))
        check.ask()
        n_slices = 0
        while check.has_work:
            check.work()
            n_slices += 1
        assert len(answers[0].rows) > 10
        assert n_slices == (1 if step_s == 0.0 else len(answers[0].rows) + 1)
    assert at_once == in_slices


def test_a_slice_asks_about_what_its_budget_allows(running):
    decoder, decode_next = running
    while not decode_next():
        pass
    answers = []
    check = OcclusionCheck(decoder, answers.append, budget_s=0.04, time=Ticks(0.015))
    check.ask()
    run = OcclusionRun(decoder, decoder.newest)
    n_variants = 0
    while run.advance():
        n_variants += 1
    n_slices = 0
    while check.has_work:
        check.work()
        n_slices += 1
    # A look at the start and one after each variant: three variants reach 45 ms.
    assert n_slices == n_variants // 3 + 1
    assert len(answers[0].rows) == n_variants


def test_answer_is_about_the_window_that_was_newest_when_it_began(running):
    decoder, decode_next = running
    answers = []
    check = OcclusionCheck(decoder, answers.append, time=Ticks(1.0))
    check.ask()
    check.work()
    assert not check.has_work  # nothing was decoded yet: it waits
    while not (first := decode_next()):
        check.work()
    check.work()
    while not answers:
        decode_next()
        check.work()
    assert answers[0].t_end == first[0].t_end
    assert answers[0].label == first[0].label
    assert answers[0].probability == first[0].probs[first[0].label]


def test_nothing_happens_unasked_and_one_question_has_one_answer(running):
    decoder, decode_next = running
    while not decode_next():
        pass
    answers = []
    check = OcclusionCheck(decoder, answers.append, time=Ticks(0.0))
    check.work()
    assert answers == []
    check.ask()
    check.ask()
    check.work()
    check.work()
    assert len(answers) == 1


def test_what_was_asked_before_a_seek_is_dropped(running):
    decoder, decode_next = running
    while not decode_next():
        pass
    answers = []
    check = OcclusionCheck(decoder, answers.append, time=Ticks(1.0))
    check.ask()
    check.work()
    check.forget()
    check.work()
    assert answers == []
