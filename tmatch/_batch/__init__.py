"""Searches of many images."""
