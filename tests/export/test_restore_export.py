"""An autoencoder as an ONNX file of profile `restore`: its contract, its answers, and who refuses it."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError

from export import ExportOptions, export_run
from export import onnx_file as exporting
from export.int8 import quantize
from export.parity import FLOAT16, check_parity
from export.profiles import RestoreGraph
from export.storage import store_as_float16
from infer import Restorer
from seg.config import PretrainConfig
from seg.errors import SegError
from seg.geometry import fit_frame
from seg.model.autoencoder import Autoencoder
from seg.model.checkpoint import PretrainMeta, load_autoencoder, save_checkpoint
from seg.spec import ModelSpec

HEIGHT, WIDTH = 60, 92
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pretrained(frames, tmp_path_factory):
    """A run directory of `seg pretrain` with weights that nobody trained, and the frames that it names as its data."""
    root = tmp_path_factory.mktemp("pretrained")
    (root / "frames").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(root / "frames" / f"{index}.png")
    source = {"kind": "images", "root": str(root / "frames")}
    config = PretrainConfig.model_validate(
        {
            "data": {"train": [source], "val": [source]},
            "model": {
                "encoder": "resnet18",
                "encoder_options": {"depth": 3},
                "code_channels": 8,
                "reconstruction_width": 16,
            },
            "augment": {"crop": [48, 64]},
            "corruption": {"noise": 0.1, "blocks": 0.2, "block_size": 8},
        }
    )
    torch.manual_seed(0)
    network = Autoencoder(config.model)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of these frames, so that answers are not grey all over
    with torch.no_grad():
        network(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2))
        network.reconstruction.head.weight.mul_(4)
    about = {"data_hash": "d", "config_hash": "c", "versions": {"torch": torch.__version__}}
    meta = PretrainMeta(run="tiny", config=config, steps=7, size=(HEIGHT, WIDTH), data=("frames",), **about)
    save_checkpoint(root / "run" / "checkpoints" / "best", meta, {"weights": dict(network.state_dict())})
    return root / "run"


@pytest.fixture(scope="module")
def exported(pretrained, frames, tmp_path_factory):
    """Whether for any size -> the file, its contract and the parity found; each made once."""
    folder = tmp_path_factory.mktemp("exported")
    made = {}
    for dynamic in (False, True):
        file = folder / f"{dynamic}.onnx"
        made[dynamic] = file, *export_run(pretrained, file, frames, ExportOptions(dynamic=dynamic))
    return made


def reference(run, rgb_HWC):
    """The network's answer before it is rounded, float RGB (H, W, 3)."""
    network, _ = load_autoencoder(run)
    with torch.inference_mode():
        return network(torch.from_numpy(rgb_HWC.copy()).permute(2, 0, 1)[None]).frame_B3HW[0].permute(1, 2, 0).numpy()


def test_the_contract(pretrained, exported):
    file, spec, parity = exported[False]
    model = onnx.load(file)
    assert ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props}, "file") == spec
    assert (spec.profile, spec.classes, spec.metrics, spec.value_range) == ("restore", (), None, (0.0, 255.0))
    assert (spec.size.kind, spec.size.height, spec.size.width) == ("fixed", HEIGHT, WIDTH)
    assert spec.network["corruption"] == "blocks,noise"
    assert spec.corruptions == ("blocks", "noise")
    assert (spec.training.run, spec.training.steps, spec.training.data) == ("tiny", 7, ("frames",))
    assert spec.training.validation["val"][0]["root"] == "frames"  # and not where it stands on this machine
    loaded = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (entry,), (answer,) = loaded.get_inputs(), loaded.get_outputs()
    assert (entry.name, entry.type, entry.shape) == ("frame", "tensor(uint8)", [1, HEIGHT, WIDTH, 3])
    assert (answer.name, answer.type, answer.shape) == ("restored", "tensor(uint8)", [1, HEIGHT, WIDTH, 3])
    assert (parity.frames, parity.pixels, parity.differing_without_tie) == (3, 3 * HEIGHT * WIDTH, 0)
    assert parity.value in (0, 1)
    with pytest.raises(SegError, match="knows no classes"):
        spec.as_ontology()


def test_any_size_answers_as_the_network(pretrained, exported):
    file, spec, parity = exported[True]
    assert (spec.size.kind, spec.inputs[0].shape) == ("dynamic", (1, "height", "width", 3))
    assert parity.frames == 4  # one more, of an odd size
    restorer = Restorer(file, threads=1)
    assert restorer.tasks == ("denoise", "inpaint")
    generator = np.random.default_rng(0)
    for size in [(HEIGHT, WIDTH), (64, 96), (41, 77), (150, 33)]:
        rgb = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = reference(pretrained, rgb)
        assert np.ptp(expected) > 100
        assert np.abs(restorer(rgb, "denoise") - expected).max() < 0.51  # what rounding alone explains
        mask = generator.random(size) < 0.3
        shown = np.where(mask[..., None], np.uint8(128), rgb)
        restored = restorer(rgb, "inpaint", mask)
        np.testing.assert_array_equal(restored[~mask], rgb[~mask])
        assert np.abs(restored - reference(pretrained, shown))[mask].max() < 0.51


class CutOff(RestoreGraph):
    """Fractions are cut off instead of rounded: never more than one grey level, and wrong."""

    def forward(self, frame):
        answer = self.network(frame.permute(0, 3, 1, 2)).frame_B3HW
        return answer.to(torch.uint8).permute(0, 2, 3, 1)


