"""Theory: one file an idea, in the papers' order; KG26 is increment, probes, criteria, moments.

Imports numerics. A formula of a paper is found here and nowhere else.
"""
