"""``python -m turnwright.cli``: the command line where the script is not on the path."""

from turnwright.cli import main

main()
