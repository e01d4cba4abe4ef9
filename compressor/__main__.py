"""``python -m compressor``: the same as ``compress``."""

from compressor.cli.main import main

main()
