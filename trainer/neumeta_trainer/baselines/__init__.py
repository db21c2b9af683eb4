"""What a manifold is compared with."""
