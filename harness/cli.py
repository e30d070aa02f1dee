"""The command ``changeover``: list, run, fuzz, prove, replay, report, shrink, keep.

Reports go to standard output, progress and warnings to standard error. The exit code follows the
verdict: 0 held, 1 a violation, 2 interrupted, 3 the harness cannot be trusted here, 4 usage or
configuration, 5 nothing ran or nothing was proved.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from harness.errors import ChangeoverError, UsageError, closest
from harness.settings import number_or_all

_OVERVIEW = """\
usage: changeover COMMAND [OPTIONS]

Finds the bugs that live between two incarnations of a service.

commands:
  list      scenarios, guards, planted bugs, faults, saved findings
  run       search scenarios for a schedule that breaks a rule
  live      the same with real processes on a real PostgreSQL
  fuzz      search until a time limit or Ctrl-C, and remember what was new
  prove     every distinct interleaving within a bound, or how far it got
  replay    run recorded schedules again: FIXED, STILL FAILS or DIVERGED
  report    render a saved finding again
  shrink    go on making a saved finding smaller
  keep      commit a finding as a regression

changeover COMMAND --help tells more. Exit codes: 0 held, 1 a violation, 2 interrupted,
3 the harness cannot be trusted here, 4 usage or configuration, 5 nothing ran, or proved."""

_REFERENCE = "a token, the file of a finding, its short name, or 'last'"


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing, and knows what an unknown option was meant to be."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The arguments of one command; :class:`UsageError` for those it does not have."""
        found, unknown = self.parse_known_intermixed_args(arguments)
        options = [option for option in self._option_string_actions if option.startswith("--")]
        for argument in unknown:
            name = argument.partition("=")[0]
            if not name.startswith("-"):
                raise UsageError(f"{self.prog}: {argument!r} is one argument too many")
            raise closest(name, options, kind=f"option of {self.prog}")
        return found


def _parser(verb: str, description: str) -> _Parser:
    parser = _Parser(prog=f"changeover {verb}", description=description, allow_abbrev=False)
    parser.add_argument(
        "-v", action="count", default=0, help="-v: all of a report; -vv: stack traces"
    )
    return parser


def _list_parser() -> _Parser:
    parser = _parser("list", "Shows what can be run, and what was found.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--all", action="store_true", help="the built-in scenarios, too")
    parser.add_argument("--invariants", action="store_true", help="run each once to see its rules")
    return parser


def _search_parser(verb: str, what: str, *, time_limit: str) -> _Parser:
    """The options that every search has; ``time_limit`` says what its limit is for."""
    parser = _parser(verb, what)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--profile", metavar="NAME", help="dev, ci or nightly")
    parser.add_argument("--seed", metavar="SEED", help="a number, random, commit, last, a git sha")
    parser.add_argument("--strategy", metavar="NAMES", help="comma list; default: a portfolio")
    parser.add_argument("--time-limit", metavar="TIME", help=time_limit)
    parser.add_argument("--shrink-budget", type=int, metavar="N", help="runs a finding; 0 is off")
    parser.add_argument("--strict", action="store_const", const=True, help="unproved is a failure")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--guards", metavar="NAMES", help="all, none or a comma list")
    parser.add_argument("--bug", metavar="NAME", help="plant this defect")
    parser.add_argument("--format", choices=("text", "json", "github"), help="of the output")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    return parser


def _run_parser(verb: str = "run", what: str = "scenarios") -> _Parser:
    parser = _search_parser(
        verb,
        f"Searches {what}, all of them if none is named.",
        time_limit="for each scenario, such as 30s",
    )
    parser.add_argument(
        "--schedules", type=number_or_all, metavar="N", help="schedules a scenario, or all"
    )
    parser.add_argument("--keep-going", action="store_const", const=True, help="after a finding")
    return parser


def _fuzz_parser() -> _Parser:
    return _search_parser(
        "fuzz",
        "Searches scenarios until the time is over or Ctrl-C is pressed; --seed last goes on.",
        time_limit="for all together, such as 30s or 8h",
    )


def _prove_parser() -> _Parser:
    parser = _parser("prove", "Makes every distinct interleaving of a scenario, within a bound.")
    parser.add_argument("scenario", metavar="SCENARIO")
    parser.add_argument("--restarts", type=int, default=1, metavar="N", help="faults at most (1)")
    parser.add_argument(
        "--bound",
        default="",
        metavar="BOUND",
        help="clock=idle or any, stalls=N, order=batch-legal or any; comma list",
    )
    parser.add_argument("--schedules", type=int, metavar="N", help="runs at most")
    parser.add_argument("--time-limit", metavar="TIME", help="such as 30s or 10m")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--seed", default="0", metavar="SEED", help="of the data (0)")
    parser.add_argument("--guards", metavar="NAMES", help="all, none or a comma list")
    parser.add_argument("--bug", metavar="NAME", help="plant this defect")
    parser.add_argument("--fresh", action="store_true", help="forget what was searched before")
    parser.add_argument("--shrink-budget", type=int, default=500, metavar="N", help="0 is off")
    parser.add_argument("--format", choices=("text", "json", "github"), help="of the output")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    return parser


