"""Hypervisors: the interface, the registry and the drivers."""
