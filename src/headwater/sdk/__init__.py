"""Headwater's face for programs: what services and notebooks call."""
