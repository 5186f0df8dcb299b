"""Deadlines and free ports: nothing in these tests sleeps for luck."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import time

# Sanitizer builds run several times slower, so that every deadline stretches with this factor.
SLOW = float(os.environ.get("PASVGATE_TEST_SLOW", "1"))


def seconds(value):
    return value * SLOW


def until(condition, deadline, what):
    """Calls `condition` until it answers true and returns that answer; fails with `what` at the deadline."""
    end = time.monotonic() + seconds(deadline)
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds(deadline):g} s: {what() if callable(what) else what}")
        time.sleep(0.01)


def accepts(address):
    try:
        socket.create_connection(address, timeout=1).close()
        return True
    except OSError:
        return False


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _is_free(port):
    # Without SO_REUSEADDR: the bind then fails also when somebody only holds the port and doesn't listen.
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
            return True
        except OSError:
            return False


@contextlib.contextmanager
def free_range(count):
    """The first of `count` free ports below the ephemeral range. Whoever wants them binds them inside the `with`."""
    with open(os.path.join(tempfile.gettempdir(), "pasvgate-test-ports.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(200):
            first = random.randrange(10000, 32000 - count)
            if all(_is_free(port) for port in range(first, first + count)):
                yield first
                return
        raise AssertionError(f"no run of {count} free ports")
