"""Waiting for what should happen, and ports for those who listen. Needs nothing but Python."""

import random
import socket
import time


def until(condition, what, timeout=180, pause=0.05, not_yet=()):
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


BLOCK = 100
_claims, _ports = [], []


def _claim():
    """A hundred ports that no other process which runs tests here uses: the name can be bound by one only."""
    starts = list(range(20000, 32000, BLOCK))
    random.shuffle(starts)
    for start in starts:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0lariat-test-ports-{start}")
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return list(range(start, start + BLOCK))
    raise AssertionError("no free ports")


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    """Ports of 127.0.0.1 in a row, at most 100, below the range from which the system picks by itself."""
    while True:
        if len(_ports) < count:
            _ports[:] = _claim()
        found, _ports[:] = _ports[:count], _ports[count:]
        if all(map(_is_free, found)):
            return found
