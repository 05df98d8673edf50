"""Another user of the machine: tries every path that it is told, and says what it got hold of."""

import os
import socket
import sys

os.setgroups([])
os.setresgid(STRANGER, STRANGER, STRANGER)
os.setresuid(STRANGER, STRANGER, STRANGER)

KINDS = {"stream": socket.SOCK_STREAM, "packet": socket.SOCK_SEQPACKET, "datagram": socket.SOCK_DGRAM}


def attempt(name, what):
    try:
        what()
        print(name, path)
    except OSError:
        pass


def connect(kind):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(path)


for path in sys.stdin.read().splitlines():
    attempt("read", lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    attempt("write", lambda: os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    attempt("list", lambda: os.listdir(path))
    attempt("make", lambda: os.mkdir(path + "/new"))
    attempt("rename", lambda: os.rename(path, path + ".moved"))
    attempt("mode", lambda: os.chmod(path, 0o777))
    for name, kind in KINDS.items():
        attempt(name, lambda: connect(kind))
print("done")
