"""One module for each external program: its command syntax and its output."""
