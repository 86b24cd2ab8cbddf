"""What commands print of a report loses no figure, however many the classes and however narrow the terminal."""

from __future__ import annotations

import numpy as np
import pytest

from seg.classes import load_ontology
from seg.cli.tables import print_report
from seg.labels import LabelSpace
from seg.metrics import Confusion


@pytest.mark.parametrize("columns", [40, 80, 300])
def test_the_confusion_of_many_classes_keeps_every_column(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    confusion = Confusion(LabelSpace(load_ontology("cityscapes19")))
    confusion.counts_SC[6] = np.arange(19) * 10  # traffic light
    shares = [f"{100 * part / 1710:.0f}" for part in range(0, 190, 10)]
    print_report(confusion.report(), "x")
    table = capsys.readouterr().out.partition("confusion")[2]
    row = next(line for line in table.splitlines() if "traffic light" in line and any(c.isdigit() for c in line))
    cells = [cell.strip() for cell in row.strip("\u2502 \n").split("\u2502")]
    assert cells[0] == ("traffic light" if columns == 300 else "traffic light 6")
    assert cells[1:] == shares
