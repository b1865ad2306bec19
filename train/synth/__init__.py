"""Rendered people: the renderer that feeds every network of this project.

From the ground up: figure, worn and places, then render, then outputs; no room imports one above.
:mod:`.domains` says what is drawn how often, :mod:`.chances` draws it.
"""
