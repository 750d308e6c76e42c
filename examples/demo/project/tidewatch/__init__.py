"""Logs the water level of a harbour."""
