"""The least an aiohttp application can do with a POST, on the receiver's event loop: what it is compared with."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from receiver.runtime import event_loop


async def logout(request: web.Request) -> web.Response:
    """Read the body, answer 200."""
    await request.read()
    return web.Response()


async def serve() -> None:
    """On a free port, said on stdout, until killed."""
    app = web.Application()
    app.router.add_post("/backchannel-logout", logout)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0])
    print(json.dumps({"event": "startup", "url": url}), flush=True)  # noqa: T201  # its one message
    await asyncio.Event().wait()


if __name__ == "__main__":
    event_loop.run(serve())
