"""Table I and Figure 2 of the EAV paper: vision, audio, EEG and all together, subject by subject.

The paper's framework: each encoder trained alone, then frozen, then shared attention and an MLP over their
tokens. Its split: of each class the first 56 segments of 5 s train and the last 24 test, which are whole
trials. Nothing is chosen by test clips: the number of epochs is fixed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.errors import ErrorCode, InputError
from models.datasets import eav
from models.datasets.files import is_generated
from models.datasets.splits import coverage, published_split
from models.datasets.trials import Excluded
from models.network import FusionNetwork
from models.normalise import Normaliser, fit_eeg
from models.process import keep_freed_memory, run_jobs
from models.training.loop import Report
from models.training.scores import Predictions
from models.training.tables import CHANCE_COLOUR, Entry, Row, Table, new_figure, save_figure
from tests.studies.papers.eav_clips import EavClip, load_eav_clips
from tests.studies.papers.eav_discriminant import DIFFERS, ROWS, SubjectClips, features_of, our_entries
from tests.studies.papers.eav_network import PROTOCOL, ClipBatches, network_config, read_clips
from tests.studies.papers.reproduce import FIT_ERRORS, in_words, usable
from tests.studies.papers.settings import EAV, EAV_ROWS, EavRow
from tests.studies.stage import StageOptions, train_stage, unimodal_logits, unimodal_parameters

QUICK_SUBJECTS = 2
_SERIES = ("#3b6ea8", "#d98b3a", "#5d9e62", "#8a5fa8", "#a84b4b", "#7a6a55")
_BATCH = 32


@dataclass(frozen=True)
class EavOptions:
    """What is run, and where."""

    folder: Path
    quick: bool = False
    seed: int = 0
    n_jobs: int = 1
    dask: str | None = None
    preset: str = "small"  # or paper: sizes of the networks
    device: str = "cpu"  # of all training

    def stages(self) -> dict[str, StageOptions]:
        """Return the settings of each stage; rates are those of the paper's code, epochs are inferred."""
        stages = {
            "eeg": StageOptions(epochs=30, batch_size=32, learning_rate=1e-3),
            "face": StageOptions(epochs=4, batch_size=64, learning_rate=5e-4),
            "voice": StageOptions(epochs=20, batch_size=32, learning_rate=5e-4),
            "fusion": StageOptions(epochs=10, batch_size=128, learning_rate=3e-4),
        }
        share = 0.4 if self.quick else 1.0
        return {name: replace(s, epochs=max(1.0, s.epochs * share)) for name, s in stages.items()}

    @property
    def n_frames(self) -> int:
        """Frames of a clip that are used: the paper's 25, few to try things out."""
        return 3 if self.quick else 25


@dataclass(frozen=True, eq=False)
class EavJob:
    """One subject."""

    subject: str
    clips: tuple[EavClip, ...]
    options: EavOptions


def reproduce_eav(options: EavOptions, report: Report) -> Table:
    """Return the EAV paper's Table I with our figures."""
    size = "of that size" if options.preset == "paper" else "small, unless --preset paper is given,"
    differs = (EAV["encoders_differ"].format(size=size), *EAV["differs"])
    excluded: list[Excluded] = []
    entries: dict[str, list[Entry]] = {}
    clips: list[SubjectClips] = []
    subjects = list(eav.subject_folders(options.folder))[: QUICK_SUBJECTS if options.quick else None]
    jobs = _jobs(options, subjects, excluded)
    results = run_jobs(run_subject, jobs, options.n_jobs, options.dask)
    for result in usable(results, len(subjects), "subjects", excluded, report):
        for model, entry in result[0].items():
            entries.setdefault(model, []).append(entry)
        clips.append(result[1])
    if not entries:
        why = excluded[0].why if excluded else "no subject"
        what = f"no usable subject in it; first: {why}"
        raise InputError(what, where=str(options.folder), code=ErrorCode.DATA)
    for model, entry in our_entries(clips):
        entries.setdefault(model, []).append(entry)
    ordered = [model for model in (*EAV_ROWS, *ROWS) if model in entries]  # the first subject may lack some
    return Table(
        title="EAV, Table I of the EEG, video and audio paper",
        protocol=f"{PROTOCOL}; accuracy per clip of 5 s, or per frame where the row says so; SD over "
        "subjects (n - 1)",
        rows=tuple(_row(model, entries[model]) for model in ordered),
        excluded=tuple(excluded),
        differs=(*differs, DIFFERS),
        quick=options.quick,
        generated=is_generated(options.folder),
        unit="clip",
        label_names=eav.LABELS,
    )


