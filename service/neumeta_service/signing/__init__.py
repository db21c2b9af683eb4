"""Signed manifests: from keys and a trust root to what a client verifies."""
