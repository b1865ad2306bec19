"""Faces in images: found, observed by landmarks, followed; and where each looks.

One file a network or rule; :mod:`.pipeline` puts detector, landmarks and tracks together.
"""