def _row(model: str, entries: Sequence[Entry]) -> Row:
    row = EAV_ROWS.get(model, EavRow("clip"))
    average = None if row.column is None else (EAV["average"][row.column], None)
    return Row(model, False, "all", 0.0, tuple(entries), average, row.unit)


def _jobs(options: EavOptions, subjects: Sequence[str], excluded: list[Excluded]) -> Iterator[EavJob]:
    """Yield subjects one by one: the EEG is read when its turn comes."""
    for subject in subjects:
        clips = tuple(load_eav_clips(options.folder, [subject], excluded=excluded))
        if clips:
            yield EavJob(subject, clips, options)


def run_subject(job: EavJob) -> tuple[dict[str, Entry], SubjectClips] | Excluded:
    """Return a subject's scores by row and what our rows are made of, or why the data make a fit fail."""
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        training = SubjectTraining(job)
        return training.entries(), training.features
    except (InputError, *FIT_ERRORS) as error:
        return Excluded(job.subject, in_words(error))


class SubjectTraining:
    """One subject's clips, network and trainings."""

    def __init__(self, job: EavJob) -> None:
        self._options, self._subject = job.options, job.subject
        train, test = published_split(job.clips)
        self._classes_seen = sum(count > 0 for count in coverage(train).counts)
        config = network_config(job.options.preset)
        arrays = [read_clips(part, config.features, job.options.n_frames) for part in (train, test)]
        self.features = SubjectClips(*map(features_of, (train, test), arrays))
        self._is_generated = is_generated(job.options.folder)
        modalities = tuple(m for m in ("eeg", "face", "voice") if len(arrays[0].rows(m)))
        self._rng = np.random.default_rng(job.options.seed)
        torch.manual_seed(job.options.seed)
        self._network = FusionNetwork(replace(config, modalities=modalities))
        self._network.to(job.options.device)
        samples = torch.from_numpy(arrays[0].raw).transpose(1, 2)[..., None]  # (n, 500, 30, 1)
        self._normaliser = Normaliser(fit_eeg(samples))
        self._train, self._test = (ClipBatches(a, self._network, self._normaliser) for a in arrays)

    def entries(self) -> dict[str, Entry]:
        """Return the scores of every row of the table."""
        for modality in self._network.config.modalities:
            self._train_alone(modality)
        self._train_fusion()
        self._network.prepare_inference()
        everything = np.arange(len(self._test.clips))
        faces, n_frames = self._test.clips.rows("face"), self._test.clips.crops.shape[1]
        figures: dict[str, tuple[Tensor, NDArray[np.intp]]] = {}  # probabilities, and the clips they are of
        with torch.no_grad():
            if self._is_tested("face"):
                by_frame = self._alone("face").unflatten(0, (-1, n_frames))
                each = np.repeat(faces, n_frames)
                logs = by_frame.clamp_min(1e-6).log().mean(dim=1)  # of a clip's frames
                figures["Vision"] = torch.softmax(logs, dim=-1), faces
            for model, modality in (("Audio", "voice"), ("EEG", "eeg")):
                if self._is_tested(modality):
                    figures[model] = self._alone(modality), self._test.clips.rows(modality)
            figures["Multimodal"] = self._fused(everything), everything
            if self._is_tested("face"):
                figures["Vision, per frame"] = by_frame.flatten(0, 1), each
                figures["Multimodal, per frame"] = self._fused_frames(faces).flatten(0, 1), each
        return {model: self._entry(model, *found) for model, found in figures.items()}

    def _is_tested(self, modality: str) -> bool:
        """Tell whether a modality was trained and test clips have it."""
        return modality in self._network.config.modalities and len(self._test.clips.rows(modality)) > 0

    def _train_alone(self, modality: str) -> None:
        """Train one encoder by its own head, of faces on single frames."""
        network, source = self._network, self._train

        def loss(at: NDArray[np.intp]) -> Tensor:
            logits = unimodal_logits(network, modality, source.alone(modality, at))
            clips = at // source.clips.crops.shape[1] if modality == "face" else at
            return nn.functional.cross_entropy(logits, source.label[clips])

        network.train()
        stage, examples = self._options.stages()[modality], source.clips.examples(modality)
        train_stage(unimodal_parameters(network, modality), loss, examples, stage, self._rng)

    def _train_fusion(self) -> None:
        """Train the shared attention and its MLP on tokens of the frozen encoders."""
        network, source = self._network, self._train
        network.eval()
        tokens, present = [], []
        with torch.no_grad():
            for at in _parts(np.arange(len(source.clips))):
                batch = source.whole(at)
                tokens.append(network.modality_tokens(batch))
                present.append(network.presence(batch))
        all_tokens, all_present = torch.cat(tokens), torch.cat(present)

        def loss(at: NDArray[np.intp]) -> Tensor:
            logits, _ = network.fusion(all_tokens[at], all_present[at])
            return nn.functional.cross_entropy(logits, source.label[at])

        network.train()
        stage = self._options.stages()["fusion"]
        usable = np.arange(len(all_tokens))
        train_stage(list(network.fusion.parameters()), loss, usable, stage, self._rng)

    def _alone(self, modality: str) -> Tensor:
        """Return probabilities (n, n_labels) of one modality, of single frames for the face."""
        network, source = self._network, self._test
        rows = source.clips.examples(modality)
        return _probs(rows, lambda at: unimodal_logits(network, modality, source.alone(modality, at)))

    def _fused(self, rows: NDArray[np.intp]) -> Tensor:
        """Return probabilities (n, n_labels) of clips with all their frames."""
        return _probs(rows, lambda at: self._network(self._test.whole(at)).logits)

    def _fused_frames(self, rows: NDArray[np.intp]) -> Tensor:
        """Return probabilities (n, frames, n_labels) of clips with one of their frames at a time."""
        parts = []
        for at in _parts(rows):
            batch = self._test.whole(at)
            mask, each = batch.face_mask, []
            for frame in torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device):
                batch.face_mask = mask & frame
                each.append(torch.softmax(self._network(batch).logits, dim=-1))
            parts.append(torch.stack(each, dim=1))
        return torch.cat(parts)

    def _entry(self, model: str, probs: Tensor, rows: NDArray[np.intp]) -> Entry:
        clips = self._test.clips
        predictions = Predictions(
            probs.double().cpu().numpy(),
            clips.label[rows],
            np.full(len(rows), self._subject),
            np.ones(len(rows), dtype=np.int64),
            clips.trial[rows],
        )
        column, published, number = EAV_ROWS[model].column, None, int(self._subject)
        if column is not None and not self._is_generated and 1 <= number <= len(EAV["table_1"]):
            published = EAV["table_1"][number - 1][column] / 100
        return Entry.of(predictions, self._classes_seen, published)


