"""The life of `nsu: web`: a socket, a server (uvicorn's one door), a look at the machine every two seconds.

It may have threads, because it never forks. It ends at SIGTERM, within GOODBYE_S of what is being answered. Before it
takes its first request it gives up what it does not need of the file system (`confine.py`).
"""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from ipc.child import Life
from ipc.exits import Exit
from nsu.conf.settings import MachineSettings
from nsu.say import say
from nsu.web.app import make_app
from nsu.web.confine import confine, folders_needed
from nsu.web.site import Site, make_site
from nsu.web.watcher import EVERY_S

BEAT_EVERY_S = 0.5
GOODBYE_S = 2
KEEP_ALIVE_S = 15
AT_ONCE_MAX = 200
"""Connections and requests; more are answered with 503."""
BACKLOG = 128


class WebError(Exception):
    """The pages can't be served; the text is a sentence for people."""


class Server(uvicorn.Server):
    """uvicorn, with the signals left to `Life`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: SIGTERM is heard by `Life`."""
        yield


def run_web(life: Life, conf_path: Path, machine: MachineSettings) -> int:
    """Serve until SIGTERM.

    Raises:
        WebError: the certificate can't be used.
        OSError: the port can't be opened.

    """
    site = make_site(conf_path, machine)
    certificate, key = machine.web_tls or (None, None)
    config = uvicorn.Config(
        make_app(site),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=AT_ONCE_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GOODBYE_S,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    check_tls(config)
    # SIGHUP goes to every role: here a renewed certificate is taken, without the sessions' end.
    signal.signal(signal.SIGHUP, lambda *_: renew_certificate(config))
    with listen(machine) as listener:
        server = Server(config)
        life.on_stop = lambda: setattr(server, "should_exit", True)
        confine(folders_needed(conf_path, machine))
        asyncio.run(live(life, site, server, listener))
    return Exit.OK


async def live(life: Life, site: Site, server: Server, listener: socket.socket) -> None:
    """Serve, beat, and look at the machine."""
    others = [asyncio.create_task(beat(life, server)), asyncio.create_task(watch(site))]
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def beat(life: Life, server: Server) -> None:
    """Tell the supervisor that the loop turns; once, that the pages are there."""
    told = False
    while True:
        life.beat()
        if server.started and not told:
            told = True
            life.ready()
        await asyncio.sleep(BEAT_EVERY_S if told else 0.02)


async def watch(site: Site) -> None:
    """Look at the machine, for ever; what goes wrong is told, and the next look comes all the same."""
    while True:
        try:
            await asyncio.to_thread(site.watcher.look)
        except (OSError, LookupError, ValueError) as error:  # STATE is full, or an answer is of another version
            say(f"nsu: web: the machine could not be looked at: {type(error).__name__}: {error}")
        await asyncio.sleep(EVERY_S)


def listen(machine: MachineSettings) -> socket.socket:
    """Open the port."""
    assert machine.web is not None
    address, port = machine.web
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"can't open WEB = {address} port {port}: {error.strerror}") from error
    return listener


def check_tls(config: uvicorn.Config) -> None:
    """Load the certificate now, so that what is wrong with it is said."""
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise WebError(
            f"WEB_CERTIFICATE {config.ssl_certfile} with WEB_KEY {config.ssl_keyfile} can't be used: {error}; they are"
            f" PEM files, the key belongs to the certificate and has no password"
        ) from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2


def renew_certificate(config: uvicorn.Config) -> None:
    """Read certificate and key again, for the connections that come; a bad one changes nothing."""
    if config.ssl is None or config.ssl_certfile is None:
        return
    try:
        config.ssl.load_cert_chain(config.ssl_certfile, config.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        say(f"nsu: web: WEB_CERTIFICATE {config.ssl_certfile} can't be used: {error}; the former one stays")
