"""Protocols that several rooms share."""
