"""How networks are measured: protocol, frozen set, claims of the method, reports.

Nothing is trained here, and nothing here chooses a network.
"""
