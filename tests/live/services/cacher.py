"""A service that asks a Redis: each argument is a command, whose words are parted by spaces.

With ``{}`` goes the number that was last answered, plus one. In front of a command ``pipe:`` sends
it together with the next one; ``say:`` pushes the last answer into the list ``said``.
"""

import os
import socket
import sys

link = socket.create_connection((os.environ["CACHE_HOST"], int(os.environ["CACHE_PORT"])))
reader = link.makefile("rb")
waiting = b""


def answer() -> bytes:
    """The next answer: one line, a string, or the last string of several."""
    line = reader.readline()
    if not line:
        raise SystemExit
    kind, rest = line[:1], line[1:-2]
    if kind == b"$":
        return reader.read(int(rest) + 2)[:-2] if rest != b"-1" else b"nil"
    if kind in b"*>" and rest != b"-1":
        return [b"", *(answer() for _ in range(int(rest)))][-1]
    return b"nil" if rest == b"-1" else rest


last, asked = b"0", 0
for argument in sys.argv[1:]:
    number = int(last) if last.isdigit() else 0
    name, colon, rest = argument.partition(":")
    words = (rest if colon and name == "pipe" else argument).replace("{}", str(number + 1)).split()
    if name == "say":
        words = ["RPUSH", "said", last.decode()]
    elif name == "hear":
        last = answer()
        continue
    sent = b"".join(b"$%d\r\n%b\r\n" % (len(each), each.encode()) for each in words)
    waiting += b"*%d\r\n%b" % (len(words), sent)
    asked += 1
    if name != "pipe":
        link.sendall(waiting)
        found = [answer() for _ in range(asked)]
        last = found[-1] if name != "say" else last
        waiting, asked = b"", 0
