"""Starts a program with options and shared memory that no other user can read.

/proc/PID/cmdline is everybody's to read, and the environment its owner's alone.

A file of its own, run as one (`python hidden_options.py`), for it forks. Standard input: {"command": [...], "environment": {...},
"hidden": {word: option}} as JSON. Each word among the command's stands for an option, which is put into the environment; while the
new program is stopped at its first instruction (ptrace(2)), its argv is made to point there. The list that /proc shows keeps the word.
/dev/shm is one of the program's own (mount_namespaces(7)): Triton makes its regions there readable by everybody, whatever the umask.
Standard output: the new process's number. Its own output goes to standard error.
"""

import ctypes
import json
import os
import signal
import struct
import sys
from pathlib import Path

TRACEME, DETACH = 0, 17  # linux/ptrace.h
NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # linux/sched.h
NO_SUID, NO_DEVICES, RECURSIVE, FOLLOWING = 0x2, 0x4, 0x4000, 0x80000  # linux/mount.h
START_OF_STACK = 27  # in /proc/PID/stat, counted from 0: where argc stands, then argv and envp (proc(5); the System V ABI)
WORD = struct.Struct("=Q")
VARIABLE = "FACE_ASSETS_OPTION_"
LONGEST = 4096


def main() -> None:
    """Starts what standard input says. Ends with the reason where the kernel lets nobody trace."""
    asked = json.load(sys.stdin)
    hidden = {word: (f"{VARIABLE}{number}", option) for number, (word, option) in enumerate(asked["hidden"].items())}
    environment = asked["environment"] | dict(hidden.values())
    child = os.fork()
    if child == 0:
        _become(asked["command"], environment)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):  # at its first instruction
        sys.exit(f"{asked['command'][0]} could not be started")
    try:
        _point_at_environment(child, {word.encode(): f"{name}=".encode() for word, (name, _) in hidden.items()})
        _trace(DETACH, child)
    except OSError as error:
        os.kill(child, signal.SIGKILL)
        sys.exit(str(error))
    print(child, flush=True)


def _become(command: "list[str]", environment: "dict[str, str]") -> None:
    try:
        os.setsid()
        os.dup2(2, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        _take_own_shared_memory()
        _trace(TRACEME, 0)
        os.execve(command[0], command, environment)
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


def _take_own_shared_memory() -> None:
    """Mounts a /dev/shm of this process's own, as whoever may: root, or anybody where users may make namespaces."""
    user, group = os.getuid(), os.getgid()
    try:
        try:
            _call("unshare", ctypes.c_int(NEW_MOUNTS))
        except PermissionError:
            _call("unshare", ctypes.c_int(NEW_MOUNTS | NEW_USERS))
            for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
                Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
        _call("mount", None, b"/", None, ctypes.c_ulong(RECURSIVE | FOLLOWING), None)
        _call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(NO_SUID | NO_DEVICES), b"mode=0700")
    except OSError as error:
        os.write(2, f"Other users of this machine can read the server's shared memory: {error}\n".encode())


def _trace(request: int, process: int) -> None:
    _call("ptrace", ctypes.c_long(request), ctypes.c_long(process), None, None)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _point_at_environment(child: int, names: "dict[bytes, bytes]") -> None:
    """names: for each word of argv, what begins the string of the environment whose rest it shall be."""
    stat = Path(f"/proc/{child}/stat").read_text(encoding="utf-8")
    start = int(stat.rpartition(")")[2].split()[START_OF_STACK - 2])
    with open(f"/proc/{child}/mem", "r+b", buffering=0) as memory:

        def word(place: int) -> int:
            memory.seek(place)
            return int(WORD.unpack(memory.read(WORD.size))[0])

        def text(place: int) -> bytes:
            memory.seek(place)
            return memory.read(LONGEST).split(b"\0")[0]

        arguments = [start + WORD.size * (1 + number) for number in range(word(start))]
        place, options = start + WORD.size * (len(arguments) + 2), {}
        while string := word(place):
            name, _, _ = text(string).partition(b"=")
            options[name + b"="] = string + len(name) + 1
            place += WORD.size
        for argument in arguments:
            if variable := names.get(text(word(argument))):
                memory.seek(argument)
                memory.write(WORD.pack(options[variable]))


if __name__ == "__main__":
    main()
