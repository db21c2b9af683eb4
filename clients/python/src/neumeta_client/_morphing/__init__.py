"""When a network should change its size: pressures and the ladder."""
