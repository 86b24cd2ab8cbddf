"""One trained run, and the frames of its validation data, for every test of the export."""

import pytest
import runs

from seg.classes import load_ontology
from seg.config import RunConfig
from seg.data.open import open_data


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory)


@pytest.fixture(scope="package")
def frames():
    data = open_data(RunConfig.model_validate(runs.config()).data.val, load_ontology("drive"))
    return [data.frame(index) for index in range(len(data))]
