"""Problems: toys with known answers, real data, the networks, and trained transformers.

Imports numerics.
"""
