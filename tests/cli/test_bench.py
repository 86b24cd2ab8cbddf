"""`seg bench`: a row for each backend, or why there is none."""

import json

import numpy as np
import pytest
from media import picture, write_video
from onnx_models import save_bands

from infer import Segmenter
from infer.speed import BACKENDS, measure
from seg.errors import SegError


@pytest.fixture
def model(tmp_path):
    return save_bands(tmp_path / "bands.onnx")


def test_backends_that_run_are_timed_and_the_others_say_why(model):
    pytest.importorskip("openvino")
    pictures = [picture(index) for index in range(3)]
    rows = measure([model], pictures, rounds=2, threads=2)
    assert [(row.provider, row.precision) for row in rows] == list(BACKENDS)
    first, second = rows[:2]
    for row in (first, second):
        assert row.problem is None
        assert row.latency.count == 2 * 3
        assert row.frames_per_second > 0
        assert (row.changed, set(row.by_class.values())) == (0, {0})
        assert row.streams == 2
    found = np.unique(np.concatenate([Segmenter(model)(rgb).classes.ravel() for rgb in pictures]))
    assert len(first.by_class) == len(found)
    cuda = next(row for row in rows if row.provider == "cuda")
    assert cuda.provider == "cuda"
    if cuda.problem is None:
        pytest.skip("there is a GPU here")
    assert "cuda" in cuda.problem


def test_pixels_that_changed_are_counted_by_the_class_that_they_had(model, monkeypatch):
    real = Segmenter.__call__

    def other(self, frame):
        answer = real(self, frame)
        if self.provider == "openvino":
            answer.classes[:12] = answer.classes.max()
        return answer

    pytest.importorskip("openvino")
    monkeypatch.setattr(Segmenter, "__call__", other)
    rgb = np.full((48, 64, 3), 250, np.uint8)
    rgb[:24] = 0
    row = measure([model], [rgb], rounds=1)[1]
    assert row.changed == pytest.approx(0.25)
    assert sorted(row.by_class.values()) == [0, pytest.approx(0.5)]


def test_a_file_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"text")
    with pytest.raises(SegError, match="not an ONNX file"):
        measure([tmp_path / "no.onnx"], [picture(0)])


def test_files_are_compared_with_the_first(model, tmp_path):
    other = save_bands(tmp_path / "other.onnx", step=80)
    rows = measure([model, other], [picture(0)], rounds=1)
    assert [row.model for row in rows if row.provider == "cpu"] == ["bands.onnx", "other.onnx"]
    by_file = [row.changed for row in rows if row.provider == "cpu"]
    assert by_file[0] == 0
    assert by_file[1] == pytest.approx(
        np.mean(Segmenter(model)(picture(0)).classes != Segmenter(other)(picture(0)).classes)
    )


def test_files_of_other_classes_are_not_compared(model):
    with pytest.raises(SegError, match=r"its classes are not those of bands\.onnx"):
        measure([model, "camvid11"], [picture(0)])


def test_the_command(seg, model, tmp_path):
    video = write_video(tmp_path / "v.mp4", count=3)
    options = ["--source", video, "--frames", 2, "--rounds", 1, "--json", tmp_path / "b.json"]
    code, out, err = seg("bench", model, *options)
    assert (code, err) == (0, "")
    assert "cpu float32" in out
    assert "frames/s" in out
    rows = json.loads((tmp_path / "b.json").read_text())
    assert len(rows) == len(BACKENDS)
    assert rows[0]["latency_ms"]["p50"] <= rows[0]["latency_ms"]["p99"]
    assert rows[0]["changed"] == 0
    assert sum("problem" in row for row in rows) == out.count("not measured:")
    code, _, err = seg("bench", model, *options)
    assert code == 2
    assert "exists already" in err


def test_every_class_that_another_file_changes_is_told(seg, model, tmp_path):
    other = save_bands(tmp_path / "other.onnx", step=80)
    video = write_video(tmp_path / "v.mp4", count=2)
    code, out, _ = seg(
        "bench", model, other, "--source", video, "--frames", 2, "--rounds", 1, "--json", tmp_path / "b.json"
    )
    assert code == 0
    rows = json.loads((tmp_path / "b.json").read_text())
    (row,) = [row for row in rows if (row["model"], row["provider"]) == ("other.onnx", "cpu")]
    (line,) = [line for line in out.splitlines() if line.startswith("other.onnx cpu float32: changed")]
    told = dict(part.rsplit(" ", 1) for part in line.partition("class: ")[2].split(", "))
    assert {name: float(share) for name, share in told.items()} == {
        name: pytest.approx(100 * share, abs=0.005) for name, share in row["changed_by_class"].items()
    }
    assert "bands.onnx cpu float32: changed" not in out


def test_what_is_timed_is_never_replaced(seg, model, tmp_path):
    video = write_video(tmp_path / "v.mp4", count=2)
    before = model.read_bytes(), video.read_bytes()
    for output in (model, video):
        code, _, err = seg("bench", model, "--source", video, "--json", output, "--overwrite")
        assert (code, err) == (
            2,
            f"seg: {output}: is an input (or holds one) and is never replaced; choose another name\n",
        )
    assert (model.read_bytes(), video.read_bytes()) == before
