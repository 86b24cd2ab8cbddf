"""Files are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from seg.errors import SegError
from seg.files import atomic, atomic_folder, claim, claim_folder, followed, lock, sha256, write_text


def test_atomic_gives_the_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    with atomic(path) as temporary:
        temporary.write_bytes(b"whole")
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_by_the_final_name(tmp_path: Path, number: int) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number), str(temporary))

    with pytest.raises(SegError, match="free space on its disk, or choose another folder") as caught:
        fail()
    assert str(caught.value).startswith(f"{path}: cannot be written ({os.strerror(number)})")
    assert "partial" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_the_system_cuts_short(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from seg.errors import SegError\n"
        "from seg.files import write_text\n"
        "try:\n"
        "    write_text(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except SegError as error:\n"
        "    sys.exit(str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", script, str(tmp_path / "notes.txt")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert result.returncode == 1
    assert result.stderr.startswith(f"{tmp_path / 'notes.txt'}: cannot be written (File too large)")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_write_text_replaces(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "first")
    write_text(path, "zweite ünd")
    assert path.read_text(encoding="utf-8") == "zweite ünd"


def test_claim_refuses_what_exists(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.png"
    claim(path, overwrite=False)
    assert path.parent.is_dir()
    path.write_bytes(b"")
    with pytest.raises(SegError, match="exists already; give --overwrite"):
        claim(path, overwrite=False)
    claim(path, overwrite=True)
    with pytest.raises(SegError, match="is a folder"):
        claim(path.parent, overwrite=True)
    with pytest.raises(SegError, match="cannot be made"):
        claim(path / "below" / "out.png", overwrite=False)


def test_sha256(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_folder_gets_its_name_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("1")
        assert not folder.exists()
    assert (folder / "a").read_text() == "1"
    with atomic_folder(folder) as temporary:
        (temporary / "b").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["b"]
    with pytest.raises(FileNotFoundError), atomic_folder(folder) as temporary:
        (temporary / "c").write_text((temporary / "missing").read_text())
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_cannot_take_its_name_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").write_text("old")
    real = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if ".partial" in self.name:
            raise error
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(error), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_removing_the_old_folder_is_no_part_of_taking_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a").write_text("old")

    def interrupted(path: Path, ignore_errors: bool = False) -> None:
        if ".old" in path.name:
            raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder) as temporary:
        (temporary / "a").write_text("new")
    assert (folder / "a").read_text() == "new"


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    assert followed(tmp_path / "link") == tmp_path / "disk" / "out"  # there or not
    assert followed(tmp_path / "disk") == tmp_path / "disk"


def test_only_folders_of_ours_are_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"

    def take(*, overwrite: bool) -> None:
        claim_folder(folder, lambda path: path.name != "theirs", "seg it", overwrite=overwrite)

    take(overwrite=False)
    folder.mkdir(parents=True)
    take(overwrite=False)  # an empty one
    (folder / "ours").mkdir()
    with pytest.raises(SegError, match="exists already and holds files; give --overwrite"):
        take(overwrite=False)
    take(overwrite=True)
    (folder / "ours" / "theirs").write_text("kept")
    with pytest.raises(SegError, match="holds 'ours/theirs', which `seg it` did not write; choose another folder"):
        take(overwrite=True)
    assert (folder / "ours" / "theirs").read_text() == "kept"
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SegError, match="is a file, expected a folder's name"):
        claim_folder(file, lambda path: True, "seg it", overwrite=True)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_locks_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuses(file: object, how: int) -> None:
        raise OSError(number, "no locks here")

    with (tmp_path / "a").open("w") as file:
        assert lock(file)
        with (tmp_path / "a").open() as other:
            assert not lock(other)
            monkeypatch.setattr("fcntl.flock", refuses)
            assert lock(other)


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(SegError, match="no ordinary file but a device or a pipe"):
            claim(path, overwrite=True)


def test_a_folder_that_is_a_disk_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda self: self == tmp_path)
    with pytest.raises(SegError, match="a disk of its own"):
        claim_folder(tmp_path, lambda path: True, "seg it", overwrite=True)
    claim_folder(tmp_path / "in", lambda path: True, "seg it", overwrite=True)
