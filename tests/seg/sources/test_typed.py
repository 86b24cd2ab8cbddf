"""What a user types as a source: what it is taken for, and that no message repeats a password."""

import os

import pytest
from media import write_video
from PIL import Image

from infer.sources import Several
from seg.errors import SegError
from seg.sources.base import without_secrets
from seg.sources.open import open_source


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://h/1", "rtsp://h/1"),
        ("rtsp://admin:SECRET@h:554/1", "rtsp://***@h:554/1"),
        ("rtsp://admin:SE/CRET@h/1", "rtsp://***@h/1"),
        ("rtsp://admin:S?CR@T#@h/1", "rtsp://***@h/1"),
        ("rtsp:/admin:SECRET@h", "rtsp:/***@h"),
        ("rtsp:admin:SECRET@h", "rtsp:***@h"),
        ("admin:SECRET@h/1", "admin:***@h/1"),
        ("rtsp://h/user=admin_password=SECRET_channel=1.sdp", "rtsp://h/user=***"),
        ("http://h/x?password=SECRET&token=SECRET", "http://h/x?***"),
        ("http://u:SECRET@h/x\n?token=SECRET\n", "http://***@h/x\n?***"),
        ("C:\\photo@2x=1.png", "C:\\photo@2x=1.png"),
        ("frames/photo@2x=1.png", "frames/photo@2x=1.png"),
    ],
)
def test_without_secrets(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.parametrize("text", ["rtsp:/admin:SECRET@h", "rtsp:/admin:SECRET@h/x?token=SECRET", "rtsp:/a:SECRET@h/*"])
def test_a_mistyped_url_is_not_repeated(text):
    with pytest.raises(SegError, match=r"rtsp:/\*\*\*@h") as caught:
        open_source(text)
    assert "SECRET" not in str(caught.value)


def test_the_name_of_several_sources_is_without_secrets(tmp_path):
    video = write_video(tmp_path / "user=a@b.mp4", count=2)
    assert Several([str(video)]).name == str(video)
    with pytest.raises(SegError) as caught:
        Several(["rtsp://admin:SECRET@127.0.0.1:1/x"])
    assert "SECRET" not in str(caught.value)


def test_a_file_url_is_a_file(tmp_path):
    video = write_video(tmp_path / "my drive.mp4", count=2)
    for text in (f"file://{video}", f"file:{video}", f"FILE://localhost{video}", video.as_uri()):
        with open_source(text) as source:
            assert (source.kind, source.path, len(list(source))) == ("video", video, 2)
        assert Several([text]).inputs() == [video]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with open_source(f"file://{tmp_path}") as source:
        assert source.kind == "folder"
    assert Several([f"file://{tmp_path}/a.png"]).inputs() == [tmp_path / "a.png"]


def test_a_folder_named_by_digits_is_no_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "00").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "00" / "a.png")
    assert open_source("00").kind == "folder"


@pytest.mark.parametrize("text", ["²", "٣", "123456789012345678901234567890", "1.5", "-1"])
def test_what_is_no_camera(text):
    with pytest.raises(SegError, match="no such file or folder"):
        open_source(text)


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_a_link_that_leads_nowhere_is_told_and_the_others_come(tmp_path, pattern):
    for name in ("a.png", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "d.png").mkdir()
    source = open_source(os.path.join(tmp_path, pattern))  # noqa: PTH118  (as typed)
    assert [frame.index for frame in source] == [0, 2]
    assert source.problem == f"1 of 3 images could not be read (first: {tmp_path / 'b.png'}: no such file)"
    assert [path.name for path in source.inputs()] == ["a.png", "c.png"]
