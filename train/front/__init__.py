"""The front-end: the face detector and the landmark network, from cut-outs of rendered people.

:mod:`.crops` composes what they see, :mod:`.networks` are the networks, one recipe a file.
"""
