"""`python -m ncfm_hub` runs `ncfm-hub`."""

from ncfm_hub.cli import main

main(prog_name="ncfm-hub")
