"""The stored studies behind the course's verdicts: one file a question, its table beside it.

    python -m landscape_nb evidence NAME --jobs 2

makes the table NAME.jsonl anew, or goes on with it; `stored.figures(NAME)` says what it shows.
"""
