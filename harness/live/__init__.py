"""Real processes on a real PostgreSQL, scheduled at the wire.

The second implementation of :class:`~harness.schedule.choices.System`: services run unmodified as
processes of the operating system, every request they send is held at a gate, and the scheduler
chooses which one goes on. Linux only.
"""
