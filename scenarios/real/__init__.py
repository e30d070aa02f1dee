"""The reference exchange as real processes: one process, its records, and what rules see of it."""
