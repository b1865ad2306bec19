"""What is made of rendered people: pictures, crops, cut-outs, frames, clips, and their shards.

:mod:`.studio` draws one person, :mod:`.frames` and :mod:`.clips` several or moving; :mod:`.write`
makes shards of them.
"""
