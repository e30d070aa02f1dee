"""Who gets in whose way: what steps touch, as bits, so that one ``&`` of integers decides.

A step has two masks. Two steps conflict when what one *touches* meets what the other *minds*; the
masks are made so that this does not depend on which of the two is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: A resource and how it is touched. Beside reading and writing there are two ways that get in the
#: way of each other but not of themselves: steps of the tasks of a lane, and arrivals there.
Touch = tuple[str, str]
READ, WRITE, STEP, ARRIVE = "read", "write", "step", "arrive"
#: What gets in the way of every other step.
EVERYTHING: Touch = ("*", WRITE)


class Masks(NamedTuple):
    """What a step touches, and what others must not touch if they want to trade places with it."""

    touches: int
    minds: int

    def conflict(self, other: Masks) -> bool:
        """Whether the order of two steps can matter."""
        return bool(self.touches & other.minds)

    def joined(self, other: Masks) -> Masks:
        """The masks of both steps together."""
        return Masks(self.touches | other.touches, self.minds | other.minds)


#: Every step touches the first bit and minds the second, so that ``ALL`` meets everything.
NONE = Masks(1, 2)
ALL = Masks(-1, -1)


class Resources:
    """The bits of all resources that were met so far; a bit never changes its meaning."""

    def __init__(self) -> None:
        self._bits: dict[tuple[str, str], int] = {}
        self._masks: dict[Touch, Masks] = {}

    def masks(self, touches: Iterable[Touch]) -> Masks:
        """The masks of a step that touches all of this."""
        whole_touches, whole_minds = NONE
        for touch in touches:
            one = self._masks.get(touch)
            if one is None:
                one = self._masks[touch] = self._of(*touch)
            whole_touches |= one.touches
            whole_minds |= one.minds
        return Masks(whole_touches, whole_minds)

    def _bit(self, resource: str, use: str) -> int:
        return 1 << self._bits.setdefault((resource, use), len(self._bits) + 2)

    def _of(self, resource: str, how: str) -> Masks:
        if resource == "*":
            return ALL
        if how in (STEP, ARRIVE):
            other = ARRIVE if how == STEP else STEP
            return Masks(self._bit(resource, how), self._bit(resource, other))
        disturbing = (WRITE,) if how == READ else (READ, WRITE)
        whole = resource.endswith("/*")
        place = resource.removesuffix("/*")
        above = _above(place)
        # 'below' is touched by whatever lies below a place, 'whole' by what stands for all of it.
        touches = self._bit(place, f"{'whole' if whole else 'itself'} {how}")
        minds = 0
        for each in (*above, place) if whole else above:
            touches |= self._bit(each, f"below {how}")
        for kind in disturbing:
            minds |= self._bit(place, f"{'below' if whole else 'itself'} {kind}")
            for each in above:
                minds |= self._bit(each, f"whole {kind}")
        return Masks(touches, minds)


def _above(place: str) -> list[str]:
    """The places that lie above one: ``a`` and ``a/b`` above ``a/b/c``."""
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
