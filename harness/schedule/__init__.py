"""Who goes next: options and choices, the strategies that choose, the simulation that switches."""
