"""The command line as a function: arguments in; exit code, standard output and standard error out."""

import pytest

from seg.cli import main


@pytest.fixture
def seg(capsys):
    def call(*arguments):
        capsys.readouterr()
        try:
            main(list(map(str, arguments)))
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return call
