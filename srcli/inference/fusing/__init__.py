"""Faster forms of networks for inference: merged, packed or half-precision layers."""
