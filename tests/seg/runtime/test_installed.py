"""How many cores a process may use, in a container too."""

import pytest

from seg.runtime import installed


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "nonsense\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_a_containers_share(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert installed._quota(tmp_path) == expected


def test_a_share_is_a_limit_and_no_more(monkeypatch):
    monkeypatch.setattr(installed.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for share, expected in ((None, 8), (2, 2), (64, 8)):
        monkeypatch.setattr(installed, "_quota", lambda share=share: share)
        assert installed.cores() == expected
