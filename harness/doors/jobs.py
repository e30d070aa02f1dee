"""A crew of several processes: whoever is free takes the next schedule.

The numbers of a generation lie as tickets in one pipe from which all workers read, so nobody waits
for somebody slow; and what a run does depends on its number alone, never on who took it. A worker
that makes a finding smaller takes no tickets meanwhile, and the others go on. Ctrl-C reaches only
the parent, which takes the tickets back.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from harness.campaign import Plan, Search, Smaller, attempt_smaller
from harness.doors.output import tell
from harness.doors.registry import load_scenarios
from harness.engine import campaign
from harness.errors import UntrustworthyError, UsageError
from harness.findings.finding import Finding
from harness.settings import load_settings
from harness.trial import GENERATION, Closed, Trial, TrialRunner

_monotonic = time.monotonic
#: How long a wait for the workers may last before Ctrl-C is looked for again, in seconds.
PATIENCE_S = 0.1
#: How long a worker keeps trials that nobody waits for, in seconds.
BATCH_S = 0.05
#: How long a worker may take to leave when there is nothing more to do, in seconds.
FAREWELL_S = 5.0
_TICKET = 8
#: More than so many processes a core only take turns.
_JOBS_A_CORE = 4


def crew_size(asked: int, *, schedules: int | None = None) -> int:
    """How many processes start: those that find something to do, and a core to do it on.

    Nobody takes a schedule of a generation before the one before it is over. A smaller number
    than was ``asked`` for is said; UsageError if that is none.
    """
    if asked < 1:
        raise UsageError(f"--jobs must be 1 or more, not {asked}")
    most = min(GENERATION, _JOBS_A_CORE * (os.cpu_count() or 1), max(1, schedules or GENERATION))
    if most < asked:
        tell(f"--jobs {asked}: more than {most} would find nothing to do here, so {most} start")
    return min(asked, most)


@dataclass(frozen=True, slots=True)
class _Order:
    """Take tickets for one scenario, once these generations are learned."""

    scenario: str
    closed: tuple[Closed, ...]


@dataclass(frozen=True, slots=True)
class _Shrink:
    """Make a finding smaller."""

    scenario: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Stop:
    """End shrinking with the best so far."""


@dataclass(frozen=True, slots=True)
class _Idle:
    """Ready: no ticket is left, or no strategy has anything more to try."""


@dataclass(slots=True)
class _Worker:
    """What the parent knows of a worker: ``task`` is what it was last told to do, if it still is.

    ``unlearned`` are the generations that it has not heard of, by scenario.
    """

    number: int
    process: SpawnProcess
    pipe: Connection
    task: _Order | _Shrink | None = None
    unlearned: dict[str, list[Closed]] = field(default_factory=dict)


class Jobs:
    """Several processes that run the schedules of one or more scenarios, which have one plan each.

    To be entered: the workers live as long as the ``with`` block.
    """

    def __init__(self, plans: Mapping[str, Plan], jobs: int) -> None:
        self.workers: list[_Worker] = []
        self.plans = dict(plans)
        self.jobs = jobs
        self._unshrunk: list[_Shrink] = []
        self._smaller: list[Smaller] = []
        self._arrived: dict[int, Trial] = {}
        self._lost = ""

    def __enter__(self) -> Jobs:
        """Start the workers and wait until they are ready; they are born deaf to Ctrl-C."""
        context = multiprocessing.get_context("spawn")
        self._tickets, self._box = context.Pipe(duplex=False)
        os.set_blocking(self._tickets.fileno(), False)
        listening = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for number in range(1, self.jobs + 1):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_work, args=(self.plans, self._tickets, theirs), daemon=True
                )
                process.start()
                theirs.close()
                self.workers.append(_Worker(number, process, ours, task=_Order("", ())))
        finally:
            signal.signal(signal.SIGINT, listening)
        self._hear_out()
        return self

    def __exit__(self, *exception: object) -> None:
        """Send the workers home."""
        for worker in self.workers:
            worker.pipe.close()
        ends_at = _monotonic() + (0 if exception[0] is not None else FAREWELL_S)
        for worker in self.workers:
            worker.process.join(max(0.0, ends_at - _monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._tickets.close()
        self._box.close()

    def trials(
        self, search: Search, numbers: range, *, stop: Callable[[], bool]
    ) -> Generator[Trial, None, None]:
        """The trials of a generation in the order of their numbers, from whoever made them."""
        scenario = search.result.scenario.name
        self._arrived.clear()
        due = numbers[0]
        if not stop():
            self._deal(numbers)
        try:
            while self._employ(scenario):
                self._listen()
                while due in self._arrived:
                    yield self._arrived.pop(due)
                    due += 1
                if self._lost or stop():
                    self._take_back()
        except GeneratorExit:  # what comes now is not wanted, but must not reach the next one
            self._take_back()
            self._hear_out()
            raise
        yield from (self._arrived.pop(number) for number in sorted(self._arrived))
        if self._lost or not self.workers:
            lost, self._lost = self._lost or "no worker is left; its words are above", ""
            raise UntrustworthyError(lost)

    def close(self, search: Search, generation: Closed) -> None:
        """Let everybody learn what a generation taught, as soon as they take tickets again."""
        search.runner.close(generation)
        for worker in self.workers:
            worker.unlearned.setdefault(search.result.scenario.name, []).append(generation)

    def shrink(self, search: Search, finding: Finding) -> None:
        """Have a finding made smaller by the next worker that is free."""
        self._unshrunk.append(_Shrink(search.result.scenario.name, finding))

    def shrunk(self, *, wait: bool, interrupted: Callable[[], bool]) -> Iterable[Smaller]:
        """What was made smaller since the last call; all there is to be, with ``wait``."""
        told: set[int] = set()
        while wait and self._shrinking():
            if interrupted():
                self._unshrunk.clear()
            for worker in self.workers:
                self._give_shrinking(worker)
                if interrupted() and worker.task is not None and worker.number not in told:
                    told.add(worker.number)
                    self._send(worker, _Stop())
            self._listen()
        while self._smaller:
            yield self._smaller.pop(0)

    def _shrinking(self) -> bool:
        return bool(self.workers) and bool(
            self._unshrunk or any(worker.task is not None for worker in self.workers)
        )

    def _employ(self, scenario: str) -> bool:
        """Give everybody who is free something to do; whether there is still something to take.

        All but one may shrink while the others search; if a lost worker leaves nobody to search,
        the tickets wait for the first that is done.
        """
        left = self._tickets.poll()
        for worker in self.workers:
            busy = sum(isinstance(each.task, _Shrink) for each in self.workers)
            if busy < max(1, len(self.workers) - 1) and len(self.workers) > 1:
                self._give_shrinking(worker)
            if left and worker.task is None:
                order = _Order(scenario, tuple(worker.unlearned.pop(scenario, ())))
                worker.task = order
                self._send(worker, order)
        searching = any(isinstance(worker.task, _Order) for worker in self.workers)
        return searching or (left and bool(self.workers))

    def _give_shrinking(self, worker: _Worker) -> None:
        if worker.task is None and self._unshrunk:
            worker.task = self._unshrunk.pop(0)
            self._send(worker, worker.task)

    def _send(self, worker: _Worker, message: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # listening will tell that it is gone
            worker.pipe.send(message)

    def _listen(self) -> None:
        """Take what the workers have to say, if anything comes within the patience."""
        by_pipe = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(by_pipe), timeout=PATIENCE_S):
            assert isinstance(pipe, Connection)
            worker = by_pipe[pipe]
            try:
                message = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._bury(worker)
                continue
            if isinstance(message, list):
                self._arrived.update((trial.number, trial) for trial in message)
                continue
            worker.task = None
            if isinstance(message, Smaller):
                self._smaller.append(message)

    def _hear_out(self) -> None:
        """Listen until nobody takes tickets any more."""
        while any(isinstance(worker.task, _Order) for worker in self.workers):
            self._listen()

    def _bury(self, worker: _Worker) -> None:
        """A worker is gone; what it shrank stays as it was, what it searched is lost."""
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        if not isinstance(worker.task, _Shrink):
            code = worker.process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            self._lost = f"job {worker.number} ended without a result, {how}; its words are above"

    def _deal(self, numbers: range) -> None:
        """Put tickets into the pipe, few enough at a time that each write is whole."""
        for start in range(0, len(numbers), 256):
            part = numbers[start : start + 256]
            tickets = (number.to_bytes(_TICKET, "big", signed=True) for number in part)
            os.write(self._box.fileno(), b"".join(tickets))

    def _take_back(self) -> None:
        """Empty the pipe of tickets."""
        with suppress(BlockingIOError):
            while os.read(self._tickets.fileno(), _TICKET * 512):
                pass


def _work(plans: Mapping[str, Plan], tickets: Connection, pipe: Connection) -> None:
    """The life of a worker; it ends when the parent closes the pipe, or is gone."""
    sys.stdout = sys.stderr  # what a target prints is no answer
    try:
        scenarios = load_scenarios(load_settings(), problems=[])
        runners: dict[str, TrialRunner] = {}
        with campaign():
            pipe.send(_Idle())
            while True:
                message = pipe.recv()
                if isinstance(message, _Stop):
                    continue
                scenario, plan = scenarios[message.scenario], plans[message.scenario]
                if isinstance(message, _Shrink):
                    pipe.send(attempt_smaller(scenario, plan, message.finding, pipe.poll))
                    continue
                if message.scenario not in runners:
                    runners[message.scenario] = TrialRunner(scenario, plan)
                runner = runners[message.scenario]
                for generation in message.closed:
                    runner.close(generation)
                _serve(runner, tickets, pipe)
                pipe.send(_Idle())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _serve(runner: TrialRunner, tickets: Connection, pipe: Connection) -> None:
    """Take tickets until there are none, or no strategy has anything more to try."""
    made: list[Trial] = []
    since = _monotonic()
    while (number := _take(tickets)) is not None:
        trial = runner.trial(number)
        if trial is None:
            break
        made.append(trial)
        pressing = trial.finding or trial.difference or trial.error
        if pressing or _monotonic() - since > BATCH_S:
            pipe.send(made)
            made, since = [], _monotonic()
    if made:
        pipe.send(made)


def _take(tickets: Connection) -> int | None:
    try:
        ticket = os.read(tickets.fileno(), _TICKET)
    except BlockingIOError:
        return None
    return int.from_bytes(ticket, "big", signed=True) if ticket else None
