"""Kill everything at random while logouts stream in, then see whether one was lost. `python -m tests.chaos --help`."""