def _replay_parser() -> _Parser:
    parser = _parser("replay", "Runs recorded schedules again, exactly.")
    parser.add_argument("references", nargs="+", metavar="FINDING", help=_REFERENCE)
    parser.add_argument("--times", type=int, default=3, metavar="N", help="how often (3)")
    parser.add_argument("--continue", action="store_true", dest="go_on", help="past a misfit")
    parser.add_argument("--step", action="store_true", help="walk it forward and back")
    parser.add_argument("--as", dest="into", metavar="SCENARIO", help="one of the same story")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    return parser


def _report_parser() -> _Parser:
    parser = _parser("report", "Renders a finding from its file alone; nothing is run.")
    parser.add_argument("reference", metavar="FINDING", help=_REFERENCE)
    parser.add_argument("--format", choices=("text", "html", "markdown", "json"))
    parser.add_argument("--html", action="store_true", help="write the timeline and open it")
    parser.add_argument("--output", metavar="FILE", help="write to a file")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    return parser


def _shrink_parser() -> _Parser:
    parser = _parser("shrink", "Goes on making a saved finding smaller.")
    parser.add_argument("reference", metavar="FINDING", help=_REFERENCE)
    parser.add_argument("--budget", type=int, default=500, metavar="N", help="runs (500)")
    parser.add_argument("--time-limit", default="60s", metavar="TIME", help="real time (60s)")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII only")
    return parser


def _keep_parser() -> _Parser:
    parser = _parser("keep", "Writes a finding to tests/regressions, to be committed.")
    parser.add_argument("reference", metavar="FINDING", help=_REFERENCE)
    parser.add_argument("--reason", metavar="TEXT", help="what it guards, in one sentence")
    parser.add_argument("--name", metavar="NAME", help="the name of its file")
    return parser


_PARSERS: Mapping[str, Callable[[], _Parser]] = {
    "list": _list_parser,
    "run": _run_parser,
    "live": lambda: _run_parser("live", "scenarios of real processes"),
    "fuzz": _fuzz_parser,
    "prove": _prove_parser,
    "replay": _replay_parser,
    "report": _report_parser,
    "shrink": _shrink_parser,
    "keep": _keep_parser,
}

#: The verbs that have a module of their own.
_HOMES = {"run": "searches", "live": "searches", "fuzz": "searches", "prove": "prove"}


def _fix_hashes() -> None:
    """Begin again with ``PYTHONHASHSEED=0``, unless the environment names a seed of its own.

    Python draws how strings are hashed, and so the order of a set of them, once for each process
    and before any code runs; a token that rests on that order would not come back.
    """
    if os.environ.get("PYTHONHASHSEED", "random") not in ("", "random"):
        return
    if os.name == "posix" and sys.executable and not sys.flags.ignore_environment:
        os.environ["PYTHONHASHSEED"] = "0"  # for children, too
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Without ``arguments`` this is the whole process, and strings get the same hash in each one.
    """
    if arguments is None:
        _fix_hashes()
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = any(re.fullmatch(r"-v{2,}", each) for each in given) or given.count("-v") > 1
    try:
        return _run(given)
    except KeyboardInterrupt:
        print("changeover: interrupted; findings so far are saved", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if verbose:
            traceback.print_exception(error)
        code, message = _explained(error)
    print(f"changeover: {message}", file=sys.stderr)
    return code


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, UsageError):
        return 4, str(error)
    if isinstance(error, ChangeoverError):
        return 3, str(error)
    return 3, (
        f"this is a bug in changeover: {type(error).__name__}: {error}\n"
        "please report it with the command that you ran; -vv shows where it happened"
    )


def _run(given: Sequence[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(_OVERVIEW)
        return 0 if given else 4
    if given[0] == "--version":
        from harness.campaign import versions  # noqa: PLC0415  (help must not load a scheduler)

        print(" ".join(f"{name} {number}" for name, number in versions().items()))
        return 0
    verb = given[0]
    if verb not in _PARSERS:
        raise closest(verb, _PARSERS, kind="command")
    try:
        options = _PARSERS[verb]().read(given[1:])
    except SystemExit:  # argparse printed the help
        return 0
    # Imported here, because help must not load a scheduler.
    home = import_module(f"harness.doors.{_HOMES.get(verb, 'commands')}")
    with import_module("harness.doors.output").kept_for_answers():
        code: int = getattr(home, f"{verb}_command")(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
