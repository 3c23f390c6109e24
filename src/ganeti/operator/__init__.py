"""The operator's door: Unix socket, REST, and the ganeti-node command."""
