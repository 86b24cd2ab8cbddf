"""The sound of a video goes into the painted one as it is."""

import av
import numpy as np
import pytest
from media import sound_of, with_sound
from onnx_models import save_bands

from infer import Segmenter, open_source, run
from infer.encode import OverlayVideo
from infer.sinks import Painter


@pytest.fixture
def segmenter(tmp_path):
    return Segmenter(save_bands(tmp_path / "m.onnx"), threads=1)


def paint(segmenter, video, out, frames=None):
    with open_source(video) as source:
        sink = OverlayVideo(out, Painter(segmenter.spec), source.fps, sound=video)
        if frames is None:
            return run(segmenter, source, [sink])
        with sink:
            for (frame, answer), _ in zip(segmenter.stream(source), range(frames), strict=False):
                sink.write(frame, answer)
    return None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("begin", [0, 50])
def test_every_packet_at_its_time(segmenter, tmp_path, suffix, begin):
    video = with_sound(tmp_path / f"v{suffix}", begin=begin)
    paint(segmenter, video, tmp_path / f"o{suffix}")
    times, packets = sound_of(video)
    found_times, found = sound_of(tmp_path / f"o{suffix}")
    assert found == packets
    assert len(found) > 50
    np.testing.assert_allclose(found_times, times, atol=2)
    with av.open(str(tmp_path / f"o{suffix}")) as made:
        assert sum(1 for _ in made.decode(video=0)) == 30


def test_of_a_part_of_the_video_a_part_of_the_sound(segmenter, tmp_path):
    video = with_sound(tmp_path / "v.mp4")
    paint(segmenter, video, tmp_path / "o.mp4", frames=10)
    assert 350 < sound_of(tmp_path / "o.mp4")[0][-1] < 450


def test_sound_that_the_format_does_not_take_is_left_out_and_said(segmenter, tmp_path, caplog):
    video = with_sound(tmp_path / "v.mkv", codec="pcm_s16le")
    paint(segmenter, video, tmp_path / "o.mp4")
    paint(segmenter, video, tmp_path / "o.mkv")
    assert sound_of(tmp_path / "o.mp4") == ([], [])
    assert "the format does not take pcm_s16le" in caplog.text
    assert len(sound_of(tmp_path / "o.mkv")[1]) > 20


@pytest.mark.parametrize(("codec", "suffix"), [("libmp3lame", ".mp4"), ("ac3", ".mp4"), ("flac", ".mkv")])
def test_codecs_by_the_name_that_formats_have_for_them(segmenter, tmp_path, codec, suffix):
    video = with_sound(tmp_path / "v.mkv", codec=codec)
    paint(segmenter, video, tmp_path / f"o{suffix}")
    assert len(sound_of(tmp_path / f"o{suffix}")[1]) > 5


def test_where_files_were_joined_the_pictures_stay(segmenter, tmp_path, caplog):
    part = with_sound(tmp_path / "part.ts", count=15).read_bytes()
    (tmp_path / "v.ts").write_bytes(part + part)
    assert paint(segmenter, tmp_path / "v.ts", tmp_path / "o.mp4").frames >= 28
    with av.open(str(tmp_path / "o.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) >= 28
    assert len(sound_of(tmp_path / "o.mp4")[1]) > 10


def test_a_file_that_is_gone_costs_the_sound_alone(segmenter, tmp_path, caplog):
    video = with_sound(tmp_path / "v.mp4")
    with open_source(video) as source:
        sink = OverlayVideo(tmp_path / "o.mp4", Painter(segmenter.spec), source.fps, sound=tmp_path / "gone.mp4")
        assert run(segmenter, source, [sink]).frames == 30
    assert sound_of(tmp_path / "o.mp4") == ([], [])
    assert "gone.mp4: its sound is left out" in caplog.text