def _probs(rows: NDArray[np.intp], logits_of: Callable[[NDArray[np.intp]], Tensor]) -> Tensor:
    """Return probabilities (n, n_labels) of rows, some at a time."""
    return torch.softmax(torch.cat([logits_of(at) for at in _parts(rows)]), dim=-1)


def _parts(rows: NDArray[np.intp]) -> Iterable[NDArray[np.intp]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def has_bars(model: str) -> bool:
    """Tell whether a row stands in Figure 2: the paper's, and ours of all modalities."""
    return model in EAV_ROWS or model.startswith("mixed discriminant, Multimodal")


def draw_subjects(table: Table, path: Path) -> None:
    """Write a PNG of every subject's accuracy by model, the paper's lighter: the EAV paper's Figure 2."""
    subjects = sorted({entry.subject for row in table.rows for entry in row.entries}, key=int)
    has_paper = any(e.paper_accuracy is not None for row in table.rows for e in row.entries)
    rows = [row for row in table.rows if has_bars(row.model)]
    width = (0.4 if has_paper else 0.8) / len(rows)
    figure, axes = new_figure(max(6.0, 1.5 + 0.35 * len(subjects) * len(rows) / 2), 4.0)
    for number, row in enumerate(rows):
        ours = {entry.subject: 100 * row.scores(entry).accuracy for entry in row.entries}
        theirs = {e.subject: 100 * e.paper_accuracy for e in row.entries if e.paper_accuracy is not None}
        place = (2 * number if has_paper else number) + 0.5
        for shift, bars, label, alpha in (
            (0, ours, row.model, 1.0),
            (1, theirs, f"{row.model}: paper", 0.45),
        ):
            if bars:
                places = [subjects.index(subject) + (place + shift) * width - 0.4 for subject in bars]
                colour = _SERIES[number % len(_SERIES)]
                axes.bar(places, list(bars.values()), width, label=label, color=colour, alpha=alpha)
    axes.axhline(
        100 * table.chance, color=CHANCE_COLOUR, linestyle="--", linewidth=1, label="most frequent class"
    )
    axes.set_xticks(range(len(subjects)), subjects, fontsize=7)
    axes.set_ylim(0, 100)
    axes.set_xlabel("subject")
    axes.set_ylabel(f"accuracy per {table.units}, %")
    axes.legend(fontsize=7, ncols=2)
    save_figure(figure, axes, table, path)
