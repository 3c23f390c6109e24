"""One module for each storage technology."""
