"""A calibrated run as an ONNX file: it answers novelty, code and hash as torch does, or it does not get its name."""

import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto
from PIL import Image

from export import ExportOptions, export_run, int8
from export import onnx_file as exporting
from export.profiles import FrameGraph
from export.storage import KEPT, SMALL
from infer import Segmenter
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.checkpoint import load_network
from seg.model.monitor import META, TENSORS, load_monitor
from train.calibrate import calibrate

HEIGHT, WIDTH = 60, 92
NAMES = ["classes", "confidence", "novelty", "code", "hash"]


@pytest.fixture(scope="module")
def calibrated(run, tmp_path_factory):
    root = tmp_path_factory.mktemp("calibrated")
    scenes = SyntheticScenes(seed=0, size=(64, 96))
    (root / "pictures").mkdir()
    for index in range(20):
        Image.fromarray(scenes.frame(2000 + index)[0]).save(root / "pictures" / f"{index}.png")
    shutil.copytree(run, root / "run")
    calibrate(root / "run", frames=root / "pictures", steps=20)
    return root / "run"


@pytest.fixture(scope="module")
def exported(calibrated, frames, tmp_path_factory):
    """Options -> the file, its contract and the parity found; each made once."""
    made = {}

    def export(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            file = tmp_path_factory.mktemp("exported") / "model.onnx"
            made[key] = file, *export_run(calibrated, file, frames, ExportOptions(**options))
        return made[key]

    return export


def reference(run, rgb_HWC):
    """What torch answers: novelty, code and hash."""
    network, _ = load_network(run)
    with torch.inference_mode():
        batch = torch.from_numpy(np.array(rgb_HWC)).permute(2, 0, 1)[None]
        watch = load_monitor(run / "checkpoints" / "best")(network(batch).code_BKHW, batch)
    return float(watch.novelty_B), watch.code_BD[0].numpy(), int(watch.hash_B)


def check(segmenter, run, rgb_HWC):
    answer = segmenter(rgb_HWC)
    novelty, code, hashed = reference(run, rgb_HWC)
    assert answer.novelty == pytest.approx(novelty, abs=1e-4)
    np.testing.assert_allclose(answer.code, code, rtol=1e-3, atol=1e-3)
    assert answer.hash == hashed
    return answer


def test_the_contract(exported):
    file, spec, parity = exported()
    assert [output.name for output in spec.outputs] == NAMES
    assert [(one.dtype, one.layout, one.shape) for one in spec.outputs[2:]] == [
        ("float32", "N", (1,)),
        ("float32", "NK", (1, 16)),
        ("int64", "N", (1,)),
    ]
    loaded = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    answers = {answer.name: (answer.type, answer.shape) for answer in loaded.get_outputs()}
    assert list(answers) == NAMES
    assert answers["novelty"] == ("tensor(float)", [1])
    assert answers["code"] == ("tensor(float)", [1, 16])
    assert answers["hash"] == ("tensor(int64)", [1])
    assert parity.differing_without_tie == 0
    assert parity.value < 0.5 / 255 + 1e-4  # that of the confidence still
    assert 0 <= parity.novelty < 1e-4


@pytest.mark.parametrize("dynamic", [False, True])
def test_it_answers_as_torch(calibrated, frames, exported, dynamic):
    segmenter = Segmenter(exported(dynamic=dynamic)[0], threads=1)
    generator = np.random.default_rng(0)
    shown = [frame[:HEIGHT, :WIDTH] for frame in frames]
    shown += [np.zeros_like(shown[0]), generator.integers(0, 256, shown[0].shape, dtype=np.uint8)]
    answers = [check(segmenter, calibrated, frame) for frame in shown]
    assert max(answer.novelty for answer in answers[:3]) < answers[3].novelty
    assert len({answer.hash for answer in answers}) > 1
    if dynamic:
        for size in [(64, 96), (41, 77), (9, 150)]:
            check(segmenter, calibrated, generator.integers(0, 256, (*size, 3), dtype=np.uint8))


def test_openvino_answers_the_same(calibrated, frames, exported):
    pytest.importorskip("openvino")
    segmenter = Segmenter(exported()[0], "openvino", threads=1)
    for frame in frames:
        check(segmenter, calibrated, frame[:HEIGHT, :WIDTH])


@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_without_novelty_code_and_hash_stay_and_the_decoder_goes(exported, calibrated, frames, weights):
    file, spec, parity = exported(novelty=False, weights=weights)
    assert [output.name for output in spec.outputs] == ["classes", "confidence", "code", "hash"]
    assert parity.novelty is None
    answer = Segmenter(file, threads=1)(frames[0][:HEIGHT, :WIDTH])
    _, code, hashed = reference(calibrated, frames[0][:HEIGHT, :WIDTH])
    assert answer.novelty is None
    if weights == "float32":
        np.testing.assert_allclose(answer.code, code, rtol=1e-3, atol=1e-3)
        assert answer.hash == hashed
    assert not any("decoder" in tensor.name for tensor in onnx.load(file).graph.initializer if "monitor" in tensor.name)


@pytest.mark.parametrize(("profile", "names"), [("logits", ["logits"]), ("argmax", ["classes"])])
def test_other_profiles_leave_it_out(exported, profile, names):
    file, spec, parity = exported(profile=profile)
    assert [output.name for output in spec.outputs] == names
    assert parity.novelty is None
    assert "monitor" not in " ".join(tensor.name for tensor in onnx.load(file).graph.initializer)


def test_statistics_stay_float32(exported, calibrated, frames):
    file, _, parity = exported(weights="float16")
    kept = {tensor.name: tensor for tensor in onnx.load(file).graph.initializer}
    statistics = {name: tensor for name, tensor in kept.items() if name.startswith(KEPT)}
    assert {f"{KEPT}{name}" for name in ("mean_F", "scale_F", "whiten_FF", "hash_D32")} <= statistics.keys()
    assert {tensor.data_type for tensor in statistics.values()} == {TensorProto.FLOAT}
    large = [name for name, tensor in kept.items() if np.prod(tensor.dims) >= SMALL and name not in statistics]
    assert any(name.startswith("monitor.decoder") for name in large)
    assert {kept[name].data_type for name in large} == {TensorProto.FLOAT16}
    assert 0 < parity.novelty < 0.05
    answer, (novelty, code, _) = (
        Segmenter(file, threads=1)(frames[0]),
        reference(calibrated, frames[0][:HEIGHT, :WIDTH]),
    )
    assert answer.code.shape == code.shape
    assert 0 < answer.novelty < 1
    assert 0 < novelty < 1


def altered(change):
    class Altered(FrameGraph):
        def forward(self, frame):
            *others, novelty, code, hashed = super().forward(frame)
            return (*others, *change(novelty, code, hashed))

    return Altered


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda novelty, code, hashed: (novelty * 0.9, code, hashed), r"novelty differs by 0\.0\d+ \(allowed 0\.001\)"),
        (lambda novelty, code, hashed: (novelty, code * 1.01, hashed), r"the code by 0\.01\d* of its largest value"),
        (lambda novelty, code, hashed: (novelty, code, hashed ^ (2**32 - 1)), r"the hash in \d+ bits that are no ties"),
        (lambda novelty, code, hashed: (novelty * float("nan"), code, hashed), "novelty differs by nan"),
    ],
)
def test_wrong_answers_leave_no_file(calibrated, frames, tmp_path, monkeypatch, change, message):
    monkeypatch.setitem(exporting.GRAPHS, "frame", altered(change))
    with pytest.raises(SegError, match=f"does not answer as the monitor: .*{message}"):
        export_run(calibrated, tmp_path / "model.onnx", frames[:1])
    assert list(tmp_path.iterdir()) == []


