"""`python -m forgetcast.cli` is `forgetcast`."""

from forgetcast.cli import main

main(prog_name="forgetcast")
