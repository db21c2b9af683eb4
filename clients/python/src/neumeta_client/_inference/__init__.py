"""What stands between pictures and a network, and between its scores and a label."""
