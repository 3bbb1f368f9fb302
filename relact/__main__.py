"""`python -m relact`, the same as `relact`."""

from relact.cli import main

main()
