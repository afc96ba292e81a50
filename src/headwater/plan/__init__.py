"""Desired against actual: the difference shown, then done."""
