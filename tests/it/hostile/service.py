"""A service that does what it can to hurt others. Bounded: it ends by itself, and leaves little behind."""

import array
import fcntl
import os
import signal
import socket
import struct
import time

end = time.monotonic() + 15
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
if os.environ["DOGWATCH_RUN"] != "1":
    notify.send(b"READY=1")
    signal.pause()


def say(text):
    os.write(2, (text + "\n").encode())


def attempt(what):
    try:
        return what()
    except OSError as error:
        return error


# Its FIFOs: smaller, larger, in packets, without waiting, full, and read by itself.
for size in (1 << 30, 1 << 20, 4096):
    attempt(lambda: fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, size))
again = os.open("/proc/self/fd/1", os.O_RDWR | os.O_NONBLOCK)
fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT | os.O_ASYNC)
for round in range(300):
    attempt(lambda: os.write(1, b"hostile " * 2000))
    attempt(lambda: os.read(again, 1000))
    attempt(lambda: fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096 << round % 9))
fcntl.fcntl(1, fcntl.F_SETFL, 0)
say("fifos")

# The socket that it listens on, shut down for all who have it.
attempt(lambda: socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR))

# A descriptor that keeps waiting whoever drops it last.
listener = socket.create_server(("127.0.0.1", 0))
stream = socket.create_connection(listener.getsockname())
other = listener.accept()[0]
stream.setblocking(False)
attempt(lambda: [stream.send(b"x" * 65536) for _ in range(10000)])
stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [stream.fileno()]))]
attempt(lambda: notify.sendmsg([b"READY=1"], rights, socket.MSG_DONTWAIT))
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGKILL)  # a copy less, without lingering
say("gifts")

sent = 0
while sent < 100_000 and time.monotonic() < end:
    notify.send(b"READY=0\nSTATUS=flood")
    sent += 1
say(f"flood {sent}")

with open("filled", "wb") as file:
    file.write(b"x" * (8 << 20))
children = []
for _ in range(60):
    child = attempt(os.fork)
    if child == 0:
        while time.monotonic() < end:
            pass
        os._exit(0)
    children.append(child)
say("forks")

# Everybody whom it may kill, itself excepted.
attempt(lambda: os.kill(-1, signal.SIGKILL))
say("kills")
notify.send(b"READY=1")
signal.pause()
