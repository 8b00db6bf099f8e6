"""A person with a browser, scripted: a cookie jar, redirects followed, forms found on the page and submitted."""

from __future__ import annotations

import html
import re
from typing import Any, Self
from urllib.parse import urljoin

import requests

TIMEOUT_S = 15.0
"""Seconds one page may take; the OP's sign-out page itself waits up to 5 s for each app."""


_INPUT = re.compile(r'<input[^>]* name="([^"]*)"(?:[^>]* value="([^"]*)")?')
_ACTION = re.compile(r'<form[^>]* action="([^"]*)"')


class Person:
    """One user at one browser.

    Attributes:
        passwords_given: How often the OP asked for the password.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.passwords_given = 0
        self._password = password
        self._browser = requests.Session()
        self._browser.trust_env = False  # no proxy stands between this machine and itself

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def sign_in(self, app_url: str) -> None:
        """Press the app's sign-in button and give the password if the OP asks for it."""
        page = self._get(f"{app_url}/sign-in")
        if "password" in _fields(page):
            self.passwords_given += 1
            self._submit(page, username=self.username, password=self._password)

    def sign_out(self, sign_out_url: str) -> None:
        """Follow the sign-out link to the OP and confirm."""
        self._submit(self._get(sign_out_url))

    def status(self, app_url: str) -> dict[str, Any]:
        """What the app says to this browser."""
        status: dict[str, Any] = self._get(f"{app_url}/status.json").json()
        return status

    def _get(self, url: str) -> requests.Response:
        response = self._browser.get(url, timeout=TIMEOUT_S)
        response.raise_for_status()
        return response

    def _submit(self, page: requests.Response, **typed: str) -> None:
        action = _ACTION.search(page.text)
        address = urljoin(page.url, html.unescape(action[1]) if action else "")
        self._browser.post(address, data={**_fields(page), **typed}, timeout=TIMEOUT_S).raise_for_status()


def _fields(page: requests.Response) -> dict[str, str]:
    return {html.unescape(name): html.unescape(value) for name, value in _INPUT.findall(page.text)}
