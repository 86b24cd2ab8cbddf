"""Training on from an exported file: the same answers, norms that fit the frames, and refusals that say why."""

import numpy as np
import onnx
import pytest
import runs
import torch
from torch import nn

from export import ExportOptions, export_run
from infer import Segmenter
from seg.classes import load_ontology
from seg.config import ModelConfig, load_run_config
from seg.data.synthetic import SyntheticScenes
from seg.errors import SegError
from seg.model.network import build_network
from seg.model.unfold import TRAINED, start_from_file
from seg.paths import configs
from seg.shipped import resolve_model
from seg.spec import ModelSpec
from train.distributed import World
from train.run import RunDirectory
from train.setup import prepare

SCENES = [SyntheticScenes(seed=3, size=(96, 128)).frame(index)[0] for index in range(4)]


def started(file, ontology="drive", model=None, frames=SCENES):
    torch.manual_seed(0)
    names = load_ontology(ontology)
    model = model or ModelConfig.model_validate(runs.config()["model"])
    network = build_network(len(names), model)
    start_from_file(network, names, file, frames)
    return network.eval()


def classes(network, frame_HW3):
    with torch.no_grad():
        logits_1CHW = network(torch.from_numpy(frame_HW3).permute(2, 0, 1)[None]).logits_BCHW
    return logits_1CHW.argmax(1)[0].numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The tiny run's file."""
    file = tmp_path_factory.mktemp("unfold") / "tiny.onnx"
    export_run(runs.trained(tmp_path_factory), file, SCENES, ExportOptions(size=(96, 128)))
    return file


@pytest.mark.parametrize("source", ["tiny", "camvid11"])
def test_it_answers_as_the_file_does(source, exported):
    if source == "tiny":
        file, network = exported, started(exported)
        frames = SCENES
    else:
        file = resolve_model("camvid11")
        network = started(file, "camvid11", load_run_config(configs() / "train/camvid.yaml").model)
        frames = [SyntheticScenes(seed=3, size=(360, 480)).frame(0)[0]]
    segmenter = Segmenter(file, threads=1)
    for frame in frames:
        assert (classes(network, frame) != segmenter(frame).classes).mean() < 1e-3


def test_its_norms_know_what_they_see(exported):
    """Normalised by the batch that they were measured on, frames get the answers that they get one at a time."""
    network = started(exported)
    batch_B3HW = torch.from_numpy(np.stack(SCENES)).permute(0, 3, 1, 2)
    with torch.no_grad():
        alone_BCHW = network(batch_B3HW).logits_BCHW
        for module in network.modules():
            module.train(isinstance(module, nn.BatchNorm2d))
        together_BCHW = network(batch_B3HW).logits_BCHW
    assert (together_BCHW - alone_BCHW).abs().max() < 0.02 * alone_BCHW.std()


def test_its_filters_are_as_large_as_long_training_leaves_them(exported):
    weight = started(exported).encoder.get_parameter("layer1.0.conv1.weight")
    assert weight.square().mean().sqrt().item() == pytest.approx(TRAINED, rel=1e-3)


def test_for_other_classes_the_classifier_starts_fresh(exported):
    same, other = started(exported), started(exported, "camvid11")
    assert other.head.out_channels == 11
    assert other.head.weight.std() < 0.5  # fresh ones, of the new shape
    for name, value in same.encoder.state_dict().items():
        assert torch.equal(other.encoder.state_dict()[name], value)


def test_auxiliary_classifiers_and_the_reconstruction_start_fresh(exported):
    model = ModelConfig.model_validate(runs.config()["model"] | {"auxiliary": True, "reconstruction": True})
    network = started(exported, model=model)
    np.testing.assert_array_equal(classes(network, SCENES[0]), classes(started(exported), SCENES[0]))
    torch.manual_seed(0)
    fresh = build_network(5, model).state_dict()
    for name, value in network.state_dict().items():
        assert not name.startswith(("auxiliary", "reconstruction")) or torch.equal(value, fresh[name])


def test_it_is_what_init_takes(exported, tmp_path):
    config = load_run_config(runs.write_config(tmp_path / "on.yaml", init=str(exported)))
    network = prepare(config, RunDirectory(tmp_path / "on"), World(), torch.device("cpu")).task.network.eval()
    for frame in SCENES:
        assert (classes(network, frame) != classes(started(exported), frame)).mean() < 1e-3


def test_a_shipped_network_is_named_by_its_name(seg, tmp_path):
    code, _, said = seg("train", runs.write_config(tmp_path / "a.yaml", init="drvie"), "--out", tmp_path / "a")
    assert code == 2
    assert "drvie: no such file, and no shipped network of that name; did you mean 'drive'" in said
    code, _, said = seg("train", runs.write_config(tmp_path / "b.yaml", init="drive"), "--out", tmp_path / "b")
    assert code == 2
    assert "drive.onnx: holds no decoder.blocks.0.block.0.0.weight: it is of another network" in said


def test_norms_that_the_file_has_none_for_cannot_be_frozen(exported, tmp_path):
    changes = {"init": str(exported), "freeze_norms": True, "model__reconstruction": True}
    config = load_run_config(runs.write_config(tmp_path / "on.yaml", **changes))
    with pytest.raises(SegError, match=r"freeze_norms: reconstruction\.\S+ has no statistics to keep"):
        prepare(config, RunDirectory(tmp_path / "on"), World(), torch.device("cpu"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": "restore", "classes": (), "ontology": "none"}, "restores frames and knows no classes"),
        ({"network": {"weights": "int8"}}, "is in integers"),
    ],
)
def test_files_whose_weights_are_not_to_be_had(exported, tmp_path, change, said):
    model = onnx.load(exported)
    spec = ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props}, "exported")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, spec.model_copy(update=change).to_metadata())
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(SegError, match=rf"other\.onnx: {said}; start from the run that it was exported from"):
        started(tmp_path / "other.onnx")


def test_a_damaged_file_is_no_start(exported, tmp_path):
    model = onnx.load(exported)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("weight"))
    weight.raw_data = bytes([weight.raw_data[0] ^ 64, *weight.raw_data[1:]])
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(SegError, match=r"damaged\.onnx: its network or contract is not the one"):
        started(tmp_path / "damaged.onnx")


def test_files_that_are_none(exported, tmp_path):
    with pytest.raises(SegError, match=r"absent\.onnx: no such file"):
        started(tmp_path / "absent.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:-1000])
    with pytest.raises(SegError, match=r"cut\.onnx: truncated or damaged"):
        started(cut)
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(SegError, match=r"foreign\.onnx: not a model of this project"):
        started(tmp_path / "foreign.onnx")
