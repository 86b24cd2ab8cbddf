"""Eight-bit integers: what is quantised, what the labels allow, and what is said where they do not."""

import numpy as np
import onnx
import pytest

from export import ExportOptions, Judgement, export_int8, export_run, int8
from export.int8 import Limits, quantize
from infer import Segmenter
from infer.labelled import segmented
from infer.session import Session
from seg.data.open import open_data
from seg.errors import SegError
from seg.metrics import Report, UnitReport
from seg.model.checkpoint import find_checkpoint, load_meta
from seg.onnx_file import read_metadata
from seg.spec import ModelSpec

ANYTHING = Limits(mean=1.0, unit=1.0)
NOTHING = Limits(mean=-1.0, unit=1.0)


@pytest.fixture(scope="module")
def labelled(run):
    meta = load_meta(find_checkpoint(run))
    return open_data(meta.config.data.val, meta.ontology)


@pytest.fixture(scope="module")
def exact(run, frames, tmp_path_factory):
    """The float32 file and its contract."""
    path = tmp_path_factory.mktemp("exact") / "exact.onnx"
    return path, export_run(run, path, frames)[0]


@pytest.fixture(scope="module")
def rounded(exact, frames, labelled, tmp_path_factory):
    """The file in integers, its contract and the judgement."""
    path = tmp_path_factory.mktemp("rounded") / "rounded.onnx"
    return path, *quantize(exact[0], path, exact[1], frames, labelled, limits=ANYTHING)


def operators(file, kind):
    return [node for node in onnx.load(file).graph.node if node.op_type == kind]


def values(file):
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


def test_every_convolution_reads_integers_with_a_scale_for_each_channel(rounded, exact):
    file, made = rounded[0], values(rounded[0])
    convolutions = operators(file, "Conv")
    assert len(convolutions) == len(operators(exact[0], "Conv")) == rounded[2].layers
    from_integers = {node.output[0]: node for node in operators(file, "DequantizeLinear")}
    for node in convolutions:
        frame, weights = (from_integers[name] for name in node.input[:2])
        assert made[frame.input[2]].dtype == np.uint8
        assert made[weights.input[0]].dtype == np.int8
        assert made[weights.input[1]].shape == made[weights.input[0]].shape[:1]


def test_no_processor_can_overflow_where_it_adds_two_products_in_sixteen_bits(rounded):
    file, made = rounded[0], values(rounded[0])
    from_integers = {node.output[0]: node for node in operators(file, "DequantizeLinear")}
    for node in operators(file, "Conv"):
        weights = np.abs(made[from_integers[node.input[1]].input[0]].astype(int))
        assert 255 * 2 * weights.max() <= np.iinfo(np.int16).max
        assert weights.max() > 32  # and no bit is given away


def test_it_answers_nearly_as_before(rounded, exact, frames):
    for frame in frames:
        before, after = (Segmenter(file)(frame) for file in (exact[0], rounded[0]))
        assert np.mean(before.classes != after.classes) < 0.2
        assert np.abs(before.confidence.astype(int) - after.confidence).mean() < 10


def test_openvino_runs_the_same_integers(rounded, frames):
    pytest.importorskip("openvino")
    theirs = Segmenter(rounded[0], "openvino", precision="int8")
    for frame in frames:
        assert np.mean(theirs(frame).classes != Segmenter(rounded[0])(frame).classes) < 0.05


def test_the_contract_has_the_figures_of_the_integers(rounded):
    file, spec, judgement = rounded
    assert ModelSpec.from_metadata(read_metadata(file), str(file)) == spec
    assert spec.network["weights"] == "int8"
    assert "float32_layers" not in spec.network
    assert spec.metrics.mean_iou == judgement.rounded.mean_iou
    assert judgement.mean == judgement.exact.mean_iou - judgement.rounded.mean_iou


def test_the_judge_measures_as_the_evaluation_does(exact, labelled):
    from train.evaluate import evaluate

    segmenter = Segmenter(exact[0])
    theirs = evaluate(segmented(segmenter, labelled), labelled)
    assert int8._report(*exact, labelled) == theirs.report(labelled.label_sets)


