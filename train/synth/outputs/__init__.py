"""What is made of rendered people: pictures, crops, cut-outs, frames, clips, and their shards.

:mod:`.write` is the command ``python -m train.synth write``.
"""
