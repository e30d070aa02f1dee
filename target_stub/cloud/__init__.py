"""The restartable services round the core, each an ordinary trio class with an async ``run``.

They know the outside only through ``ports``, so the same code runs in a simulation and on real
databases and networks.
"""
