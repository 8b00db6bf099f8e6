"""The conformance kit for listeners in any language: `python -m tests.listeners --help`."""
