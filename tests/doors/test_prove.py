"""``changeover prove`` as a user types it: verdicts, exit codes, jobs, going on after kill -9."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.doors.projects import Done, Project, clean_environment

#: Scenarios that are small enough, and one that is not.
SMALL = '''

@scenario(faults=[restart("books", kinds=["crash"])], guards=["careful"])
async def small(world):
    """A service writes what it has promised, before or after it promises."""
    database, network, promised = world.database(), world.network(), []
    database.load("totals", {"usdc": {"amount": 0}})

    async def books(life):
        life.enter("ready")
        async for request in network.listen("books"):
            if "careful" in world.guards:
                await database.put("totals", "usdc", {"amount": request.payload})
                await request.reply("ok")
            else:
                await request.reply("ok")
                await database.put("totals", "usdc", {"amount": request.payload})

    @world.invariant(at_end=True)
    def promises_are_kept():
        assert database.table("totals")["usdc"]["amount"] >= sum(promised)

    world.service("books", books)
    await trio.sleep(1)
    try:
        await network.call("books", "book", 10, timeout_s=0.5)
        promised.append(10)
    except OSError:
        pass
    await trio.sleep(1)


@scenario
async def wide(world):
    """Five clients write and read the same row."""
    database = world.database()

    async def client():
        for _ in range(4):
            await database.put("rows", "a", {"n": 1})

    lanes = [world.start_client(f"client{number}", client) for number in range(5)]
    for lane in lanes:
        await world.finished(lane)


RUNS = []


@scenario
async def drifting(world):
    """In every other run there is one client more."""
    RUNS.append(1)
    store = world.object_store("store")
    names = "abc" if len(RUNS) % 2 else "ab"
    for lane in [world.start_client(name, store.put, "x", name) for name in names]:
        await world.finished(lane)
'''


@pytest.fixture
def small(project: Project) -> Project:
    """The project with scenarios to prove."""
    text = "import trio\nfrom harness import restart, scenario\n" + SMALL
    with (project.folder / "ledgers.py").open("a", encoding="utf-8") as file:
        file.write(text)
    return project


def interleavings(done: Done) -> int:
    """How many distinct ones a verdict tells of."""
    found = re.search(r"([\d,]+) distinct", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return int(found[1].replace(",", ""))


def test_held_is_0_and_says_within_which_bound(small: Project) -> None:
    done = small.changeover("prove", "small", "--guards", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("HELD  small in all ")
    assert "at most 1 fault(s); time passes only when nothing else can move" in done.stdout
    assert "without reduction" in done.stdout
    assert "traded places, and nothing changed" in done.stdout
    assert not list((small.folder / ".changeover").glob("proofs/*.json"))


def test_violated_is_1_with_a_finding_like_any_other(small: Project) -> None:
    done = small.changeover("prove", "small", "--guards", "none")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "RACE  promises_are_kept" in done.stdout
    assert "VIOLATED  small in interleaving" in done.stdout
    assert len(small.findings()) == 1
    assert small.changeover("replay", "last").returncode == 1


def test_without_restarts_it_holds(small: Project) -> None:
    done = small.changeover("prove", "small", "--guards", "none", "--restarts", "0")
    assert done.returncode == 0, done.stdout


def test_a_spent_budget_is_5_and_never_a_pass(small: Project) -> None:
    done = small.changeover("prove", "wide", "--schedules", "20")
    assert done.returncode == 5, done.stdout
    assert done.stdout.startswith("BUDGET SPENT  wide: nothing is proved; 20 distinct")
    assert "95 % interval" in done.stdout
    assert "held" not in done.stdout.lower()


def test_the_same_command_goes_on_and_fresh_begins_anew(small: Project) -> None:
    small.changeover("prove", "wide", "--schedules", "20")
    done = small.changeover("prove", "wide", "--schedules", "20")
    assert interleavings(done) == 40
    assert "20 of them before" in done.stdout
    done = small.changeover("prove", "wide", "--schedules", "20", "--fresh")
    assert interleavings(done) == 20
    other = small.changeover("prove", "wide", "--schedules", "20", "--bound", "order=any")
    assert interleavings(other) == 20


def test_a_changed_target_begins_anew(small: Project) -> None:
    assert interleavings(small.type("changeover", "prove", "wide", "--schedules", "20")) == 20
    with (small.folder / "ledgers.py").open("a", encoding="utf-8") as file:
        file.write("# another version\n")
    assert interleavings(small.type("changeover", "prove", "wide", "--schedules", "20")) == 20


def test_two_jobs_prove_the_same_as_one(small: Project) -> None:
    one = small.changeover("prove", "small", "--guards", "all")
    two = small.type("changeover", "prove", "small", "--guards", "all", "--jobs", "2")
    assert two.returncode == 0, two.stdout + two.stderr
    assert interleavings(one) == interleavings(two) > 10
    pattern = r"runs .*?;"
    assert re.findall(pattern, one.stdout) == re.findall(pattern, two.stdout)


def test_json_says_the_same(small: Project) -> None:
    done = small.changeover("prove", "wide", "--schedules", "20", "--format", "json")
    data = json.loads(done.stdout)
    assert (data["verdict"], data["exit_code"]) == ("budget spent", 5)
    assert data["interleavings"] == 20
    assert 0 <= data["unseen"]["low"] <= data["unseen"]["share"] <= data["unseen"]["high"] <= 1
    held = json.loads(
        small.changeover("prove", "small", "--guards", "all", "--format", "json").stdout
    )
    assert (held["verdict"], held["exit_code"], held["unseen"]) == ("held", 0, None)


def _under_way(project: Project, *words: str) -> subprocess.Popen[str]:
    """A proof that has written down where it stands, and goes on."""
    running = subprocess.Popen(
        project.program("changeover", "prove", *words),
        cwd=project.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not _kept(project.folder):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)  # a moment for another process, not for the test
    return running


@pytest.mark.parametrize("strike", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_struck_down_is_not_lost(small: Project, strike: signal.Signals) -> None:
    running = _under_way(small, "wide")
    running.send_signal(strike)
    out, _ = running.communicate(timeout=60)
    if strike == signal.SIGINT:
        assert running.returncode == 2
        assert "ended by  interrupted" in out
    kept = json.loads(_kept(small.folder)[0].read_text(encoding="utf-8"))
    kept = kept["search"]["tally"]["complete"]
    done = small.type("changeover", "prove", "wide", "--schedules", "5")
    assert done.returncode == 5, done.stderr
    assert interleavings(done) == kept + 5


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_file_is_set_aside_and_the_search_begins_anew(
    small: Project, damage: str
) -> None:
    small.changeover("prove", "wide", "--schedules", "20")
    (kept,) = _kept(small.folder)
    text = kept.read_text(encoding="utf-8")
    assert '"complete": 20' in text
    damaged = {
        "cut": text[: len(text) // 2],
        "changed": text.replace('"complete": 20', '"complete": 21'),
        "other": '{"format": 1, "search": {}, "seal": ""}',
    }[damage]
    kept.write_text(damaged, encoding="utf-8")
    done = small.changeover("prove", "wide", "--schedules", "20")
    assert done.returncode == 5, done.stderr
    assert "the search begins anew" in done.stderr
    assert "nothing was deleted" in done.stderr
    assert interleavings(done) == 20
    assert kept.with_name(f"{kept.name}.unreadable").read_text(encoding="utf-8") == damaged


def test_where_nothing_can_be_written_the_search_goes_on_and_says_so(small: Project) -> None:
    (small.folder / ".changeover").mkdir(exist_ok=True)
    (small.folder / ".changeover" / "proofs").write_text("a file in the way", encoding="utf-8")
    done = small.changeover("prove", "wide", "--schedules", "20")
    assert done.returncode == 5, done.stderr
    assert interleavings(done) == 20
    assert done.stderr.count("the search goes on but cannot be kept") == 1
    assert "move it away" in done.stderr
    assert "go on" not in done.stdout


def test_a_target_that_does_not_do_the_same_twice_is_3_and_nothing_is_kept(small: Project) -> None:
    done = small.changeover("prove", "drifting")
    assert done.returncode == 3, done.stdout
    assert "the target is not deterministic, and nothing is proved" in done.stderr
    assert "Usual causes" in done.stderr
    assert not _kept(small.folder)


def test_a_job_that_is_killed_is_named_and_the_search_is_not_lost(small: Project) -> None:
    running = _under_way(small, "wide", "--jobs", "2")
    os.kill(_children(running.pid)[-1], signal.SIGKILL)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 3, errors
    assert "a job was ended by SIGKILL" in errors
    assert "the same command goes on" in errors
    kept = json.loads(_kept(small.folder)[0].read_text(encoding="utf-8"))["search"]
    done = small.type("changeover", "prove", "wide", "--schedules", "5")
    assert interleavings(done) == kept["tally"]["complete"] + 5


def _children(process: int) -> list[int]:
    """The processes that make its runs."""
    if not Path("/proc").exists():
        pytest.skip("only where /proc tells who is whose child")
    found = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    commands = {each: Path(f"/proc/{each}/cmdline").read_bytes() for each in found}
    return [int(each) for each, command in commands.items() if b"spawn_main" in command]


def _kept(folder: Path) -> list[Path]:
    return list(folder.glob(".changeover/proofs/*.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nosuch",), "unknown scenario"),
        (("smal",), "did you mean 'small'"),
        (("small", "--guards", "carefull"), "did you mean 'careful'"),
        (("small", "--bound", "clok=any"), "clock"),
        (("small", "--bound", "nonsense"), "known: clock, order, stalls"),
        (("small", "--restarts", "-1"), "0 or more"),
        (("small", "--restarts", "2"), "faults_max=2"),
        (("small", "--jobs", "0"), "--jobs"),
        (("small", "--time-limit", "soon"), "--time-limit"),
    ],
)
def test_4_for_what_cannot_be_meant(
    small: Project, arguments: tuple[str, ...], message: str
) -> None:
    done = small.changeover("prove", *arguments)
    assert done.returncode == 4
    assert message in done.stderr
