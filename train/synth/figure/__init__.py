"""A rendered person: head and identity, skin, hair, poses and movement.

Meshes and paint only; drawing is in :mod:`train.synth.render`.
"""
