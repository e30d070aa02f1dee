"""The programs: each has one bug, and none when it is asked to run ``repaired``.

As in their originals, variables that one lock always protects are plain; every access of any
other shared variable, and every lock, unlock, wait and signal, is a scheduling point.
"""
