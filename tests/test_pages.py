"""The pages for people tell the truth: their Python runs, their commands parse, their files and names exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer.main
import yaml
from media import picture, write_video
from onnx_models import save_bands
from PIL import Image

from seg.classes import load_ontology
from seg.cli import app, main
from seg.config import DataSource, ModelConfig, SyntheticData, load_pretrain_config, load_run_config
from seg.data.open import READERS
from seg.labels import load_label_set
from seg.metrics import PROTOCOL
from seg.spec import METADATA_KEY, Profile

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
ROOMS = r"(?:seg|train|export|infer|configs|tests|bench|docs|\.ci)"
SHIPPED = sorted((ROOT / "configs" / "train").glob("*.yaml"))


def text(page: str = "README.md") -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)


def lines(page: str) -> Iterator[list[str]]:
    """The command lines of the page's bash blocks, split into words."""
    for block in blocks("bash", page):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def seg_words(words: list[str]) -> list[str] | None:
    """What follows `seg`, or `-m seg.cli` where torchrun starts it; None for other commands."""
    if Path(words[0]).name == "seg":
        return words[1:]
    return words[words.index("seg.cli") + 1 :] if "seg.cli" in words else None


def all_seg_lines() -> list[tuple[str, str]]:
    found = [(page, seg_words(words)) for page in PAGES for words in lines(page)]
    return [(page, shlex.join(words)) for page, words in found if words is not None]


def command_of(words: list[str]):
    """The command that the words name, and the words after its name."""
    command, rest = typer.main.get_command(app), list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"seg has no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    return command, rest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the examples name, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    save_bands(tmp_path / "model.onnx")
    Image.fromarray(picture(0, 30, 50)).save(tmp_path / "frame.png")
    write_video(tmp_path / "drive.mp4", count=3)
    return tmp_path


def test_the_library_example_runs(folder, capsys):
    (example,) = blocks("python")
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    assert "Segmenter" in example
    assert names["painted"].shape == (30, 50, 3)
    assert capsys.readouterr().out.count("% car") == 3


def test_the_example_of_reading_the_contract_runs(folder, capsys):
    for block in blocks("python", "docs/deploying.md"):
        exec(compile(block, "docs/deploying.md", "exec"), {})
    assert "background" in capsys.readouterr().out


@pytest.mark.parametrize(("page", "line"), all_seg_lines(), ids=lambda value: value[:60])
def test_commands_parse(page, line):
    command, rest = command_of(shlex.split(line))
    given = command.make_context("seg", rest).params  # refuses unknown options and what is missing or ill-typed
    config = given.get("config")
    if config is not None and config.parts[0] == "configs":
        load = load_pretrain_config if line.startswith("pretrain") else load_run_config
        load(ROOT / config, given.get("overrides") or given.get("override"))


def test_there_are_commands_to_check():
    named = {line.split()[0] for _, line in all_seg_lines()}
    assert {"data", "train", "pretrain", "eval", "export", "infer", "doctor"} <= named


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(page):
    prose = re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`seg ([^`]+)`", prose):
        command, rest = command_of([word for word in code.split() if word.islower() or word.startswith("-")])
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("-")} <= known, code


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_and_scripts_exist(page):
    targets = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    named = {words[1] for words in lines(page) if words[0] == "make"} | set(re.findall(r"`make (\w+)", text(page)))
    assert named <= targets
    for module in re.findall(r"python -m (bench\.\w+)", text(page)):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def anchors(page: Path) -> set[str]:
    """What `#...` of a link to the page can name: its headings, in lower case and without punctuation."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if not target.startswith(("http:", "https:")):
            name, _, anchor = target.partition("#")
            path = (ROOT / page).parent / name if name else ROOT / page
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    for match in re.findall(rf"(?<![\w/.${{}}~-]){ROOMS}/[\w.*/-]+", text(page)):
        path = match.rstrip(".")
        if not re.search("[A-Z]{4}", path):  # a placeholder, such as configs/labels/NAME.yaml
            assert any(ROOT.glob(path.rstrip("/"))), f"{page} names {path}"


def test_the_example_of_own_data_is_sound(tmp_path, monkeypatch, capsys):
    files = {block.split("\n")[0].removeprefix("# "): block for block in blocks("yaml")}
    assert set(files) == {"my-labels.yaml", "my-run.yaml"}
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        Path(name).write_text(content, encoding="utf-8")
    raw = yaml.safe_load(files["my-labels.yaml"])["raw"]
    for split, index in (("train", 0), ("train", 1), ("val", 2)):
        for kind in ("images", "labels"):
            Path(f"my_data/{kind}/{split}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(index)).save(f"my_data/images/{split}/{index}.jpg")
        Image.new("L", (64, 48), sorted(raw)[index]).save(f"my_data/labels/{split}/{index}.png")
    scenes = ["data.train.1.count=2", "data.train.1.size=[64, 96]"]
    run = load_run_config(Path("my-run.yaml"), scenes)
    assert run.data.train[0].weight == 4 * run.data.train[1].weight  # "one sample in five is a scene"
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", "my-run.yaml", *scenes, "--workers", "1"])
    assert not ended.value.code
    assert "no errors" in capsys.readouterr().out


def names_to_be_found() -> Iterator[str]:
    yield from SyntheticData.model_fields.keys() - DataSource.model_fields.keys() - {"kind"}
    yield from get_args(ModelConfig.model_fields["decoder"].annotation)
    yield from READERS
    yield from (path.stem for kind in ("classes", "labels") for path in (ROOT / "configs" / kind).glob("*.yaml"))
    yield METADATA_KEY


@pytest.mark.parametrize("name", sorted(set(names_to_be_found())))
def test_the_pages_name_everything_that_can_be_chosen(name):
    assert any(f"`{name}`" in text(page) for page in PAGES)


def test_the_pages_name_every_command():
    told = "\n".join(text(page) for page in PAGES)
    for name in typer.main.get_command(app).commands:
        assert re.search(rf"\bseg {name}\b", told), name


def test_mean_iou_is_defined_in_the_codes_own_words():
    assert PROTOCOL in " ".join(re.sub(r"^> ?", "", text("docs/training.md"), flags=re.MULTILINE).split())


@pytest.mark.parametrize("profile", get_args(Profile))
def test_the_tensors_of_a_profile_are_those_of_the_contract(profile):
    from export.profiles import signature

    row = next(line for line in text("docs/deploying.md").splitlines() if line.startswith(f"| `{profile}`"))
    tensors = signature(profile, 4, 6, 5)
    for tensor in (tensors.input, *tensors.outputs):
        assert f"`{tensor.name}` {tensor.dtype} {tensor.layout} " in row


def test_base_dependencies_and_extras_are_explained():
    import tomllib

    project = tomllib.loads(text("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(one for extra in extras for one in extra)]:
        name = re.split(r"[<>=!~\[ ;]", requirement)[0]
        assert re.search(rf"^\|[^|]*\b{re.escape(name)}\b[^|]*\|", text(), re.MULTILINE), name


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_runs_parse(path):
    run = load_run_config(path)
    ontology = load_ontology(run.ontology)
    for source in (*run.data.train, *run.data.val):
        if source.labels is not None:
            load_label_set(source.labels, ontology)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "pretrain").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_pretraining_runs_parse(path):
    load_pretrain_config(path)


def test_no_page_tells_of_a_machine():
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:home|root|work|Users)/|\.\./shared", text(page)), page
