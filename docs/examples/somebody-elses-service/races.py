import sys
from pathlib import Path
from harness.live.scenario import live_restart, live_scenario

HERE = str(Path(__file__).parent)


@live_scenario(faults=[live_restart("payouts", kinds=["rolling"])], guards=["claim"])
def payouts(world):
    """Payouts are sent by a service that is replaced while it works."""
    world.database(Path(HERE, "schema.sql").read_text())
    node = ["node", "payouts.js", *world.guards]
    world.service("payouts", node, directory=HERE, housekeeping=True)
    world.service("withdrawals", ["./withdrawals"], directory=HERE)
    world.service("deposits", [sys.executable, "deposits.py"], directory=HERE, boot="forked")
    world.observe("times", "select count(*) from transfers group by payout")

    @world.invariant(on=("times",))
    def nobody_is_paid_twice():
        """A payout is transferred once."""
        assert world.value("times") == "1", f"a payout was sent {world.value('times')} times"
