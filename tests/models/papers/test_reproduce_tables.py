"""Tables on generated data: keys, excluded subjects, the paper's figures, and a Dask cluster."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from models.baselines import LdaClassifier
from models.checkpoint import save_checkpoint
from models.config import preset
from models.datasets.seed import SEED_IV, SEED_V, load_seed
from models.datasets.trials import Excluded, Trial, cut_windows
from models.network import FusionNetwork
from models.normalise import Normaliser, fit_eeg, fit_eye
from models.training.finetune_config import FinetuneOptions
from models.training.scores import Scores, wilson_interval
from models.training.sources import Source
from models.training.tables import Entry, Row, write_table
from models.training.trial_tensors import TrialTensors
from tests.studies.data_sets.options import MakeOptions
from tests.studies.data_sets.seed import make_seed_iv, make_seed_v
from tests.studies.label_protocols import LabelTest, evaluate_labels, hidden
from tests.studies.papers import settings as paper
from tests.studies.papers.reproduce import Job, ReproduceOptions, jobs_of, reproduce, run_job, too_few
from tests.studies.papers.settings import OURS, TEN_TRIALS, TWO_A_CLASS, settings_of

pytestmark = pytest.mark.slow  # of a study, not of what runs live

CHANNELS = SEED_CH_NAMES[::8]  # whitening 62 takes seconds a classifier
ROW = {"model", "pretrained", "labels", "mask", "mean", "sd", "paper_mean", "paper_sd"}
SUBJECT = {
    "subject", "session", "model", "accuracy", "balanced_accuracy", "macro_f1", "nll", "ece", "classes_seen",
    "paper_accuracy",
}  # fmt: skip


def quiet(stage, share, loss, words):
    """Hear of progress."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "seed-iv"
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trial_s=44, jobs=1))
    return folder


@pytest.fixture(scope="module")
def seed_v_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "seed-v"
    make_seed_v(MakeOptions(folder, subjects=1, seed=3, trial_s=12, jobs=1))
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(0)
    config = preset("small", labels=("unlabelled",), ch_names=CHANNELS, modalities=("eeg", "eye"))
    config = replace(
        config, is_classifier=False, feature_origin="published", step_s=4.0, trained_on="nothing"
    )
    rng = torch.Generator().manual_seed(0)
    scales = Normaliser(
        fit_eeg(torch.randn(9, len(CHANNELS), 5, generator=rng)), fit_eye(torch.rand(9, 33, generator=rng))
    )
    out = tmp_path_factory.mktemp("model")
    save_checkpoint(out, config, FusionNetwork(config), scales.to_dict(), "# Random\n")
    return out


def run(folder, pretrained, table, **changes):
    options = ReproduceOptions("seed-iv", folder, table, quick=True, model=pretrained, epochs=1)
    return reproduce(replace(options, finetune=FinetuneOptions(freeze=True), **changes), quiet)


@pytest.fixture
def pretrained_rows_alone(monkeypatch):
    """Leave out the rows from scratch: their encoders read all 62 channels, and take longest."""
    rows = [setting for setting in settings_of("seed-iv", 1, quick=True) if setting.pretrained]
    monkeypatch.setattr("tests.studies.papers.reproduce.settings_of", lambda *_: rows)


