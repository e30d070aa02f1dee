"""The three verdicts, going on after an interruption, and what a verdict rests on."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import trio

from harness.engine import execute, follow
from harness.errors import UntrustworthyError, UsageError
from harness.proof.bounds import Bound
from harness.proof.errands import Errand, Observation, Subject, observe
from harness.proof.explorer import Explorer
from harness.proof.probing import Probes
from harness.proof.proving import HELD, SPENT, VIOLATED, Alone, Budget, Proof, Watch, prove
from harness.scenario import Scenario, restart
from harness.schedule.choices import Schedule
from harness.schedule.memory import Shared
from harness.world.service import Life
from harness.world.world import World

NO_LIMIT = Budget()


def subject(story: Any, bound: str = "", *, restarts: int = 0, **details: Any) -> Subject:
    """A story as something to prove."""
    return Subject(
        Scenario(name=story.__name__, story=story, **details),
        bound=Bound.parse(bound, restarts=restarts),
    )


async def safe_counter(world: World) -> None:
    """Two tasks count by an update that nobody can come between."""
    await _count(world, safely=True)


async def unsafe_counter(world: World) -> None:
    """Two tasks read, and write what they have read plus one."""
    await _count(world, safely=False)


async def _count(world: World, *, safely: bool) -> None:
    total = Shared("total", 0)

    async def add(number: int) -> None:
        if safely:
            await Shared(f"own{number}", 0).set(1)
            await total.update(lambda value: value + 1)
        else:
            await total.set(await total.get() + 1)

    @world.invariant(at_end=True)
    def nothing_is_lost() -> None:
        assert total.value == 2

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(add, number)


async def ledger_forgets(world: World) -> None:
    """A ledger acknowledges first and writes afterwards; a crash in between loses the deposit."""
    database, network = world.database("db"), world.network("net")
    database.load("totals", {"usdc": {"amount": 0}})
    acknowledged: list[int] = []

    async def ledger(life: Life) -> None:
        requests = network.listen("ledger")
        life.enter("ready")
        async for request in requests:
            await request.reply("ok")
            await database.put("totals", "usdc", {"amount": request.payload})

    @world.invariant(at_end=True)
    def what_was_acknowledged_is_booked() -> None:
        booked = database.table("totals")["usdc"]["amount"]
        assert isinstance(booked, int)
        assert booked >= sum(acknowledged)

    world.service("ledger", ledger)
    await trio.sleep(1)
    await network.call("ledger", "deposit", 10)
    acknowledged.append(10)
    await trio.sleep(1)


def test_what_holds_in_every_order_is_held() -> None:
    proof = prove(subject(safe_counter, "order=any"), NO_LIMIT)
    assert proof.verdict == HELD
    assert proof.tally.asleep == 0
    assert proof.counted
    assert proof.all_runs > proof.tally.complete > 1


def test_what_breaks_in_some_order_is_violated_and_the_choices_show_it() -> None:
    target = subject(unsafe_counter)
    proof = prove(target, NO_LIMIT)
    assert proof.verdict == VIOLATED
    choices = {step: choice for step, choice in enumerate(proof.choices, 1) if choice}
    schedule = Schedule(target.scenario.name, 0, choices)
    run = execute(target.scenario, seed=0, choose=follow(schedule))
    assert [violation.invariant for violation in run.violations] == ["nothing_is_lost"]


def test_a_crash_is_tried_at_every_moment_that_differs() -> None:
    faults = (restart("ledger", kinds="crash"),)
    assert prove(subject(ledger_forgets, faults=faults), NO_LIMIT).verdict == HELD
    proof = prove(subject(ledger_forgets, faults=faults, restarts=1), NO_LIMIT)
    assert proof.verdict == VIOLATED


def test_a_spent_budget_is_no_verdict_and_says_how_much_is_unseen() -> None:
    proof = prove(subject(safe_counter, "order=any"), Budget(runs=3))
    assert proof.verdict == SPENT
    assert proof.ended_by == "all 3 runs made"
    assert proof.tally.runs == 3
    low, high = proof.probes.interval
    assert 0 < low < proof.probes.share <= 1
    assert low < high <= 1


def test_nothing_is_unseen_when_all_was_made() -> None:
    proof = prove(subject(safe_counter), NO_LIMIT)
    assert proof.probes.drawn
    assert proof.probes.unseen == 0


@pytest.mark.parametrize(("unseen", "drawn"), [(0, 50), (25, 50), (50, 50), (0, 0)])
def test_the_interval_holds_the_share(unseen: int, drawn: int) -> None:
    probes = Probes(drawn, unseen, (1,) * drawn)
    low, high = probes.interval
    assert 0 <= low <= probes.share <= high <= 1
    assert high > low


def _left_and_taken_up(target: Subject, runs: int) -> tuple[Proof, int]:
    """A proof that is left after every so many runs, written down as text, and taken up again."""
    saved: list[str] = []
    proof, parts = (
        prove(target, Budget(runs), watch=Watch(lambda d: saved.append(json.dumps(d)))),
        1,
    )
    while proof.verdict == SPENT:
        data = json.loads(saved[-1])
        watch = Watch(lambda d: saved.append(json.dumps(d)))
        proof, parts = prove(target, Budget(runs), saved=data, watch=watch), parts + 1
    return proof, parts


def test_a_proof_that_was_left_goes_on_to_the_same_end() -> None:
    target = subject(safe_counter, "order=any")
    whole = prove(target, NO_LIMIT)
    proof, parts = _left_and_taken_up(target, 2)
    assert parts > 3
    assert (proof.verdict, proof.tally.complete) == (HELD, whole.tally.complete)
    assert proof.tally.asleep == whole.tally.asleep


def test_an_interrupted_proof_is_written_down() -> None:
    target, saved = subject(safe_counter, "order=any"), list[dict[str, Any]]()
    calls = iter(range(100))
    proof = prove(target, NO_LIMIT, watch=Watch(saved.append, interrupted=lambda: next(calls) > 5))
    assert proof.ended_by == "interrupted"
    assert saved[-1]["tally"]["complete"] == proof.tally.complete > 0


class Backwards:
    """A crew that makes the newest run first, as one of several processes may."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._errands: list[Errand] = []
        self._made: dict[int, Observation] = {}

    def send(self, errand: Errand) -> None:
        self._errands.append(errand)

    def receive(self, number: int) -> Observation:
        explorer = self._explorer
        while self._errands:
            made = observe(explorer.subject, self._errands.pop(), explorer.vocabulary)
            self._made[made.number] = made
        return self._made.pop(number)


