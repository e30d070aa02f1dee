"""Services and a ledger with one defect each, as subclasses that replace one method.

Only the registry of planted bugs imports them; the correct classes know nothing of them, so a
defect can never be half on.
"""
