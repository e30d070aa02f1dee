"""What is known of single commands of Redis: who waits, who only reads, what cannot be held."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Commands that change the connection only, or nothing.
INVISIBLE = _words(
    "HELLO AUTH SELECT PING ECHO QUIT RESET UNWATCH MULTI DISCARD READONLY READWRITE ASKING COMMAND"
)
#: What CLIENT says of others, and is no matter of its own connection.
OF_OTHERS = _words("KILL PAUSE UNPAUSE UNBLOCK NO-EVICT")
#: Commands that change no key: in the server's COMMAND their flag is ``readonly``.
READS = _words(
    """
    GET MGET GETRANGE SUBSTR STRLEN EXISTS TTL PTTL TYPE KEYS SCAN RANDOMKEY DBSIZE DUMP OBJECT HGET
    HMGET HGETALL HKEYS HVALS HLEN HEXISTS HSTRLEN HSCAN HRANDFIELD LRANGE LLEN LINDEX LPOS SMEMBERS
    SISMEMBER SMISMEMBER SCARD SRANDMEMBER SINTER SUNION SDIFF SSCAN ZRANGE ZREVRANGE ZRANGEBYSCORE
    ZRANGEBYLEX ZSCORE ZMSCORE ZCARD ZCOUNT ZLEXCOUNT ZRANK ZREVRANK ZSCAN ZINTER ZUNION ZDIFF
    XRANGE XREVRANGE XLEN XREAD XINFO XPENDING BITCOUNT BITPOS GETBIT PFCOUNT GEOPOS GEODIST
    GEOSEARCH GEOHASH INFO TIME WATCH WAIT WAITAOF SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE
    PUNSUBSCRIBE SUNSUBSCRIBE PUBSUB
    """
)
#: Commands about channels, with what kind of channel it is.
JOINING = {"SUBSCRIBE": "", "PSUBSCRIBE": "P", "SSUBSCRIBE": "S"}
LEAVING = {"UNSUBSCRIBE": "", "PUNSUBSCRIBE": "P", "SUNSUBSCRIBE": "S"}
#: What cannot be held, and why.
REFUSED = {
    "MONITOR": "it never ends",
    **dict.fromkeys(("SYNC", "PSYNC"), "replication goes past the gate"),
    **dict.fromkeys(
        ("REPLICAOF", "SLAVEOF", "SHUTDOWN", "DEBUG", "FAILOVER"), "the server belongs to the run"
    ),
}
#: Commands that wait until something comes, with the place of their timeout in seconds.
_WAITING = dict.fromkeys(_words("BLPOP BRPOP BRPOPLPUSH BLMOVE BZPOPMIN BZPOPMAX"), -1)
_WAITING |= {"BLMPOP": 1, "BZMPOP": 1}


def timeout_of(name: str, words: list[bytes]) -> tuple[int, str] | None:
    """Where a command says how long it waits, and how long that is (empty: for ever).

    Nothing if it never waits. WAIT is for copies of the data, of which there are none here.
    """
    at, unit = _WAITING.get(name), "s"
    if name in ("WAIT", "WAITAOF"):
        at, unit = -1, "ms"
    elif name in ("XREAD", "XREADGROUP"):
        options = [each.upper() for each in words]
        at, unit = (options.index(b"BLOCK") + 1 if b"BLOCK" in options else None), "ms"
    if at is None or not -len(words) <= at < len(words):
        return None
    value = words[at].decode("ascii", "replace")
    return at % len(words), f"{value} {unit}" if value.strip("0.") else ""
