"""The documentation is executed: every command in it runs, every output in it is real."""
