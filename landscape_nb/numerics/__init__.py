"""Numerics: the loss as a function of one flat w, its derivatives, eigenpairs, minimisers.

There is no paper in here. Imports nothing of this package but numerics.
"""
