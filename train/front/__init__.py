"""The front end: what trains the face detector and the landmark network.

:mod:`.crops` composes what they see, :mod:`.networks` are the networks, a recipe is a file.
"""
