"""Waiting for what should happen, and ports for those who listen. Needs nothing but Python."""

import random
import socket
import time


def until(condition, what, timeout=60, pause=0.05, not_yet=()):
    """Waits for a true value of `condition()` and returns it. Errors of the kinds `not_yet` count as "not yet"."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except not_yet as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"not within {timeout} s: {what}" + ("" if last is None else f" ({last})"))


_used_ports = set()


def free_ports(count):
    """Ports of 127.0.0.1 below the range from which the system picks by itself."""
    found = []
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        if port in _used_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _used_ports.add(port)
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")
