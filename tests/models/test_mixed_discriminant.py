from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from scipy.stats import multivariate_normal

from acquisition.errors import ErrorCode, InputError
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_fit import LEVEL, TimeCourse, separable_target, time_course, trial_weights
from models.mixed_part import LabelledTrial, check_numbers, own_level

N_STEPS, N_EYE, N_LABELS = 12, 6, 3


def made(
    people: Sequence[str] = ("a", "b", "c", "d"),
    *,
    shared: float = 2.0,
    own: float = 0.5,
    sessions: Sequence[int] = (1, 2),
    each: int = 3,
    n: int = N_EYE,
    modality: str = "eye",
    seed: int = 0,
) -> list[LabelledTrial]:
    """Trials whose class effects are shared by people, or their own, by so many SDs of a trial's offset."""
    pattern = np.random.default_rng([seed, 1]).standard_normal((N_LABELS, n))
    mixing = np.random.default_rng([seed, 2]).standard_normal((n, n))
    trials = []
    for number, person in enumerate(people):
        rng = np.random.default_rng([seed, 3, number])
        effects = shared * pattern + own * rng.standard_normal((N_LABELS, n))
        for session in sessions:
            level = 5 * rng.standard_normal(n)
            for label in [*range(N_LABELS)] * each:
                offset = effects[label] + rng.standard_normal(n)
                steps = level + (offset + rng.standard_normal((N_STEPS, n))) @ mixing
                trials.append(LabelledTrial(person, session, label, {modality: steps}))
    return trials


def centred(trials: Sequence[LabelledTrial]) -> list[LabelledTrial]:
    levels = {
        (t.person, t.session): own_level(
            [o for o in trials if (o.person, o.session) == (t.person, t.session)]
        )
        for t in trials
    }
    return [t.minus(levels[t.person, t.session]) for t in trials]


def means(trials: Sequence[LabelledTrial], modality: str = "eye") -> torch.Tensor:
    return torch.tensor(np.stack([trial.mean(modality)[0] for trial in trials]), dtype=torch.float32)


def evidence(
    model: MixedDiscriminant, x: torch.Tensor, known: torch.Tensor | None = None, modality: str = "eye"
) -> torch.Tensor:
    known = torch.ones(x.shape, dtype=torch.bool) if known is None else known
    return model.evidence(modality, x, torch.full((len(x),), N_STEPS), known)


def relative(log_likelihood: np.ndarray | torch.Tensor) -> np.ndarray:
    values = np.asarray(log_likelihood, dtype=np.float64)
    return values - values.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def others() -> list[LabelledTrial]:
    return made()


@pytest.fixture(scope="module")
def base(others) -> MixedDiscriminant:
    return MixedDiscriminant.fit(others, N_LABELS)


@pytest.fixture(scope="module")
def mine() -> list[LabelledTrial]:
    return centred(made("e", sessions=(1,), each=2, seed=0))


def test_the_posterior_is_that_of_the_joint_gaussian_of_all_trials(base, others, mine):
    """Conditioning class means on every single trial, person and level at once gives the same."""
    part = base.update(mine)._parts["eye"]
    mean, variance = part.posterior(session=1, level_trials=10)
    trials = [*centred(others), *mine]
    gains = {
        (t.person, t.session): part.gains.of(
            [o.steps["eye"] for o in trials if (o.person, o.session) == (t.person, t.session)], part.course
        )
        for t in centred(others)
    }
    one = np.ones(N_EYE)
    z = part.projected(np.stack([t.mean("eye")[0] / gains.get((t.person, t.session), one) for t in trials]))
    label = np.array([*range(N_LABELS), *(t.label for t in trials)])
    person = np.array(["e"] * N_LABELS + [t.person for t in trials])
    session = np.array([1] * N_LABELS + [t.session for t in trials])
    same_label, same_person = label[:, None] == label, person[:, None] == person
    same_session = same_person & (session[:, None] == session)
    for d, size in enumerate(part.effects.size):
        joint = size * (
            part.effects.shared * same_label
            + part.effects.own * (same_label & same_person)
            + LEVEL * same_session
        )
        noise = part.directions.between[d] + part.directions.within[d] * part.course.of_mean(N_STEPS)
        seen = joint[N_LABELS:, N_LABELS:] + noise * np.eye(len(trials))
        weights = np.linalg.solve(seen, joint[N_LABELS:, :N_LABELS]).T
        np.testing.assert_allclose(mean[:, d], weights @ z[:, d], rtol=1e-4, atol=1e-6)
        expected = joint[:N_LABELS, :N_LABELS] - weights @ joint[N_LABELS:, :N_LABELS]
        np.testing.assert_allclose(variance[:, d], np.diag(expected), rtol=1e-3)