def test_who_makes_the_runs_in_which_order_changes_nothing() -> None:
    target = subject(safe_counter, "order=any")
    one, other = Explorer(target), Explorer(target)
    tallies = []
    for explorer, crew in ((one, Alone(one)), (other, Backwards(other))):
        while not explorer.done:
            for errand in explorer.errands():
                crew.send(errand)
            made = crew.receive(explorer.awaited)
            assert made is not None
            explorer.learn(made)
        tallies.append((explorer.tally, len(explorer.forms)))
    assert tallies[0] == tallies[1]


async def hidden_memory(world: World) -> None:
    """Two lanes share a list that nobody declared: what the second one does depends on it."""
    shared: list[str] = []
    store = world.object_store("store")

    async def lane(name: str) -> None:
        for _ in range(3):
            shared.append(name)
            await store.put(f"{name}-{'-'.join(shared)}", 1)

    lanes = [world.start_client(name, lane, name) for name in ("a", "b")]
    for each in lanes:
        await world.finished(each)


def test_memory_that_lanes_share_in_secret_is_noticed() -> None:
    with pytest.raises(UntrustworthyError, match="order makes a difference") as refusal:
        prove(subject(hidden_memory), Budget(runs=2_000))
    named = [line for line in str(refusal.value).splitlines() if line.startswith("  step ")]
    assert len(named) == 2
    assert all("test_proving.py:" in line for line in named)  # in words of the target
    assert "If they share nothing, the proof is at fault" in str(refusal.value)


async def looks_at_everything(world: World) -> None:
    """A rule without resources is judged after every step."""
    store = world.object_store("store")

    @world.invariant
    def all_is_well() -> None:
        """It is."""

    lanes = [world.start_client(name, store.put, name, 1) for name in ("a", "b")]
    for each in lanes:
        await world.finished(each)


def test_a_rule_that_looks_at_every_step_makes_every_order_distinct() -> None:
    proof = prove(subject(looks_at_everything), NO_LIMIT)
    assert proof.tally.every_step == ("all_is_well",)
    assert proof.counted
    assert proof.tally.complete == proof.all_runs


async def never_ends(world: World) -> None:
    """It goes on and on."""
    while True:
        await trio.sleep(1)


def test_a_run_that_reaches_a_limit_proves_nothing() -> None:
    proof = prove(subject(never_ends, steps_max=20), NO_LIMIT)
    assert proof.verdict == SPENT
    assert "limit of the scenario" in proof.ended_by


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clok=any", "clock"),
        ("clock=never", "idle"),
        ("order=fifo", "batch-legal"),
        ("stalls=many", "number"),
        ("clock=any,stalls=1", "leave stalls away"),
    ],
)
def test_a_bound_that_is_none_is_explained(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Bound.parse(text, restarts=1)


def test_a_bound_is_parsed_and_told() -> None:
    bound = Bound.parse("stalls=2, order=any", restarts=3)
    assert bound == Bound("idle", 2, "any", 3)
    assert str(bound) == "clock=idle,stalls=2,order=any,restarts=3"


async def times_out(world: World) -> None:
    """A request, and a timeout that strikes before its answer if time may pass too early."""
    store = world.object_store("store")

    @world.invariant(at_end=True)
    def it_never_times_out() -> None:
        assert not scope.cancelled_caught

    with trio.move_on_after(1) as scope:
        await store.put("x", 1)


@pytest.mark.parametrize(
    ("bound", "verdict"), [("", HELD), ("stalls=1", VIOLATED), ("clock=any", VIOLATED)]
)
def test_when_time_may_pass_is_the_bound(bound: str, verdict: str) -> None:
    assert prove(subject(times_out, bound), NO_LIMIT).verdict == verdict


async def endless(world: World) -> None:
    """A service that tries again whatever happens."""

    async def serve() -> None:
        while True:
            with suppress(BaseException):
                await trio.sleep(1)

    world.simulation.spawn("service", serve, incarnation=1)
    await trio.sleep(0.5)


def test_who_swallows_cancelled_breaks_a_rule() -> None:
    proof = prove(subject(endless), NO_LIMIT)
    assert (proof.verdict, proof.tally.runs) == (VIOLATED, 1)
