"""Interface between layers and the compiled engine: variables, ops, networks."""