@pytest.mark.parametrize("hidden", [[], [0], [1, 4, 5]])
def test_unknown_features_are_integrated_out(base, mine, hidden):
    model = base.update(mine)
    part = model._parts["eye"]
    mean, variance = part.posterior(1, 10)
    np.testing.assert_allclose(variance, variance[:1].repeat(N_LABELS, axis=0), rtol=1e-6)  # as many of each
    to_features = np.linalg.inv(part.directions.basis)
    noise = part.directions.within * part.course.of_mean(N_STEPS)
    known = np.ones(N_EYE, dtype=bool)
    known[hidden] = False
    covariance = (to_features * (part.directions.between + variance[0] + noise)) @ to_features.T
    x = means(mine)
    expected = np.stack(
        [
            multivariate_normal(m[known], covariance[np.ix_(known, known)]).logpdf(x.numpy()[:, known])
            for m in mean @ to_features.T
        ],
        axis=1,
    )
    x[:, hidden] = 1e4
    found = evidence(model, x, torch.from_numpy(known).expand(x.shape))
    np.testing.assert_allclose(relative(found), relative(expected), atol=2e-3)


def test_rows_may_lack_different_features_or_all(base):
    x = torch.randn(3, N_EYE, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[True] * 6, [True, False] * 3, [False] * 6])
    together = evidence(base, x, known)
    assert (together[2] == 0).all()
    assert base.distance("eye", x, torch.full((3,), N_STEPS), known)[2] == 0
    for row in (0, 1):
        torch.testing.assert_close(
            together[row : row + 1], evidence(base, x[row : row + 1], known[row : row + 1])
        )


