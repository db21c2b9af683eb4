"""What is served: manifolds by name and version, where their files lie, and how they change while requests go on."""
