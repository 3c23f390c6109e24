"""The cluster's static data on a node."""
