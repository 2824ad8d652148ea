"""Figures: one function a picture; nothing is computed here beyond what drawing needs.

Imports numerics, theory and problems. The only folder that knows matplotlib.
"""
