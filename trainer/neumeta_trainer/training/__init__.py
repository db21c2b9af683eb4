"""Gradient steps: families of networks, and the INR that learns them."""
