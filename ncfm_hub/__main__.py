"""`python -m ncfm_hub` is `ncfm-hub`."""

from ncfm_hub.cli import main

main(prog_name="ncfm-hub")
