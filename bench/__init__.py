"""Benchmarks of the running receiver; see README.md here."""
