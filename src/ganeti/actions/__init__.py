"""The use cases of a node: the order of steps and their undo."""
