"""One subject of a tiny generated EAV folder: rows, and what is frozen."""

import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from models.datasets.eav import LABELS
from models.datasets.splits import published_split
from models.features.config import FeatureConfig
from models.network import FusionNetwork
from models.training.scores import Scores
from models.training.tables import Entry, Row, Table, write_table
from tests.studies.papers import settings as paper
from tests.studies.papers.eav import (
    EavJob,
    EavOptions,
    SubjectTraining,
    draw_subjects,
    reproduce_eav,
    run_subject,
)
from tests.studies.papers.eav_clips import load_eav_clips
from tests.studies.papers.eav_discriminant import ROWS as OUR_ROWS
from tests.studies.papers.eav_discriminant import SubjectClips, features_of, our_entries, trials_of
from tests.studies.papers.eav_network import network_config, read_clips
from tests.studies.stage import StageOptions

pytestmark = pytest.mark.slow  # of a study, not of what runs live

ROWS = ["Vision", "Audio", "EEG", "Multimodal", "Vision, per frame", "Multimodal, per frame"]
COLUMNS = ROWS[:4]  # of the paper's table
N_TEST = 5  # clips: one a class


class Brief(EavOptions):
    """Two steps a stage and two frames: what comes out is not asked here."""

    n_frames = 2

    def stages(self):
        return {name: replace(stage, epochs=2) for name, stage in super().stages().items()}


def quiet(stage, share, loss, words):
    """Hear of progress."""


@pytest.fixture(scope="module")
def folder(small_eav):
    return small_eav


@pytest.fixture(scope="module")
def table(folder):
    return reproduce_eav(Brief(folder, quick=True), quiet)


def job(folder, **options):
    chosen = Brief(folder, quick=True, **options)
    return EavJob("1", tuple(load_eav_clips(folder, excluded=[])), chosen)


