"""Network namespaces as hosts: each has an address of its own, and what listens on another's loopback isn't there."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # <linux/sched.h>


class Host:
    """A network namespace, with one address on the network that all of them share."""

    def __init__(self, name: str, address: str) -> None:
        self.name = f"photofinish-{os.getpid()}-{name}"
        self.address = address

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have what is started in the block, and what connects in it, do so from this host."""
        with Path("/proc/thread-self/ns/net").open("rb") as before, (NAMESPACES / self.name).open("rb") as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts on one network, which go away with the block; skips where this process may not make them."""
    made = [Host(name, f"10.123.45.{number}") for number, name in enumerate(names, start=1)]
    with ExitStack() as stack:
        switch = f"photofinish-{os.getpid()}-switch"
        try:
            _ip("netns", "add", switch)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces can't be made here: {getattr(error, 'stderr', '') or error}")
        stack.callback(_ip, "netns", "delete", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, host in enumerate(made):
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "delete", host.name)
            plug = f"port{number}"
            _ip("-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", plug, "netns", switch)
            _ip("-n", switch, "link", "set", plug, "master", "bridge", "up")
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host.name, "link", "set", device, "up")
        yield made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=30)


def _enter(descriptor: int) -> None:
    """setns(2), for the calling thread and the processes that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
