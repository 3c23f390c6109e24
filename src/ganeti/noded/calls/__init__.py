"""The rows of the wire table, one module a subject; each has CALLS and the adapters its rows need."""