def test_trials_added_one_by_one_equal_trials_added_at_once(base, mine):
    step_by_step = base
    for trial in mine:
        step_by_step = step_by_step.update([trial])
    x = means(mine)
    torch.testing.assert_close(
        evidence(step_by_step, x), evidence(base.update(mine), x), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(evidence(base, x), evidence(base.update([]), x))


def test_a_trial_with_a_missing_feature_still_teaches_the_others(base, mine):
    gap = [t.minus({"eye": np.where(np.arange(N_EYE) == 2, np.nan, 0.0)}) for t in mine]
    x = means(mine)
    whole, partly, nothing = (evidence(m, x) for m in (base.update(mine), base.update(gap), base))
    assert (whole - partly).abs().mean() < 0.5 * (whole - nothing).abs().mean()


def test_where_people_share_nothing_own_trials_decide_alone():
    people = [str(number) for number in range(16)]
    base = MixedDiscriminant.fit(made(people, shared=0.0, own=1.0), N_LABELS)
    effects = base.part("eye").effects
    assert effects.shared <= 0.1 * effects.own
    trials = centred(made("xyz", shared=0.0, own=1.0, sessions=(1,), each=20))
    for person in "xyz":
        mine = [t for t in trials if t.person == person]
        part = base.update(mine[:12])._parts["eye"]
        nothing = replace(part, shared=replace(part.shared, mean=np.zeros_like(part.shared.mean)))
        alone = MixedDiscriminant({"eye": nothing}, N_LABELS, 1)
        x, label = means(mine[12:]), torch.tensor([t.label for t in mine[12:]])
        with_others, own = (
            (evidence(m, x).argmax(dim=1) == label).float().mean() for m in (base.update(mine[:12]), alone)
        )
        assert abs(with_others - own) <= 0.05
        assert own > 0.5


def test_shared_patterns_tell_a_stranger_without_labels(base):
    stranger = centred(made("xyz", sessions=(4,), seed=0))[-9:]
    told = evidence(base, means(stranger)).argmax(dim=1)
    assert base.part("eye").effects.shared >= 0.2
    assert (told == torch.tensor([t.label for t in stranger])).float().mean() >= 8 / 9


def test_one_person_alone_is_fitted_without_others():
    trials = made("e", sessions=(1,), each=4)
    model = MixedDiscriminant.fit(trials, N_LABELS, person="e")
    told = evidence(model, means(centred(trials))).argmax(dim=1)
    assert model.part("eye").effects.shared == 0
    assert (told == torch.tensor([t.label for t in trials])).float().mean() > 0.8


def test_one_trial_of_a_class_or_none_is_enough():
    trials = [t for t in made("e", sessions=(1,), each=1) if t.label < 2]
    found = evidence(MixedDiscriminant.fit(trials, N_LABELS, person="e"), means(centred(trials)))
    assert found.shape == (2, N_LABELS)
    assert found.isfinite().all()


def test_modalities_add_and_an_absent_one_adds_nothing(others, base):
    both = [
        LabelledTrial(e.person, e.session, e.label, {**e.steps, "eeg": v.steps["eeg"]})
        for e, v in zip(others, made(modality="eeg", n=10, seed=5), strict=True)
    ]
    model = MixedDiscriminant.fit(both, N_LABELS)
    assert model.modalities == ("eeg", "eye")
    x = means(centred(both)[:4])
    torch.testing.assert_close(evidence(model, x), evidence(base, x))  # what one says hangs on no other
    assert (model.evidence("face", torch.zeros(2, 7), torch.ones(2), torch.ones(2, 7).bool()) == 0).all()
    assert (base.evidence("eeg", torch.zeros(2, 10), torch.ones(2), torch.ones(2, 10).bool()) == 0).all()


def test_what_is_stored_and_read_again_says_the_same_to_the_bit(base, mine):
    model = base.update(mine).in_session(1, level_trials=7)
    tensors, settings = model.state()
    again = MixedDiscriminant.from_state(load(save(tensors)), json.loads(json.dumps(settings)))
    x, n, known = means(mine), torch.full((len(mine),), 5), torch.ones(len(mine), N_EYE, dtype=torch.bool)
    assert torch.equal(again.distance("eye", x, n, known), model.distance("eye", x, n, known))
    assert (again.part("eye").mark, again.level_trials) == (model.part("eye").mark, 7)
    assert torch.equal(evidence(again, x), evidence(model, x))
    assert torch.equal(evidence(again.update(mine), x), evidence(model.update(mine), x))
    del tensors["eye.own.total"]
    with pytest.raises(InputError) as refused:
        MixedDiscriminant.from_state(tensors, settings)
    assert refused.value.code is ErrorCode.DATA


def test_the_mark_is_passed_by_one_window_in_a_hundred_of_strangers(base):
    stranger = centred(made([str(n) for n in range(12)], each=6, seed=0))
    x = means(stranger)
    n, known = torch.full((len(x),), N_STEPS), torch.ones(x.shape, dtype=torch.bool)
    distance = base.in_session(9, level_trials=18).distance("eye", x, n, known)
    assert (distance > base.part("eye").mark).float().mean() < 0.06
    assert (base.distance("eye", x + 100, n, known) > base.part("eye").mark).all()


def test_a_level_prior_weighs_trials_against_people():
    people = [str(number) for number in range(40)]
    prior = (
        MixedDiscriminant.fit(made(people, sessions=(1,), shared=0.0, own=0.0), N_LABELS).part("eye").level
    )
    mixing = np.random.default_rng([0, 2]).standard_normal((N_EYE, N_EYE))
    expected = (1 + 1 / N_STEPS) * (mixing**2).sum(axis=0) / 25  # variance of trials over that of levels
    np.testing.assert_allclose(prior.kappa, expected, rtol=0.6)
    assert np.abs(prior.mean).max() < 3


def test_a_person_who_varies_more_is_told_as_well_once_aligned():
    gains = np.exp(0.6 * np.random.default_rng(9).standard_normal(12))
    people = [str(number) for number in range(12)]
    scaled = [
        replace(t, steps={"eye": t.steps["eye"] * gains[int(t.person)]})
        for t in made(people, shared=1.0, own=0.2)
    ]
    base = MixedDiscriminant.fit(scaled, N_LABELS)
    mine = centred(made(["x"], shared=1.0, own=0.2, sessions=(1,), each=10, seed=0))
    loud = [replace(t, steps={"eye": 4 * t.steps["eye"]}) for t in mine]
    one, other = base.aligned(mine), base.aligned(loud)
    ratio = other._parts["eye"].gain / one._parts["eye"].gain
    np.testing.assert_allclose(ratio, 4, rtol=0.1)
    torch.testing.assert_close(evidence(one, means(mine)), evidence(other, means(loud)), rtol=0.1, atol=1.0)
    n, known = torch.full((30,), N_STEPS), torch.ones(30, N_EYE, dtype=torch.bool)
    assert (
        base.distance("eye", means(loud), n, known).mean()
        > 4 * other.distance("eye", means(loud), n, known).mean()
    )


def test_a_person_is_aligned_by_the_features_that_a_restricted_discriminant_keeps():
    gains = np.exp(0.6 * np.random.default_rng(9).standard_normal(12))
    scaled = [
        replace(t, steps={"eye": t.steps["eye"] * gains[int(t.person)]})
        for t in made([str(number) for number in range(12)], shared=1.0, own=0.2)
    ]
    known = np.arange(N_EYE) % 2 == 0
    few = MixedDiscriminant.fit(scaled, N_LABELS).restricted([2, 0], {"eye": known})
    mine = centred(made(["x"], shared=1.0, own=0.2, sessions=(1,), each=10, seed=0))
    loud = [replace(t, steps={"eye": 4 * t.steps["eye"]}) for t in mine]
    one, other = (few.aligned(trials)._parts["eye"].gain for trials in (mine, loud))
    assert few._parts["eye"].gain.tolist() == [1.0] * int(known.sum())
    np.testing.assert_allclose(other / one, 4, rtol=0.1)


def test_where_people_vary_alike_nobody_is_aligned(others):
    part = MixedDiscriminant.fit(others, N_LABELS).aligned(centred(others)[:9])._parts["eye"]
    np.testing.assert_allclose(part.gain, 1.0, atol=0.1)


def test_a_time_course_finds_noise_and_drift():
    rng, rho = np.random.default_rng(0), 0.8
    trials = []
    for _ in range(200):
        drift = [rng.standard_normal(4)]
        for _ in range(39):
            drift.append(rho * drift[-1] + np.sqrt(1 - rho**2) * rng.standard_normal(4))
        trials.append(np.array(drift) + rng.standard_normal((40, 4)))
    found = time_course(trials)
    assert (found.w, found.v) == pytest.approx((0.5, 0.5), abs=0.05)
    assert found.rho == pytest.approx(rho, abs=0.05)
    means = np.array([trial[:10].mean(axis=0) for trial in trials])
    assert found.of_mean(10) == pytest.approx(float(means.var() / 2), rel=0.15)
    assert TimeCourse().of_mean(4) == pytest.approx(0.25)


def test_trials_count_less_the_further_out_they_lie_where_tails_are_heavy():
    rng = np.random.default_rng(0)
    usual = rng.standard_normal((200, 40))
    assert (trial_weights((usual**2).sum(axis=1), 40) == 1).all()
    loudness = np.sqrt(3 / rng.chisquare(3, 200))
    weight = trial_weights((usual**2).sum(axis=1) * loudness**2, 40)
    assert weight.mean() == pytest.approx(1)
    assert np.corrcoef(np.log(weight), -2 * np.log(loudness))[0, 1] > 0.9


def test_a_separable_covariance_is_its_own_target():
    rng = np.random.default_rng(0)
    channels, bands = (m @ m.T + np.eye(len(m)) for m in (rng.standard_normal((n, n)) for n in (6, 3)))
    covariance = np.kron(channels, bands)
    found = separable_target(covariance, 3)
    assert np.trace(found) == pytest.approx(np.trace(covariance), rel=0.1)
    assert np.corrcoef(found.ravel(), covariance.ravel())[0, 1] > 0.99


def test_a_trial_counts_once_however_many_steps_it_has(mine):
    """What a trial says of its class is bounded by its own offset, not by the number of windows in it."""
    longer = [LabelledTrial(t.person, 1, t.label, {"eye": np.tile(t.steps["eye"], (20, 1))}) for t in mine]
    others = made(own=0.0, shared=1.0)
    base = MixedDiscriminant.fit(others, N_LABELS)
    short, long = (base.update(trials)._parts["eye"].posterior(1, 10)[1] for trials in (mine, longer))
    assert (long / short).mean() > 0.6  # 1 / 20 if steps counted


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(InputError) as refused:
        MixedDiscriminant.fit([], N_LABELS)
    assert refused.value.code is ErrorCode.DATA
    flat = [LabelledTrial("a", 1, k, {"eye": np.ones((4, 2))}) for k in range(3)]
    with pytest.raises(InputError):
        MixedDiscriminant.fit(flat, N_LABELS)


def test_cells_of_one_trial_each_leave_the_usual_shrinkage():
    rng = np.random.default_rng(0)
    trials = [LabelledTrial("1", 1, label, {"eye": rng.normal(size=(8, 4))}) for label in (0, 0, 1)]
    model = MixedDiscriminant.fit(trials, 2, person="1")
    assert np.isfinite(model.class_means("eye")).all()


@pytest.mark.parametrize("array", [np.array([np.inf], np.float16), np.array([1j]), np.array([np.nan])])
def test_numbers_of_a_file_are_real_and_finite_in_every_type(array):
    with pytest.raises(ValueError, match="x: expected"):
        check_numbers("x", array, (1,))
