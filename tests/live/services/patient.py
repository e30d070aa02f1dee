"""A client that asks whether its body is wanted, and tells the database how far the answer is."""

import sys

from tests.live.services import http_wire
from tests.live.services.wire_client import ask, connect

link, table = http_wire.connect(sys.argv[1]), connect()
head = "POST /add HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
link.sendall(head.encode())
first, _ = http_wire.take(link)
link.sendall(b"hi")
answer, _ = http_wire.take(link)
beginning = link.recv(6).decode().split()
ask(table, f"insert into said (what) values ('{first[9:12]} {answer[9:12]} {beginning[1]}')")
end = link.recv(11).decode().split()
ask(table, f"insert into said (what) values ('{end[1]}')")
