"""The pages and the API behind a real server on loopback, in a thread of this process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.bootstrap import bind, serve
from api.services import Services

__all__ = ["running_app"]


@contextmanager
def running_app(services: Services) -> Iterator[str]:
    """Serve; yields `host:port`, which is listened at already."""
    listener = bind("127.0.0.1", 0)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(serve(services, listener))

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            pass
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()
        listener.close()
