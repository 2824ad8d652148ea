"""Studies: what runs for long or on a model of your own, saves as it goes, and is reported.

Imports everything above it and figures; never widgets or course.
"""
