"""A node of a virtual-machine cluster: doors, actions, drivers, programs, host and words (see ARCHITECTURE.md)."""
