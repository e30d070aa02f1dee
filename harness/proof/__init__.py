"""Proof: every distinct interleaving of a scenario within a stated bound, each of them once.

Two orders are the same if they differ only in steps that touch nothing in common. What a step
touches is observed while it happens, not only declared; see ``docs/proof.md``.
"""
