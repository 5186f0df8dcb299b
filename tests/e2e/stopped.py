"""Threads of a process that stand still for a while, as on a machine that is too busy, while the others run on."""

import contextlib
import ctypes
import os

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WALL = 0x40000000


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_threads(pid):
    """A gateway's workers and the writers of its logs: what isn't the admin server's, nor the first thread."""
    found = []
    for name in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{name}/comm", encoding="utf-8") as file:
            if int(name) != pid and not file.read().startswith("civetweb"):
                found.append(int(name))
    return sorted(found)


@contextlib.contextmanager
def stopped(threads):
    with contextlib.ExitStack() as undo:
        for thread in threads:
            ptrace(PTRACE_ATTACH, thread)
            os.waitpid(thread, WALL)
            undo.callback(ptrace, PTRACE_DETACH, thread)
        yield
