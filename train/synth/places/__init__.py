"""Where people are: painted backgrounds, rooms and streets, and the light of each.

No photograph is used.
"""
