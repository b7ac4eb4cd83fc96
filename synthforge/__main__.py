"""`python -m synthforge`."""

from .cli.main import main

main()
