"""What a run costs, and how soon the incident is found.

Speed is a ratio: everything is measured in one process, side by side, again and again, and what is
compared are the medians. No test asserts a time.
"""
