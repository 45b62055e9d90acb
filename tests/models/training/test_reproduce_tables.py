"""Tables on generated data: keys, people left out, the paper's figures, and a Dask cluster."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import InputError
from models.checkpoint import save_checkpoint
from models.config import preset
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed_iv import make_seed_iv
from models.features.normalise import Normaliser, fit_eeg, fit_eye
from models.network import FusionNetwork
from models.training import paper_figures as paper
from models.training.finetune_config import FinetuneOptions
from models.training.reproduce import ReproduceOptions, reproduce
from models.training.settings import settings_of

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
    make_seed_iv(MakeOptions(folder, subjects=2, seed=3, trial_s=48, jobs=1))
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    from acquisition.montage import SEED_CH_NAMES

    torch.manual_seed(0)
    config = preset("small", labels=("unlabelled",), ch_names=SEED_CH_NAMES, modalities=("eeg", "eye"))
    config = replace(
        config, is_classifier=False, feature_origin="published", step_s=4.0, trained_on="nothing"
    )
    rng = torch.Generator().manual_seed(0)
    scales = Normaliser(
        fit_eeg(torch.randn(9, 62, 5, generator=rng)), fit_eye(torch.rand(9, 33, generator=rng))
    )
    out = tmp_path_factory.mktemp("model")
    save_checkpoint(out, config, FusionNetwork(config), scales.to_dict(), "# Random\n")
    return out


def run(folder, pretrained, table, **changes):
    options = ReproduceOptions("seed-iv", folder, table, quick=True, model=pretrained)
    return reproduce(replace(options, finetune=FinetuneOptions(freeze=True), **changes), quiet)


def test_table_2_has_the_papers_rows_and_the_keys_of_the_json(folder, pretrained, tmp_path):
    table = run(folder, pretrained, 2)
    found = json.loads(json.dumps(table.to_dict()))
    assert set(found) == {"protocol", "unit", "rows", "subjects", "left_out", "quick"}
    assert all(set(row) == ROW for row in found["rows"])
    assert all(set(row) == SUBJECT for row in found["subjects"])
    assert found["quick"] is True
    assert found["unit"] == "window"
    assert {row["model"] for row in found["rows"]} >= set(paper.MMV_TABLE_2["seed-iv"])
    att = next(row for row in found["rows"] if row["model"] == "MMV-SSTMA-Att")
    assert (att["paper_mean"], att["paper_sd"]) == pytest.approx((0.9016, 0.0544))
    mine = [s["accuracy"] for s in found["subjects"] if s["model"] == "MMV-SSTMA-Att, pre-trained"]
    assert len(mine) == 2
    assert att["mean"] == pytest.approx(np.mean(mine))
    assert att["sd"] == pytest.approx(np.std(mine, ddof=1))
    oracle = next(row for row in found["rows"] if row["model"].startswith("discriminant with"))
    assert oracle["mean"] >= max(row["mean"] for row in found["rows"])
    assert oracle["paper_mean"] is None
    paths = table.write(tmp_path)
    assert paths[3].read_bytes().startswith(b"\x89PNG")
    assert "GENERATED DATA" in paths[2].read_text()
    assert len(paths[0].read_text().splitlines()) == 1 + len(found["rows"])


def test_table_4_masks_training_and_test_and_adds_masks_of_the_test_alone(folder, pretrained):
    rows = {(row.model, row.mask): row for row in run(folder, pretrained, 4).rows}
    assert rows["MV-SSTMA-EEG", 0.5].paper == (86.84, None)
    assert rows["MV-SSTMA-EEG, masked in the test only", 0.5].paper is None


def test_first_labels_are_counted_in_trials_or_in_windows(folder, pretrained):
    table = run(folder, pretrained, 3)
    seen = {(row.labels, entry.classes_seen) for row in table.rows for entry in row.entries}
    assert seen == {("first 10 windows", 4), ("first 10 trials", 4)}  # three windows a trial, session 1


def test_broken_person_is_left_out_and_the_others_go_on(folder, pretrained, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    for path in broken.glob("eeg_feature_smooth/1/1_*.mat"):
        path.write_bytes(path.read_bytes()[:1000])
    table = run(broken, pretrained, 1)
    assert {entry.subject for row in table.rows for entry in row.entries} == {"2"}
    assert [entry.subject for entry in table.left_out] == ["1"]


def test_other_folder_is_one_line(tmp_path, pretrained):
    with pytest.raises(InputError, match="expected eeg_feature_smooth"):
        run(tmp_path, pretrained, 1)


def test_papers_average_is_that_of_its_people():
    mean = np.mean(list(paper.EAV_TABLE_1.values()), axis=0)
    assert len(paper.EAV_TABLE_1) == 42
    assert mean == pytest.approx(paper.EAV_AVERAGE, abs=0.01)


@pytest.mark.parametrize("dataset", ["seed-iv", "seed-v"])
def test_rows_of_a_table_have_names_of_their_own(dataset):
    for table in (1, 2, 3, 4):
        names = [setting.name + setting.kind for setting in settings_of(dataset, table)]
        assert len(set(names)) == len(names)
    with pytest.raises(InputError, match="expected 1, 2, 3 or 4"):
        settings_of(dataset, 5)


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
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        run(folder, pretrained, 1, dask="nonsense://here")
