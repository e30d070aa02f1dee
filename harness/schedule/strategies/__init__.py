"""Strategies: who decides the next choice, each a small pure function in a file of its own."""
