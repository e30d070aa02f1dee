"""The stories: what is built in a world, what happens to it, and the money rules that judge it.

This is the only place where the harness meets the reference exchange. Every module in here is
imported when scenarios are looked up by name.
"""
