"""Stops single threads of a process, as a fault in a driver or a file system would: the others go on."""

import contextlib
import ctypes
import os
import pathlib

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def threads(pid, name):
    """Ids of the threads of this name."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == name:
                found.append(int(task.name))
    return found


def obstacle():
    """Why no thread can be stopped here; None where it can."""
    child = os.fork()
    if child == 0:
        while True:
            os.sched_yield()
    try:
        _ptrace(_SEIZE, child)
        return None
    except OSError as error:
        return f"this system lets nobody trace a process: {error}"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@contextlib.contextmanager
def frozen(pid, name):
    """The one thread of this name stands still. Threads are traced by the thread that asks for it: use one."""
    thread, = threads(pid, name)
    _ptrace(_SEIZE, thread)
    _ptrace(_INTERRUPT, thread)
    os.waitpid(thread, 0x40000000)  # __WALL
    try:
        yield thread
    finally:
        with contextlib.suppress(OSError):
            _ptrace(_DETACH, thread)
