"""Typed structs of what travels and what is stored; no behaviour beyond predicates."""
