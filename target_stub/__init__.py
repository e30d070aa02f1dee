"""The reference exchange: a small perpetual-futures exchange to test changeovers against.

It never imports the harness. Its pure, exact core is in ``core``; everything that can restart
stands round it.
"""