def test_a_monitor_of_other_weights_is_refused(calibrated, run, frames, tmp_path):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    best = other / "checkpoints" / "best"
    for name in (META, TENSORS):
        shutil.copy(calibrated / "checkpoints" / "best" / name, best / name)
    weights = best / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(SegError, match=r"was fitted to other weights .* run `seg calibrate` again"):
        export_run(other, tmp_path / "model.onnx", frames)
    assert not (tmp_path / "model.onnx").exists()
    # who does not want it can do without
    export_run(other, tmp_path / "model.onnx", frames, ExportOptions(profile="argmax"))


def test_the_command_tells_how_near_it_is(calibrated, frames, tmp_path, seg):
    (tmp_path / "frames").mkdir()
    Image.fromarray(frames[0]).save(tmp_path / "frames" / "a.png")
    code, out, _ = seg("export", calibrated, "-o", tmp_path / "model.onnx", "--frames", tmp_path / "frames")
    assert code == 0
    assert ", confidence by up to 0.00" in out
    assert ", novelty by up to " in out


@pytest.mark.parametrize("profile", ["frame", "logits"])
def test_novelty_that_is_not_there_cannot_be_left_out(run, frames, tmp_path, profile):
    with pytest.raises(SegError, match=r"no novelty to leave out.* `seg calibrate`"):
        export_run(run, tmp_path / "m.onnx", frames, ExportOptions(novelty=False, profile=profile))
    assert list(tmp_path.iterdir()) == []


def test_integers_refuse_novelty_before_any_work(calibrated, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "export_run", None)
    with pytest.raises(SegError, match="leave it out with --no-novelty"):
        int8.export_int8(calibrated, tmp_path / "no.onnx", frames, frames, None)