def test_table_2_has_the_papers_rows_and_the_keys_of_the_json(folder, pretrained, tmp_path):
    table = run(folder, pretrained, 2)
    found = json.loads(json.dumps(table.to_dict()))
    assert set(found) >= {"protocol", "unit", "rows", "subjects", "left_out", "quick"}
    assert found["generated"] is True
    assert all(set(row) == ROW for row in found["rows"])
    assert all(set(row) == SUBJECT for row in found["subjects"])
    assert found["quick"] is True
    assert found["unit"] == "window"
    assert {row["model"] for row in found["rows"]} >= set(paper.MMV["table_2"])
    att = next(row for row in found["rows"] if row["model"] == "MMV-SSTMA-Att")
    assert (att["paper_mean"], att["paper_sd"]) == pytest.approx((0.9016, 0.0544))
    mine = [s["accuracy"] for s in found["subjects"] if s["model"] == "MMV-SSTMA-Att, pre-trained"]
    assert len(mine) == 2
    assert att["mean"] == pytest.approx(np.mean(mine))
    assert att["sd"] == pytest.approx(np.std(mine, ddof=1))
    assert all(row["paper_mean"] is None for row in found["rows"] if row["model"] == "linear SVM")
    paths = write_table(table, tmp_path)
    assert paths[3].read_bytes().startswith(b"\x89PNG")
    assert "GENERATED DATA" in paths[2].read_text()
    assert len(paths[0].read_text().splitlines()) == 1 + len(found["rows"])
    counts = list(csv.DictReader(paths[4].open()))
    assert sum(int(row["n"]) for row in counts if row["unit"] == "trial") == sum(
        entry.trial.n for row in table.rows for entry in row.entries
    )


@pytest.mark.slow
def test_table_4_masks_training_and_test_and_adds_masks_of_the_test_alone(folder, pretrained, monkeypatch):
    monkeypatch.setattr("tests.studies.papers.reproduce.QUICK_SUBJECTS", 1)
    rows = {(row.model, row.mask): row for row in run(folder, pretrained, 4).rows}
    assert rows["MV-SSTMA-EEG", 0.5].paper == (86.84, None)
    assert rows["MV-SSTMA-EEG, masked in the test only", 0.5].paper is None


def test_our_rows_say_what_evaluate_says_and_other_subjects_labels_are_a_row_of_their_own(folder):
    trials = Source("seed-iv", folder, "published").trials()
    ours = [setting for setting in settings_of("seed-iv", 3, quick=True) if setting.kind == OURS]
    jobs = jobs_of(ours, trials, FinetuneOptions(), None, shortened=True)
    assert [(len({t.subject for t in job.trials}), bool(job.others)) for job in jobs] == [
        (1, False), (1, True), (1, False), (1, True)
    ]  # fmt: skip
    found = {job.setting.others: run_job(job) for job in jobs if job.trials[0].subject == "2"}
    names = {outcome.model for outcomes in found.values() for outcome in outcomes}
    alone = {"mixed discriminant", "mixed discriminant, EEG"}
    assert names == alone | {f"{name}, other subjects' labels too" for name in alone}
    for others, outcomes in found.items():
        protocol = "transfer" if others else "own"
        test = LabelTest(Source("seed-iv", folder, "published"), protocol, 10, subjects=("2",), network=False)
        entries = evaluate_labels(test, quiet).entries["discriminant", "both"]
        whole = [outcome.entry for outcome in outcomes if ", EEG" not in outcome.model]
        assert [e.session for e in whole] == [1, 2, 3]
        assert [e.window.nll for e in whole] == pytest.approx([e.window.nll for e in entries], rel=1e-4)
        assert [e.classes_seen for e in whole] == [4, 4, 3]  # session 3's first ten hold no neutral


@pytest.mark.slow
def test_what_is_kept_is_chosen_on_other_subjects_of_shortened_sets_too(tmp_path):
    make_seed_iv(MakeOptions(tmp_path / "s4", subjects=3, seed=5, trials=12, trial_s=24, jobs=1))
    trials = [t for t in Source("seed-iv", tmp_path / "s4", "published").trials() if t.session == 1]
    ours = [setting for setting in settings_of("seed-iv", 3) if setting.kept]
    outcomes = run_job(jobs_of(ours, trials, FinetuneOptions(), None, shortened=True)[0])
    assert "kept, other subjects' labels too" in {outcome.model for outcome in outcomes}


