"""One process with three connections: all are asked at once, and read as the answers come."""

import select
import struct
import sys

from tests.live.services.wire_client import answer, connect

links = [connect() for _ in range(3)]
for _ in range(int(sys.argv[1])):
    for number, link in enumerate(links):
        words = f"update books set hands = hands || '{number}' where name = 'ann'".encode() + b"\0"
        link.sendall(b"Q" + struct.pack(">I", len(words) + 4) + words)
    left = list(links)
    while left:
        for link in select.select(left, [], [])[0]:
            answer(link)
            left.remove(link)
