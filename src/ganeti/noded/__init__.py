"""The master's door: HTTPS, mutual TLS and the calls of the 3.0 protocol."""