def test_symmetric_activations_have_no_zero_point(exact, frames, labelled, tmp_path):
    path = tmp_path / "s.onnx"
    quantize(exact[0], path, exact[1], frames, labelled, symmetric=True, limits=ANYTHING)
    made = values(path)
    points = [made[node.input[2]] for node in operators(path, "DequantizeLinear")]
    assert all(point.dtype in (np.int8, np.int32) and not point.any() for point in points)


def test_too_much_lost_names_classes_and_layers_and_leaves_no_file(exact, frames, labelled, tmp_path):
    with pytest.raises(SegError, match=r"points of mean IoU \(-100\.0 allowed\)") as caught:
        quantize(exact[0], tmp_path / "no.onnx", exact[1], frames, labelled, limits=NOTHING)
    layers = [node.name for node in operators(exact[0], "Conv")]
    count = 2 ** int(np.log2(len(layers) // 2))
    assert f"even with {count} of {len(layers)} layers in float32" in str(caught.value)
    assert sum(name in str(caught.value) for name in layers) >= 3
    assert list(tmp_path.iterdir()) == []


def test_the_layer_that_hurts_stays_float(exact, frames, labelled, tmp_path, monkeypatch):
    """One layer is made to hurt: quantised, it is called a loss."""
    layers = [node.name for node in operators(exact[0], "Conv")]
    culprit = layers[len(layers) // 2]
    real = int8._report

    def report(file, spec, data):
        convolutions = {node.name: node for node in operators(file, "Conv")}
        in_integers = convolutions[culprit].input[1].endswith("_DequantizeLinear_Output")
        found = real(file, spec, data)
        return found.model_copy(update={"mean_iou": 0.0}) if in_integers else found

    monkeypatch.setattr(int8, "_report", report)
    monkeypatch.setattr(int8, "_changed", lambda exact, alone, *_: float(culprit_quantised(alone, culprit)))
    limits = Limits(mean=0.2, unit=1.0)
    spec, judgement = quantize(exact[0], tmp_path / "k.onnx", exact[1], frames, labelled, limits=limits)
    assert judgement.kept == (culprit,)
    assert spec.network["float32_layers"] == culprit
    assert not culprit_quantised(tmp_path / "k.onnx", culprit)


def culprit_quantised(file, name):
    node = next(node for node in operators(file, "Conv") if node.name == name)
    return node.input[1].endswith("_DequantizeLinear_Output")


def judged(before, after):
    def report(units):
        mean = float(np.mean([value for value in units.values() if value is not None]))
        made = {name: UnitReport(iou=iou, precision=None, recall=None, label_pixels=1) for name, iou in units.items()}
        return Report(
            mean_iou=mean, pixel_accuracy=None, pixels=1, units=made, class_names=(), label_names=(), confusion=()
        )

    return Judgement(report(before), report(after), (), 1)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"road": 0.9, "pole": 0.5}, {"road": 0.896, "pole": 0.495}, []),
        ({"road": 0.9, "pole": 0.5}, {"road": 0.9, "pole": 0.484}, ["0.80 points of mean", "pole 1.60 points (1.5"]),
        ({"road": 0.9, "pole": 0.5}, {"road": 0.92, "pole": 0.484}, ["pole 1.60 points (1.5"]),
        ({"road": 0.9, "pole": 0.5}, {"road": 0.894, "pole": 0.494}, ["0.60 points of mean"]),
        ({"road": 0.9, "pole": 0.5}, {"road": 0.9, "pole": None}, ["pole 50.00 points"]),
        ({"road": 0.9, "pole": None}, {"road": 0.9, "pole": 0.3}, ["30.00 points of mean"]),
    ],
)
def test_what_is_too_much(before, after, said):
    broken = judged(before, after).broken(Limits())
    assert len(broken) == len(said)
    for line, start in zip(broken, said, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration": []}, "--int8 needs frames: 0 to calibrate on and 3 labelled ones came"),
        ({"options": ExportOptions(weights="float16")}, "stores its weights as integers, not as float16"),
    ],
)
def test_what_cannot_be_done(run, frames, labelled, tmp_path, changes, message):
    given = {"frames": frames, "calibration": frames, "data": labelled} | changes
    with pytest.raises(SegError, match=message):
        export_int8(run, tmp_path / "no.onnx", **given)
    assert list(tmp_path.iterdir()) == []