def test_what_is_kept_has_a_row_except_where_channels_are_hidden():
    for table in (1, 2, 3, 4):
        own, theirs = [s for s in settings_of("seed-v", table) if s.kind == OURS][:2]
        assert (own.others, own.kept, own.paper) == (False, False, None)
        assert (theirs.others, theirs.kept, theirs.paper) == (True, table != 4, None)
        assert not any(s.kept for s in settings_of("seed-v", table, quick=True))


def test_hidden_channels_are_those_the_network_lacks(folder):
    trials = [t for t in Source("seed-iv", folder, "published").trials() if t.session == 1][:3]
    windows = cut_windows(trials, 10)
    absent = np.isnan(hidden(windows, 0.5).eeg)
    assert (absent.all(axis=(2, 3)) == absent.any(axis=(2, 3))).all()
    assert (absent.all(axis=(2, 3)).sum(axis=1) == 31).all()
    scales = Normaliser(fit_eeg(torch.randn(9, 62, 5)), fit_eye(torch.rand(9, 31)))
    config = preset("small", labels=("a", "b"), ch_names=SEED_CH_NAMES, modalities=("eeg", "eye"))
    tensors = TrialTensors(windows, SEED_CH_NAMES, config, scales, mask=0.5, seed=1)
    batch = tensors.batch(slice(None))  # without the channels that no window has
    seen = np.zeros((len(absent), 62), bool)
    mask = batch.eeg_channel_mask.numpy()
    seen[:, batch.eeg_positions] = mask.reshape(len(mask), -1, mask.shape[-1]).any(axis=1)
    np.testing.assert_array_equal(seen, ~absent.all(axis=(2, 3)))


def test_first_labels_are_counted_in_trials_or_in_windows(folder, pretrained, monkeypatch):
    monkeypatch.setattr("tests.studies.papers.reproduce.QUICK_SUBJECTS", 1)
    table = run(folder, pretrained, 3)
    seen = {(row.labels, entry.classes_seen) for row in table.rows for entry in row.entries}
    assert seen == {("first 10 windows", 4), ("first 10 trials", 4)}  # two windows a trial, session 1


@pytest.mark.usefixtures("pretrained_rows_alone")
def test_a_broken_subject_is_excluded_and_the_others_continue(folder, pretrained, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    for path in broken.glob("eeg_feature_smooth/1/1_*.mat"):
        path.write_bytes(path.read_bytes()[:1000])
    table = run(broken, pretrained, 1)
    assert {entry.subject for row in table.rows for entry in row.entries} == {"2"}
    assert [entry.subject for entry in table.excluded] == ["1"]


@pytest.mark.parametrize("table", [1, 3, 4])
def test_ten_trials_of_seed_v_are_its_nine(seed_v_folder, pretrained, table):
    found = run(seed_v_folder, pretrained, table, dataset="seed-v")
    assert found.excluded == ()
    labels = {row.labels for row in found.rows} - {"first 10 windows"}
    assert labels == {"all 9 training trials (fewer than 10)"}
    assert "seed-v, session 1: only 9 training trials, fewer than 10" in found.notes
    assert len(found.rows) == {1: 4 + 4, 3: 6 + 4 + 2, 4: 12 + 9 + 16}[table]


def test_labels_of_a_table_take_what_there_is_and_say_so():
    eeg = np.zeros((3, 1, 5), dtype=np.float32)
    nine = [
        Trial(
            "seed-v", "1", 1, number, label, SEED_V.labels, 4.0, eeg, None, ("CZ",), "published", "made here"
        )
        for number, label in enumerate(SEED_V.trial_labels[1][:9], start=1)
    ]
    assert TEN_TRIALS.choose(nine) == nine
    two = TWO_A_CLASS.choose(nine)
    assert [trial.trial for trial in two] == list(range(1, 10))  # one of disgust, the others twice
    assert TWO_A_CLASS.words(two) == "up to 2 trials per class"
    assert too_few(two, TWO_A_CLASS).endswith("fewer than 2 training trials: disgust 1")
    assert not too_few([trial for trial in two if trial.label != 0], TWO_A_CLASS)


@pytest.mark.usefixtures("pretrained_rows_alone")
def test_a_real_session_that_lacks_trials_is_excluded_once(folder, pretrained, tmp_path):
    real = tmp_path / "real"
    shutil.copytree(folder, real)
    (real / "README.md").unlink()  # the notice that says it is generated
    for part, mark in (("eeg_feature_smooth", "de_LDS24"), ("eye_feature_smooth", "eye_24")):
        for path in (real / part / "1").glob("1_*.mat"):
            savemat(path, {k: v for k, v in loadmat(path).items() if k != mark and not k.startswith("__")})
    found = run(real, pretrained, 1)
    assert {entry.subject for row in found.rows for entry in row.entries} == {"2"}
    (excluded,) = found.excluded
    assert "subject 1, session 1: expected 24 trials, found 23 (no 24)" in excluded.why


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("no inverse"), AttributeError("no such thing")])
def test_a_fit_that_numbers_break_excludes_one_subject_and_an_internal_error_nobody(
    folder, monkeypatch, error
):
    def fail(self, train):
        raise error

    monkeypatch.setattr(LdaClassifier, "fit", fail)
    trials = tuple(t for t in load_seed(SEED_IV, folder, subjects=["1"]) if t.session == 1)
    setting = next(s for s in settings_of("seed-iv", 2) if s.kind == "lda")
    job = Job(setting, trials, FinetuneOptions().quick(), None)
    if isinstance(error, AttributeError):
        with pytest.raises(AttributeError):
            run_job(job)
    else:
        result = run_job(job)
        assert isinstance(result, Excluded)
        assert result.why.endswith("LinAlgError: no inverse")


