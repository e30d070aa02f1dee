"""What is kept and shown: the finding, its store, and everything that is rendered from it.

Nothing here runs a target; a report is a pure function of the saved file.
"""
