"""Searches in volumes."""
