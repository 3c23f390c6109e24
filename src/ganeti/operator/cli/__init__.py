"""The ganeti-node command: a client of the operator's door."""