def test_novelty_of_floats_is_not_passed_on(exact, frames, labelled, tmp_path):
    from seg.spec import TensorSpec

    novelty = TensorSpec(name="novelty", dtype="float32", layout="N", shape=(1,), meaning="how unlike")
    spec = exact[1].model_copy(update={"outputs": (*exact[1].outputs, novelty)})
    with pytest.raises(SegError, match="leave it out with --no-novelty"):
        quantize(exact[0], tmp_path / "no.onnx", spec, frames, labelled)


def test_labels_that_name_no_class_judge_nothing(exact, frames, labelled, tmp_path, monkeypatch):
    real = int8._report
    nothing = {"mean_iou": None, "units": {}}
    monkeypatch.setattr(int8, "_report", lambda *given: real(*given).model_copy(update=nothing))
    with pytest.raises(SegError, match="name no class at all"):
        quantize(exact[0], tmp_path / "no.onnx", exact[1], frames, labelled)
    assert list(tmp_path.iterdir()) == []


def test_a_file_computes_in_what_it_holds(exact, rounded):
    assert Session(rounded[0]).choice == "cpu, as asked for, in int8"
    assert Session(rounded[0], precision="int8").provider == "cpu"
    with pytest.raises(SegError, match="is in floats; make one of integers with `seg export --int8`"):
        Session(exact[0], precision="int8")
    with pytest.raises(SegError, match=r"weights of .* are integers; leave --precision out"):
        Session(rounded[0], precision="fp32")
    with pytest.raises(SegError, match="provider 'cuda' computes in float32"):
        Session(rounded[0], "cuda")


def test_the_command(seg, run, tmp_path, video):
    target = tmp_path / "i.onnx"
    code, _, err = seg("export", run, "-o", target, "--calibration", video)
    assert (code, err.count("\n")) == (2, 1)
    assert "give --int8 too" in err
    code, out, err = seg("export", run, "-o", target, "--int8", "--calibration", video)
    if code == 0:  # the tiny network may lose more than is allowed, and then says so
        assert "int8; calibrated on 12 frames; on 3 labelled ones mean IoU" in out
        assert Session(target).spec.network["weights"] == "int8"
    else:
        assert "in eight-bit integers the network loses" in err
        assert not target.exists()


def test_the_command_calibrates_on_training_frames_unless_told(seg, run, tmp_path, monkeypatch):
    seen = {}

    def told(run, output, frames, calibration, data, options, **how):
        seen.update(count=len(calibration), judges=len(data))
        raise SegError("enough")

    monkeypatch.setattr("export.export_int8", told)
    assert seg("export", run, "-o", tmp_path / "i.onnx", "--int8")[0] == 2
    assert seen == {"count": 6, "judges": 3}


def test_frames_are_spread_over_a_source_of_any_length(monkeypatch):
    from contextlib import nullcontext

    from seg.cli import export
    from seg.frame import Frame

    class Made(list):
        kind, problem = "video", None

    monkeypatch.setattr(export, "CALIBRATION", 4)
    for count, kept in ((3, [0, 1, 2]), (7, [0, 1, 2, 3, 4, 5, 6]), (8, [0, 2, 4, 6]), (33, [0, 8, 16, 24, 32])):
        made = [Frame(np.full((2, 2, 3), index, np.uint8), index, 0, "made") for index in range(count)]
        monkeypatch.setattr("seg.sources.open.open_source", lambda text, made=made: nullcontext(Made(made)))
        assert [int(frame[0, 0, 0]) for frame in export._source_frames("any")] == kept