class TwoOff(RestoreGraph):
    """A corner is two grey levels off."""

    def forward(self, frame):
        corner = torch.zeros_like(frame)
        corner[:, -4:, -5:] = 2
        answer = super().forward(frame)
        return torch.where(answer < 128, answer + corner, answer - corner)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            CutOff,
            r"\d{3,} of 5520 pixels differ that are no ties .*, restored differs by up to (0\.9\d*|1) \(allowed 0\.6\)",
        ),
        (TwoOff, r"20 of 5520 pixels differ that are no ties .*, restored differs by up to 2\.\d+ \(allowed 0\.6\)"),
    ],
)
def test_wrong_answers_leave_no_file(pretrained, frames, tmp_path, monkeypatch, graph, message):
    monkeypatch.setitem(exporting.GRAPHS, "restore", graph)
    (tmp_path / "old.onnx").write_bytes(b"the old one")
    with pytest.raises(SegError, match=message) as caught:
        export_run(pretrained, tmp_path / "old.onnx", frames[:1], overwrite=True)
    assert "does not answer as the network" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_bytes() == b"the old one"


def test_an_answer_of_nan_is_refused(pretrained, exported):
    file, spec, _ = exported[False]
    network, _ = load_autoencoder(pretrained)
    with torch.no_grad():
        network.reconstruction.head.bias.fill_(float("nan"))
    with pytest.raises(SegError, match="restored differs by up to nan"):
        check_parity(network, file, spec, [np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)])


def test_weights_as_float16(pretrained, frames, exported, tmp_path):
    """What rounding the weights changes is more than rounding the answers explains, and less than is allowed."""
    file, spec, exact = exported[False]
    half = tmp_path / "half.onnx"
    half.write_bytes(file.read_bytes())
    store_as_float16(half)
    assert half.stat().st_size < 0.7 * file.stat().st_size
    network, _ = load_autoencoder(pretrained)
    fitted = [fit_frame(frame, (HEIGHT, WIDTH)) for frame in frames]
    parity = check_parity(network, half, spec, fitted, FLOAT16)
    assert parity.differing > exact.differing
    assert 1 <= parity.value <= 4
    with pytest.raises(SegError, match=r"restored differs by up to [0-2](\.\d+)? \(allowed 0\.5\)"):
        check_parity(network, half, spec, fitted, replace(FLOAT16, grey=0.5))


def test_each_kind_of_run_has_its_profiles(pretrained, run, frames, tmp_path):
    for made, profile, message in [
        (pretrained, "frame", "was made by `seg pretrain` and knows no classes; its profile is restore, not frame"),
        (pretrained, "argmax", "its profile is restore, not argmax"),
        (run, "restore", "was made by `seg train`; profile restore is for runs of `seg pretrain`"),
    ]:
        with pytest.raises(SegError, match=message) as caught:
            export_run(made, tmp_path / "model.onnx", frames, ExportOptions(profile=profile))
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_contract_without_classes_is_of_restore_alone(exported):
    spec = exported[False][1].model_dump()
    with pytest.raises(ValidationError, match="0 classes do not fit the profile 'frame'"):
        ModelSpec.model_validate({**spec, "profile": "frame"})
    with pytest.raises(ValidationError, match="1 classes do not fit the profile 'restore'"):
        ModelSpec.model_validate({**spec, "classes": [{"name": "road", "color": (1, 2, 3)}]})


def test_the_commands(pretrained, frames, tmp_path, seg):
    """From a pretraining run to a restored picture; what is about classes says to use `seg restore`."""
    file = tmp_path / "restore.onnx"
    code, out, err = seg("export", pretrained, "-o", file, "--dynamic")
    assert (code, err) == (0, "")
    assert "restore.onnx: dynamic 60x92" in out
    assert "on 4 real frames" in out
    assert out.rstrip().endswith("undoes blocks, noise")
    Image.fromarray(frames[0]).save(tmp_path / "frame.png")
    code, out, err = seg("restore", file, tmp_path / "frame.png", "--task", "denoise")
    assert (code, err) == (0, "")
    restored = np.array(Image.open(tmp_path / "frame.restored.png"))
    assert np.abs(restored - reference(pretrained, frames[0])).max() < 0.51

    (tmp_path / "figures.json").write_text(json.dumps({}))
    (tmp_path / "notes.yaml").write_text(yaml.safe_dump({}))
    for words in [
        ("eval", file),
        ("infer", file, tmp_path / "frame.png"),
        ("card", file, tmp_path / "notes.yaml", "--figures", tmp_path / "figures.json"),
    ]:
        code, _, err = seg(*words)
        assert code == 2
        assert err.count("\n") == 1
        assert "restore.onnx: restores frames and knows no classes" in err
        assert "seg restore" in err
    code, _, err = seg("export", pretrained, "-o", tmp_path / "frame.onnx", "--profile", "frame")
    assert (code, err.count("\n")) == (2, 1)
    assert "its profile is restore, not frame" in err


def test_integers_are_judged_by_labels_which_it_has_not(pretrained, exported, frames, seg, tmp_path):
    code, _, err = seg("export", pretrained, "-o", tmp_path / "i.onnx", "--int8")
    assert code == 2
    assert "was made by `seg pretrain` and knows no classes" in err
    file, spec, _ = exported[False]
    with pytest.raises(SegError, match="a network of profile 'restore' knows no classes"):
        quantize(file, tmp_path / "i.onnx", spec, frames, [])
    assert not (tmp_path / "i.onnx").exists()
