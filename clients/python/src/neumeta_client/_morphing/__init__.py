"""A network that changes its size while it runs: when to (pressure, ladder), and how (network, session)."""
