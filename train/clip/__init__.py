"""What CLIP says: models, prompts by hand and learnt, the face CLIP, and identity for PCO.

Used in training only; nothing here ships to a device.
"""
