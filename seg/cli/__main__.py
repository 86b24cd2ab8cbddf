"""`python -m seg.cli`."""

from seg.cli import main

main()
