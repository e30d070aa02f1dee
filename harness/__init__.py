"""Changeover finds the bugs that live between two incarnations of a service."""