def test_rows_count_clips_and_frames(table):
    assert [row.model for row in table.rows] == [*ROWS, *OUR_ROWS[: len(OUR_ROWS) // 2]]  # nobody else
    assert {row.model: row.entries[0].window.n for row in table.rows[:6]} == {
        **dict.fromkeys(ROWS[:4], N_TEST), **dict.fromkeys(ROWS[4:], 2 * N_TEST)
    }  # fmt: skip
    assert {row.unit for row in table.rows[:4]} == {"clip"}
    assert {row.unit for row in table.rows[4:6]} == {"frame"}
    assert {row.unit for row in table.rows[6:]} == {"clip"}
    assert all(row.entries[0].trial.n == N_TEST for row in table.rows)
    assert table.excluded == ()
    assert "GENERATED DATA" in table.marks()


def test_the_papers_figures_stand_in_the_rows_of_their_unit(table):
    average = dict(zip(COLUMNS, paper.EAV["average"], strict=True))
    assert all(row.paper is None for row in table.rows[6:])
    assert {row.model: row.paper and row.paper[0] for row in table.rows[:6]} == {
        "Vision": None,
        "Audio": average["Audio"],
        "EEG": average["EEG"],
        "Multimodal": None,
        "Vision, per frame": average["Vision"],
        "Multimodal, per frame": average["Multimodal"],
    }
    assert all(entry.paper_accuracy is None for row in table.rows for entry in row.entries)  # of no real one


def test_subjects_of_the_real_set_have_the_papers_figure(folder, tmp_path):
    real = tmp_path / "real"
    shutil.copytree(folder, real)
    (real / "README.md").unlink()  # the notice that says it is generated
    entries, _ = run_subject(job(real))
    theirs = dict(zip(COLUMNS, paper.EAV["table_1"][0], strict=True))
    assert {model: entry.paper_accuracy for model, entry in entries.items()} == {
        "Vision": None,
        "Audio": pytest.approx(theirs["Audio"] / 100),
        "EEG": pytest.approx(theirs["EEG"] / 100),
        "Multimodal": None,
        "Vision, per frame": pytest.approx(theirs["Vision"] / 100),
        "Multimodal, per frame": pytest.approx(theirs["Multimodal"] / 100),
    }


def test_our_rows_are_of_the_same_clips_and_other_subjects_labels_have_rows_of_their_own(folder):
    clips = list(load_eav_clips(folder, excluded=[]))
    parts = [features_of(part, read_clips(part, FeatureConfig(), 2)) for part in published_split(clips)]
    one = SubjectClips(*parts)
    as_other = [[replace(c, person="2") for c in part] for part in parts]
    twin = SubjectClips(*as_other)
    found = list(our_entries([one, twin]))
    assert sorted(row for row, _ in found) == sorted([*OUR_ROWS, *OUR_ROWS])
    assert {entry.window.n for _, entry in found} == {N_TEST}
    assert {entry.classes_seen for _, entry in found} == {5}
    known = {row: entry.window.accuracy for row, entry in found[: len(OUR_ROWS)]}
    assert (
        known["mixed discriminant, Multimodal, other subjects' labels too"] == 1.0
    )  # its twin's tests train


def test_features_of_a_clip_are_steps_of_entropy_faces_and_voice(folder):
    clips = list(load_eav_clips(folder, excluded=[]))[:2]
    arrays = read_clips(clips, FeatureConfig(), 2)
    arrays.has_crops[1], arrays.n_mel[1] = False, 0
    whole, eeg_alone = features_of(clips, arrays)
    assert {m: steps.shape for m, steps in whole.steps.items()} == {
        "eeg": (5, 150), "face": (2, 64), "voice": (5, 32)
    }  # fmt: skip
    assert whole.steps["face"][0].mean() == pytest.approx(arrays.crops[0, 0].mean(), rel=0.02)
    assert whole.steps["voice"][0, :16].mean() == pytest.approx(arrays.mel[0, :100].mean(), abs=0.02)
    assert set(eeg_alone.steps) == {"eeg"}
    joined = trials_of([whole, replace(eeg_alone, trial=whole.trial)])[0].steps
    assert {m: len(steps) for m, steps in joined.items()} == {"eeg": 10, "face": 2, "voice": 5}


def test_figure_2_has_the_papers_bars_beside_ours_where_there_are_some(tmp_path, monkeypatch):
    from tests.studies.papers import eav as table_plot

    drawn = []
    monkeypatch.setattr(table_plot, "save_figure", lambda figure, axes, table, path: drawn.append(axes))
    scores = Scores(5, 0.6, 0.6, 0.6, 1.0, 0.1, np.eye(5, dtype=np.int64))
    entry = Entry("1", 1, scores, scores, 5)
    rows = [Row("Audio", False, "all", 0.0, (replace(entry, paper_accuracy=0.5833),), None, "clip")]
    rows.append(Row("Vision", False, "all", 0.0, (entry,), None, "clip"))
    table_plot.draw_subjects(Table("EAV", "", tuple(rows), LABELS), tmp_path / "with.png")
    table_plot.draw_subjects(Table("EAV", "", tuple(rows[1:]), LABELS), tmp_path / "without.png")
    bars = [sorted((p.get_x(), p.get_height()) for p in axes.patches) for axes in drawn]
    assert [height for _, height in bars[0]] == pytest.approx([60.0, 58.33, 60.0])
    assert [height for _, height in bars[1]] == pytest.approx([60.0])
    assert [text.get_text() for text in drawn[0].get_legend().get_texts()] == [
        "most frequent class", "Audio", "Audio: paper", "Vision"
    ]  # fmt: skip


def test_fusion_trains_on_frozen_encoders(folder):
    training = SubjectTraining(job(folder))
    for modality in training._network.config.modalities:
        training._train_alone(modality)
    before = {name: tensor.clone() for name, tensor in training._network.state_dict().items()}
    training._train_fusion()
    after = training._network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fusion"}


def test_everything_of_a_batch_is_on_the_networks_device(folder):
    training = SubjectTraining(job(folder, device="meta"))  # has no numbers, and refuses another device's
    clips, at = training._test, np.arange(N_TEST)
    for batch in (*(clips.alone(m, at) for m in ("eeg", "face", "voice")), clips.whole(at)):
        assert {getattr(batch, part.name).device.type for part in fields(batch)} == {"meta"}
    assert clips.label.device.type == "meta"
    assert training._fused(at).shape == (N_TEST, 5)
    assert training._fused_frames(at).shape == (N_TEST, 2, 5)
    for modality in training._network.config.modalities:
        with pytest.raises(RuntimeError, match="cannot be called on meta"):  # the first step's loss
            training._train_alone(modality)
    with pytest.raises(RuntimeError, match="cannot be called on meta"):
        training._train_fusion()
    assert {p.device.type for p in training._network.parameters()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_subject_trains_on_a_gpu(folder):
    assert list(run_subject(job(folder, device="cuda"))[0]) == ROWS


def test_a_broken_video_is_noted_and_its_clip_kept_without_it(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    path = sorted(broken.glob("subject1/Video/*Speaking*.mp4"))[0]
    path.write_bytes(path.read_bytes()[:1000])
    excluded = []
    clips = list(load_eav_clips(broken, [1], excluded=excluded))
    assert [entry.subject for entry in excluded] == ["1"]
    assert path.name in excluded[0].why
    arrays = read_clips(clips[:2], FeatureConfig(face_size=112), 2)
    assert arrays.rows("face").tolist() == [1]
    assert arrays.rows("voice").tolist() == arrays.rows("eeg").tolist() == [0, 1]
    assert not arrays.crops[0].any()


def test_without_any_video_there_is_no_row_of_it(folder, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    shutil.rmtree(bare / "subject1" / "Video")
    found = reproduce_eav(Brief(bare, quick=True), quiet)
    ours = [row for row in OUR_ROWS[: len(OUR_ROWS) // 2] if "Vision" not in row]
    assert [row.model for row in found.rows] == ["Audio", "EEG", "Multimodal", *ours]
    assert len(found.excluded) == 10  # videos, each named


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FloatingPointError("overflow in exp"), "FloatingPointError: overflow in exp"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"),
            "the GPU has too little free memory: end other programs on it, or train with --device cpu",
        ),
    ],
)
def test_a_fit_that_numbers_or_memory_break_leaves_the_subject_out(folder, error, why):
    class Breaking(Brief):
        def stages(self):
            raise error

    broken = replace(job(folder), options=Breaking(folder, quick=True))
    assert run_subject(broken).why == why


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_that_is_full_leaves_the_subject_out(folder):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        excluded = run_subject(job(folder, device="cuda"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert excluded.why.startswith("the GPU has too little free memory")


def test_quick_is_less_of_everything(folder):
    whole, quick = EavOptions(folder), EavOptions(folder, quick=True)
    assert (whole.n_frames, quick.n_frames) == (25, 3)
    stages = quick.stages()
    assert all(isinstance(stage, StageOptions) for stage in stages.values())
    assert all(stages[name].epochs < stage.epochs for name, stage in whole.stages().items())


def test_json_has_the_keys_of_every_table(table, tmp_path):
    found = json.loads(json.dumps(table.to_dict()))
    assert set(found) >= {"protocol", "unit", "rows", "subjects", "left_out", "quick"}
    assert found["generated"] is True
    assert found["unit"] == "clip"
    assert {row["model"] for row in found["subjects"]} == {*ROWS, *OUR_ROWS[: len(OUR_ROWS) // 2]}
    paths = write_table(table, tmp_path, draw_subjects)
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_the_papers_preset_has_the_papers_sizes():
    config = network_config("paper")
    with torch.device("meta"):  # sizes without the memory
        network = FusionNetwork(config)
    assert sum(p.numel() for p in network.face.parameters()) > 85e6
    assert sum(p.numel() for p in network.voice.parameters()) > 85e6
    assert (config.network.preset, config.features.face_size) == ("paper", 224)
    assert config.network.eegformer.n_maps == 120
