"""Serves members of manifolds over HTTP."""
