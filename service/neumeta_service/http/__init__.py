"""HTTP itself: what goes over the wire, and what surrounds every request. The routes are beside this package."""
