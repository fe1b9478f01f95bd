"""What all rooms build on: checks, names, registries, configurations, locks."""
