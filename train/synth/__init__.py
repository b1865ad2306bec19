"""Rendered people: the renderer that feeds every network of this project."""
