"""A neutral benchmark: classic concurrency programs and restart races, their figures side by side.

Every program is an ordinary trio program with one known bug and a repaired twin. The figures are
schedules to the first bug, beside those that others published.
"""
