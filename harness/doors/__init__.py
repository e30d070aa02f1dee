"""What the two doors share: the command (``harness/cli.py``) and the pytest plugin.

Here a search becomes a gate: scenarios are found, seeds chosen, findings saved, outcomes put into
words and exit codes. Nothing here knows a target, and nobody imports a door.
"""
