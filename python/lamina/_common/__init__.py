"""Shared by all packages: checks, names, registries, configurations, locks."""
