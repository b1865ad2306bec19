"""What is worn or held: glasses, hats, masks, clothes, hands, things before a face.

:mod:`.wearables` is the door for the renderer.
"""
