"""Several processes that make the runs of one proof.

Each has a vocabulary of its own and tells what it learns; the search itself stays in one process
and hears of the runs in the order in which it asked for them, so it is the same with any number.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from harness.doors.registry import load_scenarios
from harness.engine import campaign
from harness.proof.errands import Errand, Observation, Subject, observe
from harness.proof.explorer import Explorer
from harness.proof.proving import CrewLostError
from harness.proof.resources import Touch
from harness.proof.vocabulary import News, Translation, Vocabulary
from harness.settings import load_settings

#: How long a wait for a job may last before Ctrl-C is looked for again, in seconds.
_PATIENCE_S = 0.2

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """An errand in words that every process understands."""

    number: int
    prefix: tuple[int, ...]
    sleep: tuple[tuple[Path, tuple[Touch, ...]], ...]
    guide: tuple[Path, ...]


@dataclass(slots=True)
class _Job:
    process: SpawnProcess
    translation: Translation
    busy_with: int = 0


class Jobs:
    """A crew of ``jobs`` processes, to be entered; leaving it ends them."""

    def __init__(self, jobs: int, interrupted: Callable[[], bool]) -> None:
        self._count = jobs
        self._interrupted = interrupted
        self._jobs: dict[Connection, _Job] = {}
        self._waiting: list[Order] = []
        self._made: dict[int, Observation] = {}
        self._explorer: Explorer | None = None

    def __call__(self, explorer: Explorer) -> Jobs:
        """Start them for one search."""
        self._explorer = explorer
        context = multiprocessing.get_context("spawn")
        subject = explorer.subject
        listening = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                facts = (subject.seed, dict(subject.variant), subject.bound)
                process = context.Process(
                    target=_work, args=(subject.scenario.name, facts, theirs), daemon=True
                )
                process.start()
                theirs.close()
                self._jobs[ours] = _Job(process, Translation(explorer.vocabulary))
        finally:
            signal.signal(signal.SIGINT, listening)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        for pipe, job in self._jobs.items():
            pipe.close()
            job.process.terminate()
        for job in self._jobs.values():
            job.process.join()

    def send(self, errand: Errand) -> None:
        """Give an errand to whoever is idle, or keep it until somebody is."""
        assert self._explorer is not None
        names = self._explorer.vocabulary
        self._waiting.append(
            Order(
                errand.number,
                errand.prefix,
                tuple((names.path(who), names.touches[touched]) for who, touched in errand.sleep),
                tuple(names.path(who) for who in errand.guide),
            )
        )
        self._hand_out()

    def receive(self, number: int) -> Observation | None:
        """Wait for one run; the others that come meanwhile are kept."""
        while number not in self._made:
            for pipe in wait(list(self._jobs), timeout=_PATIENCE_S):
                assert isinstance(pipe, Connection)
                self._take(pipe)
            self._hand_out()
            if self._interrupted():
                return None
        return self._made.pop(number)

    def _hand_out(self) -> None:
        for pipe, job in self._jobs.items():
            if not job.busy_with and self._waiting:
                order = self._waiting.pop(0)
                job.busy_with = order.number
                with suppress(BrokenPipeError, ConnectionResetError):  # its death is seen later
                    pipe.send(order)

    def _take(self, pipe: Connection) -> None:
        job = self._jobs[pipe]
        try:
            made, news = pipe.recv()
        except (EOFError, ConnectionResetError):
            job.process.join()
            raise CrewLostError(_death(job.process.exitcode)) from None
        if isinstance(made, Exception):
            raise made
        job.translation.learn(news)
        self._made[made.number] = translated(made, job.translation)
        job.busy_with = 0


def _death(code: int | None) -> str:
    """Why a job ended without a result, and what to do about it."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return (
            f"a job was ended by {name}; the search up to here is kept, and the same command goes "
            "on from there. If memory was short, give it fewer --jobs"
        )
    return (
        f"a job ended without a result, exit code {code}; its words are above. The search up to "
        "here is kept: once that is mended the same command goes on, or begins anew if code changed"
    )


def translated(made: Observation, by: Translation) -> Observation:
    """An observation in the numbers of another vocabulary."""

    def pairs(could: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((by.processes[who], place) for who, place in could)

    steps = tuple(
        step._replace(
            process=by.processes[step.process],
            touched=by.touches[step.touched],
            order=by.touches[step.order],
            could=pairs(step.could),
            condition=by.touches[step.condition] if step.condition >= 0 else -1,
        )
        for step in made.steps
    )
    return replace(made, steps=steps, could=pairs(made.could))


def _work(scenario: str, facts: tuple[int, dict[str, str], object], pipe: Connection) -> None:
    """One job: it has a process group of its own, so that Ctrl-C reaches only its master."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    sys.stdout = sys.stderr  # what a target prints is no answer
    seed, variant, bound = facts
    known = load_scenarios(load_settings(), problems=[])
    subject = Subject(known[scenario], seed, variant, bound)  # type: ignore[arg-type]
    names = Vocabulary()
    told = (0, 0)
    with campaign():
        while True:
            try:
                order: Order = pipe.recv()
            except (EOFError, OSError):
                return
            answer: Observation | Exception
            try:
                answer = observe(subject, _errand(order, names), names)
            except Exception as error:
                answer = error
            news: News = names.news(*told)
            told = (len(names.processes), len(names.touches))
            pipe.send((answer, news))


def _errand(order: Order, names: Vocabulary) -> Errand:
    return Errand(
        order.number,
        order.prefix,
        tuple((names.of_path(who), names.set_of(touches)) for who, touches in order.sleep),
        tuple(names.of_path(who) for who in order.guide),
    )
