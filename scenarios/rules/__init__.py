"""The money rules themselves: those of market values, and those of accounts and positions."""
