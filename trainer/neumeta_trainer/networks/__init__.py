"""Target networks of the project's recipes: ordinary modules with nothing special to this project."""
