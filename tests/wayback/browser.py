"""A real browser without a window, told what to do over the DevTools protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.needed import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT_S = 30.0
FILL_IN = """((form) => {
  if (document.readyState === "loading") return "";
  if (form && !form.dataset.sent) { form.dataset.sent = "yes"; form.requestSubmit(); }
  return document.body?.innerText ?? "";
})(document.getElementById("login"))"""
"""Signs in where a login form is shown; gives the page's text. A page that is still read may lack the form's fields."""


class Browser:
    """One page of Chromium.

    Attributes:
        looks: How often it was asked what it shows.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.looks = 0

    async def open(self, url: str, text: str) -> str:
        """Open a page, sign in at each login form, and return what is shown once it has this text."""
        await self._call("Page.navigate", url=url)
        shown = ""
        async with asyncio.timeout(WAIT_S):
            while text not in shown:
                await asyncio.sleep(0.05)
                # Between two pages there is none to ask.
                answer = await self._call("Runtime.evaluate", expression=FILL_IN)
                self.looks += 1
                shown = str(answer.get("result", {}).get("value", ""))
        return shown

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=WAIT_S)
            if message.get("id") == self._calls:
                return dict(message.get("result", {}))


@contextlib.asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Browser]:
    """Start Chromium; skipped where there is none.

    Args:
        profile: An empty directory.
    """
    command = [
        program("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server",
        "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        async with aiohttp.ClientSession() as http:
            async with asyncio.timeout(WAIT_S):
                while not (port := _port(profile)):
                    await asyncio.sleep(0.05)
                async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    [page] = [one for one in json.loads(await answer.text()) if one["type"] == "page"]
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=2**24) as socket:
                yield Browser(socket)
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _port(profile: Path) -> str:
    file = profile / "DevToolsActivePort"
    return file.read_text(encoding="utf-8").partition("\n")[0] if file.exists() else ""
