"""Model cards: generated from the file and its own figures, with what a person wrote; never of another file's figures."""

import json

import pytest
import yaml
from onnx_models import make_spec, save_bands
from PIL import Image

from export.card import write_card
from seg.classes import load_ontology
from seg.errors import SegError
from seg.files import sha256
from seg.labels import LabelSpace, load_label_set
from seg.metrics import PROTOCOL, Confusion
from seg.spec import Origin

NOTES = {
    "summary": "Bands of brightness.",
    "use": "Tests only.",
    "speed": "Very fast.",
    "data": [{"name": "none", "source": "nobody", "licence": "CC0"}],
    "failures": [{"text": "Everything."}, {"text": "At night.", "picture": "night.png"}],
    "remake": "`make test`.",
}


@pytest.fixture
def folder(tmp_path):
    save_bands(tmp_path / "bands.onnx")
    Image.new("RGB", (4, 4)).save(tmp_path / "night.png")
    write_notes(tmp_path)
    label_set = load_label_set("camvid11", load_ontology("drive"))
    confusion = Confusion(LabelSpace(label_set.ontology, [label_set]))
    confusion.counts_SC[0, 0] = 3
    confusion.counts_SC[3, :] = [1, 0, 0, 5, 0]
    report = confusion.report([label_set])
    figures = {"model": "bands.onnx", "sha256": sha256(tmp_path / "bands.onnx"), "data": "camvid/val (2 frames)"}
    (tmp_path / "figures.json").write_text(json.dumps({**figures, **report.model_dump(mode="json")}))
    return tmp_path


def write_notes(folder, **changes):
    (folder / "notes.yaml").write_text(yaml.safe_dump({**NOTES, **changes}))


def card(folder, figures=("figures.json",), overwrite=False, origins=()):
    output = folder / "bands.md"
    paths = [folder / name for name in figures]
    spec = make_spec()
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"origins": origins})})
    write_card(folder / "bands.onnx", spec, folder / "notes.yaml", paths, output, overwrite=overwrite)
    return output.read_text(encoding="utf-8")


def test_it_says_what_the_file_and_the_person_say(folder):
    said = card(folder)
    assert said.startswith("# bands\n\nBands of brightness.\n")
    assert sha256(folder / "bands.onnx") in said
    assert "| licence | Apache-2.0 |" in said
    assert "0 background, 1 road, 2 lane, 3 vehicle, 4 pole" in said
    assert "`frame` uint8 NHWC (1, 48, 64, 3)" in said
    assert "| none | nobody | CC0 |" in said
    assert PROTOCOL in said
    for part in ("Tests only.", "Very fast.", "`make test`."):
        assert part in said
    failures = said.partition("## Known failures")[2]
    assert "- Everything.\n" in failures
    assert "![At night.](night.png)" in failures


def test_pictures_are_named_from_the_notes_and_seen_from_the_card(folder):
    (folder / "notes").mkdir()
    write_notes(folder / "notes", failures=[{"text": "At night.", "picture": "../night.png"}])
    notes, card_file = folder / "notes" / "notes.yaml", folder / "a" / "b" / "bands.md"
    write_card(folder / "bands.onnx", make_spec(), notes, [folder / "figures.json"], card_file, overwrite=False)
    assert "![At night.](../../night.png)" in card_file.read_text()


def test_it_says_where_the_weights_came_from(folder):
    assert "It began with random weights." in card(folder)
    assert "What it began with was not recorded." in card(folder, overwrite=True, origins=None)
    chain = (Origin(run="video"), Origin(run="first", data=("camvid/train (367 frames)", "carla/a (1 frames)")))
    said = card(folder, overwrite=True, origins=chain)
    assert (
        "Its weights come from these trainings, oldest first: `video` (data not known), "
        "`first` (camvid/train (367 frames), carla/a (1 frames))." in said
    )


def test_figures_stand_in_a_table_under_the_names_of_what_was_told_apart(folder):
    lines = card(folder).splitlines()
    at = lines.index("| mean IoU | background | road\\|lane | vehicle | pole | pixel accuracy |")
    assert lines[at - 2] == "IoU in percent of this file on camvid/val (2 frames):"
    assert lines[at + 1] == "|---|---|---|---|---|---|"
    # background 3 of 4, vehicle 5 of 6; road|lane and pole occur nowhere
    assert lines[at + 2] == "| 79.2 | 75.0 | - | 83.3 | - | 88.9 |"


def test_several_data_sets_and_one_protocol(folder):
    other = json.loads((folder / "figures.json").read_text()) | {"data": "carla/train (1 frames)"}
    (folder / "other.json").write_text(json.dumps(other))
    said = card(folder, ("figures.json", "other.json"))
    assert said.index("camvid/val (2 frames)") < said.index("carla/train (1 frames)")
    assert said.count(PROTOCOL) == 1


def test_figures_of_another_file_are_refused(folder):
    save_bands(folder / "bands.onnx", size=(60, 64))
    with pytest.raises(SegError, match=r"figures\.json: figures of another file; measure this one with `seg eval"):
        card(folder)
    assert not (folder / "bands.md").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"failures": []}, "failures: .*at least 1"),
        ({"failures": [{"text": "x", "picture": "gone.png"}]}, r"no picture gone\.png as seen from"),
        ({"limits": "none"}, "unknown key 'limits'"),
        ({"data": []}, "data: .*at least 1"),
    ],
)
def test_notes_that_do_not_do(folder, changes, message):
    write_notes(folder, **changes)
    with pytest.raises(SegError, match=message):
        card(folder)
    assert not (folder / "bands.md").exists()


def test_other_mistakes(folder):
    with pytest.raises(SegError, match="a card needs figures"):
        card(folder, ())
    (folder / "broken.json").write_text("{")
    with pytest.raises(SegError, match=r"broken\.json: cannot be read .*`seg eval --json`"):
        card(folder, ("broken.json",))
    (folder / "bands.md").write_text("mine")
    with pytest.raises(SegError, match=r"bands\.md: exists already"):
        card(folder)
    assert "Bands of brightness" in card(folder, overwrite=True)


def test_the_command_puts_it_beside_the_model(folder, capsys):
    from seg.cli import main

    words = ["card", folder / "bands.onnx", folder / "notes.yaml", "--figures", folder / "figures.json"]
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    assert not ended.value.code
    assert capsys.readouterr().out == f"{folder / 'bands.md'}\n"
    assert "Bands of brightness" in (folder / "bands.md").read_text()


@pytest.mark.parametrize("name", ["camvid11", "drive"])
def test_the_shipped_notes_are_sound(name):
    from export.card import CardNotes
    from seg.paths import configs
    from seg.strict import parse, read_yaml

    path = configs() / "cards" / f"{name}.yaml"
    notes = parse(CardNotes, read_yaml(path), path)
    assert all(one.licence for one in notes.data)


@pytest.mark.parametrize("name", ["bands.onnx", "notes.yaml", "figures.json"])
def test_what_a_card_is_made_of_is_never_replaced(folder, name):
    figures = [folder / "figures.json"]
    before = (folder / name).read_bytes()
    with pytest.raises(SegError, match="is never replaced"):
        write_card(folder / "bands.onnx", make_spec(), folder / "notes.yaml", figures, folder / name, overwrite=True)
    assert (folder / name).read_bytes() == before
