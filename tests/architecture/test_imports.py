"""The arrows of the house: who may import whom, read from the source; and that the command line imports lazily."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("seg", "train", "export", "infer")
HEAVY = ("torch", "torchvision", "cv2", "onnxruntime", "openvino", "av", "numpy", "rich", "PIL")


def modules(room):
    return sorted((ROOT / room).rglob("*.py"))


def imports(path):
    """Every module that the file names in an import, wherever it stands, TYPE_CHECKING blocks included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def offences(path, forbidden):
    return sorted(
        f"{path.relative_to(ROOT)} imports {name}"
        for name in imports(path)
        if any(name == room or name.startswith(room + ".") for room in forbidden)
    )


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("seg", ["train", "export", "infer"]),
        ("train", ["export", "infer"]),
        ("export", ["train", "infer"]),
        ("infer", ["train", "export", "seg.model", "seg.cli", "torch", "torchvision"]),
    ],
)
def test_arrows(room, forbidden):
    command_line = ROOT / "seg" / "cli"  # the outermost layer may import every room
    files = [path for path in modules(room) if command_line not in path.parents]
    assert files
    assert [line for path in files for line in offences(path, forbidden)] == []


def test_the_command_line_is_outermost():
    files = [path for room in ROOMS for path in modules(room) if (ROOT / "seg" / "cli") not in path.parents]
    assert [line for path in files for line in offences(path, ["seg.cli"])] == []


def test_infer_takes_only_the_torch_free_part_of_seg():
    """Everything of `seg` that `infer` reaches, directly or through others, is free of torch."""
    waiting = {name for path in modules("infer") for name in imports(path) if name.startswith("seg")}
    seen = set()
    while waiting:
        name = waiting.pop()
        path = ROOT / Path(*name.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if name in seen or not file.is_file():
            continue
        seen.add(name)
        assert offences(file, ["torch", "torchvision"]) == []
        waiting |= {found for found in imports(file) if found.startswith("seg")}
        waiting |= {name.rpartition(".")[0]} - {""}
    assert "seg.spec" in seen


def loaded_by(code):
    """The heavy modules in a fresh process after `code`."""
    script = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return result.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["infer", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = f"from seg.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass"
    assert loaded_by(code) == []


def test_importing_infer_is_light():
    assert loaded_by("import infer") == []
    assert not {"av", "rich", "PIL", "onnxruntime", "openvino"} & set(loaded_by("from infer import Segmenter"))
