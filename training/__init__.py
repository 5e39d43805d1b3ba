"""Trains the networks of the house: ``python -m training stylizer|painter|pixel``; see README.md."""
