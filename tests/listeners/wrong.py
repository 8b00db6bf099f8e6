"""What a situation raises."""

from __future__ import annotations


class WrongError(Exception):
    """The listener did not do what the contract says; the message says what it did."""


class MissingError(Exception):
    """This machine lacks what the situation needs."""
