"""The HTTP routes: each handler knows HTTP and nothing else."""
