"""Block devices: the interface, the registry and the drivers."""
