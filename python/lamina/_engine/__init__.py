"""What lies between layers and the compiled engine: variables, ops, networks."""
