"""The training loop that every recipe shares: optimiser, averaging, state on disk, cards.

A recipe gives batches and losses; nothing here knows what is trained.
"""
