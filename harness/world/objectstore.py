"""Cloud storage: objects under keys, each one atomic, any two of them not.

It has the strong read-after-write consistency and the conditional writes of today's object
stores, and nothing like a transaction: whoever writes a snapshot and then a pointer to it can die
in between. A request of a client that died may still take effect. Values are treated as
immutable; the store must never hand out a half-written one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from harness.history import Site
from harness.schedule.choices import Footprint
from harness.schedule.sites import site_of_caller

if TYPE_CHECKING:
    from harness.schedule.simulation import Simulation

T = TypeVar("T")


class PreconditionFailed(Exception):
    """The object is not the one that a conditional write expected."""


class StorageUnavailable(ConnectionError):
    """The store does not answer now; the request had no effect."""


class ObjectStore:
    """Objects by key; an ``etag`` names one version of one object and is never used again."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.simulation = simulation
        self.name = name
        self.available = True
        self._objects: dict[str, tuple[Any, str]] = {}
        self._versions: dict[str, int] = {}

    # --- for the target ----------------------------------------------------------------------

    async def get(self, key: str) -> tuple[Any, str] | None:
        """The value and etag of an object; None if there is none."""

        def effect(site: Site | None) -> tuple[Any, str] | None:
            found = self._objects.get(key)
            self._tell("read", "get", key, value=found[0] if found else "no object", site=site)
            return found

        return await self._send("get", key, effect, "read")

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """The keys that begin with ``prefix``, in their order."""

        def effect(site: Site | None) -> tuple[str, ...]:
            keys = tuple(sorted(key for key in self._objects if key.startswith(prefix)))
            self._tell("read", "list", f"{prefix}*", value=f"{len(keys)} keys", site=site)
            return keys

        return await self._send("list", "*", effect, "read")

    async def put(self, key: str, value: Any) -> str:
        """Write an object, whatever was there; its new etag."""
        return await self._send("put", key, lambda site: self._set("put", key, value, site))

    async def put_if(self, key: str, value: Any, etag: str | None = None) -> str:
        """Write an object if it has this ``etag``, or with None if there is none yet.

        Raises :class:`PreconditionFailed` if it is another one.
        """

        def effect(site: Site | None) -> str:
            found = self._objects.get(key)
            if (found[1] if found else None) != etag:
                there = f"has etag {found[1]}" if found else "does not exist"
                wanted = f"etag {etag}" if etag else "no object"
                raise PreconditionFailed(f"{key} {there}, expected {wanted}")
            return self._set("put if", key, value, site)

        return await self._send("put if", key, effect)

    async def delete(self, key: str) -> None:
        """Delete an object; nothing happens if there is none."""

        def effect(site: Site | None) -> None:
            found = self._objects.pop(key, None)
            if found is not None:
                self._tell("write", "delete", key, before=found[0], after="no object", site=site)

        await self._send("delete", key, effect)

    # --- for the operator and the nemesis ----------------------------------------------------

    def begin_outage(self) -> None:
        """Refuse every request from now on."""
        self.simulation.touches(f"{self.name}/*")
        self.available = False
        self.simulation.emit("fault", "outage", peer=self.name)

    def end_outage(self) -> None:
        """Answer again."""
        self.simulation.touches(f"{self.name}/*")
        self.available = True
        self.simulation.emit("fault", "outage over", peer=self.name)

    def allow(self, *, unavailable: bool = False) -> None:
        """Let the nemesis make the store unavailable for a while; it always comes back."""

        def strike() -> None:
            self.begin_outage()
            self.simulation.post(
                f"{self.name} comes back",
                self.end_outage,
                lane="nemesis",
                footprint=Footprint(((f"{self.name}/*", "write"),)),
            )

        if unavailable:
            self.simulation.offer_fault(
                f"{self.name} unavailable",
                strike,
                available=lambda: self.available,
                footprint=Footprint(((f"{self.name}/*", "write"),)),
            )

    # --- for the harness ---------------------------------------------------------------------

    def load(self, objects: Mapping[str, Any]) -> None:
        """Set up objects before the run."""
        for key, value in objects.items():
            self._objects[key] = (value, self._next_etag(key))

    def objects(self) -> dict[str, Any]:
        """All values by key, seen by no lane and costing no step."""
        self.simulation.touches(f"{self.name}/*", "read")
        return {key: value for key, (value, _) in self._objects.items()}

    # --- one request -------------------------------------------------------------------------

    async def _send(
        self, verb: str, key: str, effect: Callable[[Site | None], T], how: str = "write"
    ) -> T:
        site = site_of_caller()
        resource = f"{self.name}/{key}"

        def perform() -> T:
            if not self.available:
                raise StorageUnavailable(f"object store {self.name} is unavailable")
            return effect(site)

        return await self.simulation.operate(
            f"{verb} {resource}",
            perform,
            footprint=Footprint(((resource, how),)),
            on_crash="drop" if how == "read" else "orphan",
            boundary=how == "write",
        )

    def _set(self, verb: str, key: str, value: Any, site: Site | None) -> str:
        found = self._objects.get(key)
        etag = self._next_etag(key)
        self._objects[key] = (value, etag)
        before = found[0] if found else "no object"
        self._tell("write", verb, key, before=before, after=value, site=site)
        return etag

    def _next_etag(self, key: str) -> str:
        # Counted by key: a count of all would tell every writer of every other one.
        version = self._versions[key] = self._versions.get(key, 0) + 1
        return f"v{version}"

    def _tell(
        self,
        kind: str,
        verb: str,
        key: str,
        *,
        value: Any = "",
        before: Any = "",
        after: Any = "",
        site: Site | None,
    ) -> None:
        self.simulation.emit(
            kind,
            verb,
            resource=f"{self.name}/{key}",
            value=value,
            before=before,
            after=after,
            peer=self.name,
            site=site,
        )
