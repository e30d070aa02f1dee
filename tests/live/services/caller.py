"""A service that asks others by HTTP: each argument is a peer, a method, a path and a body.

With ``{}`` in the body goes the number that was last answered, plus one. It ends when a connection
is cut, and that is no failure.
"""

import sys

from tests.live.services.http_wire import ask, connect

links = {name: connect(name) for name in dict.fromkeys(each.split()[0] for each in sys.argv[1:])}
number = 0
for argument in sys.argv[1:]:
    peer, method, path, *body = argument.split()
    words = "".join(body).replace("{}", str(number + 1)).encode()
    try:
        status, answer = ask(links[peer], method, path, words)
    except ConnectionError:
        break
    if answer.isdigit():
        number = int(answer)
