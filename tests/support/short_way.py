"""Tests of requests that go past aiohttp's task: what they use is inside aiohttp, and an older one may lack it."""

from __future__ import annotations

import pytest

from receiver.runtime.aiohttp_insides import IS_KNOWN_AIOHTTP

short_way = pytest.mark.skipif(not IS_KNOWN_AIOHTTP, reason="with this aiohttp there is no short way")
"""Skipped with the oldest aiohttp alone; `tests/test_short_way.py` fails where the locked one is such."""
