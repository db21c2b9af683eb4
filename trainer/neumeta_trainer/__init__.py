"""Makes manifolds of trained networks."""
