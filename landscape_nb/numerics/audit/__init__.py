"""The audit: is a model's loss one that can be studied sample by sample, with right derivatives?

`audit` asks; `evaluations` compares values with values, `leaves` and `missing` look at the graph,
`differences` compares derivatives with values, `second_look` does all of it at a moved point, and
`precision` measures what rounding leaves. No check knows a model by its name: each sees numbers.
"""
