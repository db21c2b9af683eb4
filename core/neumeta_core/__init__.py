"""The manifold: file format, INR kinds, materialization, assembly, cost, spec."""
