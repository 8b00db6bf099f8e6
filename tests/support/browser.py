"""A real browser: Chromium, driven over its DevTools protocol, with third-party cookies blocked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.needed import program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

START_S = 60.0
"""Seconds the browser has to start on a busy machine."""

OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--remote-debugging-port=0",
    # Frames of other sites in the process of their page, so that its frame tree shows them.
    "--disable-features=IsolateOrigins,site-per-process", "--disable-site-isolation-trials",
)  # fmt: skip


class Browser:
    """One page of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0
        self._events: list[str] = []

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it has loaded, frames included."""
        self._events.clear()
        await self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._note(await self._socket.receive_json())

    async def text(self) -> str:
        """What the page shows."""
        found = await self.call("Runtime.evaluate", expression="document.body.innerText")
        return str(found["result"]["value"])

    async def frames(self) -> dict[str, bool]:
        """The frames of the page by their address, and whether the browser shows each."""
        tree = (await self.call("Page.getFrameTree"))["frameTree"]
        frames = [child["frame"] for child in tree.get("childFrames", ())]
        return {frame.get("unreachableUrl", frame["url"]): "unreachableUrl" not in frame for frame in frames}

    async def call(self, method: str, **parameters: Any) -> Any:
        """One call of the protocol; its result."""
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while (message := await self._socket.receive_json()).get("id") != self._sent:
            self._note(message)
        return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        self._events.append(str(message.get("method")))


@contextlib.asynccontextmanager
async def start_browser(profile: Path) -> AsyncIterator[Browser]:
    """A browser with a fresh profile; ended on the way out.

    Args:
        profile: An empty directory.
    """
    preferences = {"profile": {"cookie_controls_mode": 1, "block_third_party_cookies": True}}
    (profile / "Default").mkdir()
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        program("chromium"), *OPTIONS, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_S):
            port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json") as response:
                pages = [page for page in await response.json() if page["type"] == "page"]
            async with http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                browser = Browser(socket)
                await browser.call("Page.enable")
                yield browser
    finally:
        process.terminate()
        await process.wait()


async def _port(file: Path) -> int:
    """The port of the protocol: the browser writes it, and a path below it, into this file."""
    while len(lines := _lines(file)) < 2:
        await asyncio.sleep(0.05)
    return int(lines[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
