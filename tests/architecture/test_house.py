"""Rules of the house that a reader of a diff would forget to check: sizes, pickle, the lock, the list of commands."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from seg.cli import main

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for room in ("seg", "train", "export", "infer") for path in (ROOT / room).rglob("*.py"))
LINES, FUNCTION_LINES = 300, 60
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve"}


def relative(path):
    return str(path.relative_to(ROOT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def tracked():
    """Every file that git tracks; the test is skipped where there is no checkout (an unpacked archive)."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_there_are_sources():
    assert len(SOURCES) > 50


def test_files_can_be_read_in_one_sitting():
    counts = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in counts.items() if count > LINES} == {}


def test_functions_fit_a_screen():
    lengths = {
        f"{relative(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_no_big_file_is_tracked():
    sizes = {relative(path): path.stat().st_size for path in tracked()}
    assert {name: size for name, size in sizes.items() if size > 10_000_000} == {}


def unpickling(node):
    """What in this node could run code out of a data file; None if nothing."""
    if isinstance(node, ast.Import):
        return next((alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS), None)
    if isinstance(node, ast.ImportFrom):
        return node.module if (node.module or "").split(".")[0] in UNPICKLERS else None
    if isinstance(node, ast.Attribute) and node.attr in {"load", "save"}:
        return f"torch.{node.attr}" if isinstance(node.value, ast.Name) and node.value.id == "torch" else None
    if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        return "allow_pickle"
    return None


def test_no_pickle_is_ever_loaded():
    found = [
        f"{relative(path)}: {what}" for path in SOURCES for node in ast.walk(tree(path)) if (what := unpickling(node))
    ]
    assert found == []


def test_the_normalisation_stands_in_one_place():
    means = re.compile(r"\b(?:123\.67|0\.485)")
    assert [relative(path) for path in SOURCES if means.search(path.read_text(encoding="utf-8"))] == [
        "seg/model/autoencoder.py"
    ]


def test_the_lock_names_no_index_and_hashes_everything():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.findall(r"^\s*(?:--(?:index|extra-index|find-links)|-[if]\b).*", lock, re.MULTILINE) == []
    assert re.findall(r"\w+://\S+", lock) == []
    requirements = re.split(r"\n(?=[a-zA-Z0-9])", lock)
    assert len(requirements) > 50
    assert [text.split("\n")[0] for text in requirements if "==" not in text or "--hash=sha256:" not in text] == []


def test_help_lists_every_command(capsys):
    registered = (ROOT / "seg" / "cli" / "commands.py").read_text(encoding="utf-8")
    names = re.findall(r'app\.command\("([\w-]+)"|name="([\w-]+)"', registered)
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert names
    assert [name for pair in names for name in pair if name and not re.search(rf"^  {name} ", said, re.MULTILINE)] == []