def test_other_folder_is_one_line(tmp_path, pretrained):
    with pytest.raises(InputError, match="expected eeg_feature_smooth"):
        run(tmp_path, pretrained, 1)


def test_papers_average_is_that_of_its_people():
    assert len(paper.EAV["table_1"]) == 42
    assert np.mean(paper.EAV["table_1"], axis=0) == pytest.approx(paper.EAV["average"], abs=0.01)


@pytest.mark.parametrize("dataset", ["seed-iv", "seed-v"])
def test_rows_of_a_table_have_names_of_their_own(dataset):
    for table in (1, 2, 3, 4):
        names = [setting.name + setting.kind for setting in settings_of(dataset, table)]
        assert len(set(names)) == len(names)


@pytest.mark.usefixtures("pretrained_rows_alone")
def test_cluster_gives_the_same_figures(folder, pretrained):
    distributed = pytest.importorskip("distributed", reason="dask is not installed (extra: cluster)")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        there = run(folder, pretrained, 1, dask=cluster.scheduler_address)
    here = run(folder, pretrained, 1)
    assert there.to_dict() == here.to_dict()


def test_cluster_that_is_not_there_is_one_line(folder, pretrained):
    pytest.importorskip("distributed", reason="dask is not installed (extra: cluster)")
    with pytest.raises(InputError) as error:
        run(folder, pretrained, 1, dask="nonsense://here")
    assert error.value.where.startswith("--dask")


def test_two_people_who_are_equally_good_leave_an_interval():
    half = Scores(8, 0.5, 0.5, 0.5, 1.0, 0.1, np.full((2, 2), 2))
    rows = [Row("ours", False, "all", 0.0, tuple(Entry(s, 1, half, half, 2) for s in people))
            for people in (("1",), ("1", "2"))]  # fmt: skip
    for row, n in zip(rows, (8, 16), strict=True):
        assert row.trial_interval() == pytest.approx(wilson_interval(0.5, n))
    better = replace(half, accuracy=1.0)
    apart = Row("ours", False, "all", 0.0, (Entry("1", 1, half, half, 2), Entry("2", 1, better, better, 2)))
    assert apart.trial_interval() == (0.0, 1.0)  # t of two people 50 points apart
