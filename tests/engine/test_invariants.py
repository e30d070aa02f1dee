"""The judge: what counts as broken, as unknown and as held, when a rule is asked, and what is told.

The judge is handed events here; what produces them does not matter to it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import UsageError
from harness.findings.finding import Change, Violation
from harness.history import Event, History, Site
from harness.invariants import NOTHING_TO_JUDGE, Broken, Judge, Moment, invariant_of
from tests.engine.bare import bare_rule

SITE = Site("ledger.py", 12, "book")


def wrote(resource: str, *, after: object = "", step: int = 1, lane: str = "ledger#1") -> Event:
    """One write of the ledger."""
    return Event(step, step * 10, lane, "write", "put", resource, after=after, site=SITE)


def at(step: int) -> Moment:
    """The moment of a step, ten milliseconds each."""
    return Moment(step, step * 10)


def judged(check: Callable[..., object], *events: Event, on: tuple[str, ...] = ()) -> Judge:
    """A judge of one rule that saw each event as a step of its own."""
    judge = Judge()
    judge.add(invariant_of(check, name="the_rule", on=on))
    for step, event in enumerate(events, start=1):
        judge.after_step((event,), at(step))
    return judge


def messages(judge: Judge) -> list[str]:
    """What was told."""
    return [violation.message for violation in judge.violations]


# --- verdicts -----------------------------------------------------------------------------------


def test_a_rule_that_breaks_says_everything_it_knows() -> None:
    def balances_add_up() -> None:
        """Every deposit is in the books."""
        raise Broken(
            "30 USDC are missing",
            before=30,
            after=0,
            consequence="the trader is paid twice",
            accounts=["ann"],
            loss_usdc=30,
            changes=[Change(1, "0", "30")],
        )

    judge = Judge(phase_of=lambda lane: f"phase of {lane}")
    judge.add(invariant_of(balances_add_up))
    judge.after_step((wrote("books/ann"),), at(4))
    assert judge.violations == [
        Violation(
            invariant="balances_add_up",
            message="30 USDC are missing",
            step=4,
            at_ms=40,
            describe="Every deposit is in the books.",
            consequence="the trader is paid twice",
            resource="books/ann",
            before="30",
            after="0",
            lane="ledger#1",
            operation="put",
            site="ledger.py:12 book",
            phase="phase of ledger#1",
            accounts=("ann",),
            loss_usdc="30",
            changes=(Change(1, "0", "30"),),
        )
    ]
    assert judge.held == ()


def test_a_rule_may_judge_later_than_it_breaks() -> None:
    def broke_before() -> None:
        raise Broken("it was so long ago", step=0, at_ms=3, site="other.py:1 f", lane="main")

    (violation,) = judged(broke_before, wrote("a"), wrote("b")).violations
    assert (violation.step, violation.at_ms) == (0, 3)
    assert (violation.site, violation.lane) == ("other.py:1 f", "main")


def test_an_assertion_without_words_is_told_by_its_source_and_what_it_saw() -> None:
    rule = bare_rule(told_to_somebody=30, booked_by_the_ledger=10)
    (message,) = messages(judged(rule, wrote("a"), wrote("b")))
    assert message.startswith("at tests/engine/bare.py:1")
    assert message.endswith(
        " this does not hold: assert told_to_somebody - booked_by_the_ledger <= 1 and "
        "booked_by_the_ledger - told_to_somebody <= len('a limit') "
        "(told_to_somebody = 30, booked_by_the_ledger = 10)"
    )


def test_a_failed_assertion_breaks_the_rule_with_its_own_words() -> None:
    def own_words() -> None:
        booked, told = 10, 30
        assert booked >= told, f"{told} USDC were acknowledged, {booked} are in the books."

    def no_words() -> None:
        raise AssertionError

    def rewritten() -> None:
        # As pytest makes it in a test module, of a message and of what it saw.
        raise AssertionError("30 were told.\nassert 10 >= 30\n +  where 10 = booked()")

    assert messages(judged(own_words, wrote("a"))) == [
        "30 USDC were acknowledged, 10 are in the books."
    ]
    assert messages(judged(no_words, wrote("a"))) == ["the_rule does not hold"]
    assert messages(judged(rewritten, wrote("a"))) == ["30 were told."]


def test_a_rule_that_crashes_is_unknown_and_never_held() -> None:
    def crashes_at_first(event: Event) -> None:
        if event.step == 1:
            raise KeyError("ann")

    judge = judged(crashes_at_first, wrote("a", step=1), wrote("a", step=2), on=("a",))
    line = crashes_at_first.__code__.co_firstlineno + 2
    assert judge.unknown == {
        "the_rule": f"KeyError: 'ann' (tests/engine/test_invariants.py:{line})"
    }
    assert judge.judged == {"the_rule": 1}
    assert judge.held == ()
    assert judge.violations == []


def test_a_rule_without_anything_to_judge_is_not_held() -> None:
    def nothing_yet() -> bool:
        return NOTHING_TO_JUDGE

    judge = judged(nothing_yet, wrote("a"), wrote("b"))
    assert judge.judged == {"the_rule": 0}
    assert judge.held == () and judge.unknown == {} and judge.violations == []
    silent = judged(lambda event: None, wrote("b"), on=("a",))
    assert silent.judged == {"the_rule": 0}
    assert silent.held == ()


def test_a_rule_holds_when_it_judged_and_was_never_broken() -> None:
    judge = judged(lambda: None, wrote("a"), wrote("b"))
    assert judge.judged == {"the_rule": 2}
    assert judge.held == ("the_rule",)


def test_an_async_rule_is_refused_because_nobody_would_await_it() -> None:
    async def looks_like_a_rule() -> None:
        raise Broken("never seen")

    with pytest.raises(UsageError, match="looks_like_a_rule is async"):
        invariant_of(looks_like_a_rule)


def test_the_docstring_is_the_description_and_the_name_its_last_resort() -> None:
    def documented() -> None:
        """Money stays.

        Always.
        """

    assert invariant_of(documented).describe == "Money stays.\n\nAlways."
    assert invariant_of(lambda: None, name="bare").describe == "bare"
    assert invariant_of(documented, name="x", describe="Given.").describe == "Given."


# --- when a rule is asked -----------------------------------------------------------------------


def test_an_event_rule_sees_the_events_of_its_resources_by_prefix() -> None:
    seen: list[str] = []
    judge = Judge()
    judge.add(invariant_of(lambda event: seen.append(event.resource), on=("books/", "fees")))
    judge.after_step([wrote(x) for x in ("books/ann", "book", "fees", "feesxx", "x/fees")], at(1))
    judge.after_step((wrote("books/ann"),), at(2))
    assert seen == ["books/ann", "fees", "feesxx", "books/ann"]


def test_a_state_rule_is_asked_once_a_step_after_all_events() -> None:
    asked: list[int] = []
    state: list[str] = []
    judge = Judge()
    judge.add(invariant_of(lambda event: state.append(event.resource), name="e", on=("books",)))
    judge.add(invariant_of(lambda: asked.append(len(state)), name="s", on=("books",)))
    judge.after_step((wrote("books/a"), wrote("books/b"), wrote("books/c")), at(1))
    judge.after_step((wrote("elsewhere"),), at(2))
    judge.after_step((), at(3))
    judge.after_step((wrote("books/a"),), at(4))
    assert asked == [3, 4]


def test_a_rule_of_every_step_is_asked_even_when_nothing_happened() -> None:
    asked: list[int] = []
    judge = Judge()
    judge.add(invariant_of(lambda: asked.append(1)))
    judge.after_step((), at(1))
    judge.after_step((wrote("a"), wrote("b")), at(2))
    assert len(asked) == 2


def test_a_broken_state_rule_blames_the_last_event_that_it_watches() -> None:
    def never() -> None:
        raise Broken("no")

    judge = Judge()
    judge.add(invariant_of(never, on=("books",)))
    events = (wrote("books/a", lane="one"), wrote("books/b", lane="two"), wrote("x", lane="three"))
    judge.after_step(events, at(1))
    assert [(each.lane, each.resource) for each in judge.violations] == [("two", "books/b")]


def test_a_rule_added_later_watches_from_then_on() -> None:
    seen: list[str] = []
    judge = Judge()
    judge.after_step((wrote("books/a"),), at(1))
    judge.add(invariant_of(lambda event: seen.append("late"), on=("books",)))
    judge.after_step((wrote("books/a"),), at(2))
    assert seen == ["late"]


def test_a_checker_judges_the_whole_history_and_only_at_the_end() -> None:
    seen: list[int] = []
    history = History()
    for number in range(3):
        history.append(wrote(f"books/{number}"))

    def everything(told: History) -> None:
        seen.append(len(told))
        raise Broken("three at last")

    def state() -> None:
        seen.append(-1)

    judge = Judge()
    judge.add(invariant_of(everything, at_end=True, on=("books",)))
    judge.add(invariant_of(state, at_end=True, on=("books",)))
    judge.after_step(tuple(history), at(1))
    assert seen == [] and judge.unknown == {}
    judge.at_end(history, at(9))
    assert seen == [3, -1]
    assert [(each.message, each.step, each.lane) for each in judge.violations] == [
        ("three at last", 9, "")
    ]
    assert judge.held == ("state",)


def test_two_rules_of_one_name_are_both_asked() -> None:
    asked: list[str] = []
    judge = Judge()
    for account in ("ann", "bob"):

        def balance(account: str = account) -> None:
            asked.append(account)

        judge.add(invariant_of(balance, on=("books",)))
    judge.after_step((wrote("books/a"), wrote("books/b")), at(1))
    assert asked == ["ann", "bob"]


def test_a_rule_with_a_parameter_and_no_resources_sees_every_event() -> None:
    seen: list[str] = []
    judge = judged(lambda event: seen.append(event.resource), wrote("a"), wrote("b"))
    judge.after_step((), at(3))
    assert seen == ["a", "b"]
    assert judge.unknown == {}


def test_one_resource_need_not_be_a_list() -> None:
    assert invariant_of(lambda event: None, on="books").on == ("books",)


# --- what is told -------------------------------------------------------------------------------


def test_what_stays_broken_is_told_once_for_each_resource() -> None:
    def positive(event: Event) -> None:
        if event.after == "-1":
            raise Broken(f"{event.resource} is negative")

    judge = judged(
        positive,
        wrote("books/ann", after="-1"),
        wrote("books/ann", after="-1"),
        wrote("books/bob", after="-1"),
        wrote("books/ann", after="-1"),
        on=("books",),
    )
    assert messages(judge) == ["books/ann is negative", "books/bob is negative"]
    assert [violation.step for violation in judge.violations] == [1, 3]


def test_a_rule_of_every_step_is_told_once_whatever_is_written() -> None:
    def never() -> None:
        raise Broken("no")

    judge = judged(never, wrote("a"), wrote("b"), wrote("c"))
    assert messages(judge) == ["no"]
    assert judge.judged == {"the_rule": 3}


def test_a_rule_tells_two_resources_apart_when_it_names_them() -> None:
    def both() -> None:
        raise Broken("no", resource="books/ann" if asked.pop() else "books/bob")

    asked = [True, False, True]
    judge = judged(both, wrote("a"), wrote("b"), wrote("c"))
    assert [violation.resource for violation in judge.violations] == ["books/ann", "books/bob"]
