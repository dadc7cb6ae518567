"""Private shared memory of the server: Triton makes its regions in /dev/shm readable by everybody, whatever the umask."""

import ctypes
import os
from pathlib import Path

NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # linux/sched.h
NO_SUID, NO_DEVICES, RECURSIVE, FOLLOWING = 0x2, 0x4, 0x4000, 0x80000  # linux/mount.h


def take_own_shared_memory() -> None:
    """Mounts a private /dev/shm (mount_namespaces(7)), as root, or as a user where users may make namespaces.

    To be called before there is a second thread. Raises OSError where that is forbidden.
    """
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", ctypes.c_int(NEW_MOUNTS))
    except PermissionError:
        _call("unshare", ctypes.c_int(NEW_MOUNTS | NEW_USERS))
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    _call("mount", None, b"/", None, ctypes.c_ulong(RECURSIVE | FOLLOWING), None)
    _call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(NO_SUID | NO_DEVICES), b"mode=0700")


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
