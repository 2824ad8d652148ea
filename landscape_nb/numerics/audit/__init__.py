"""The audit: can this loss be studied sample by sample, and are its derivatives right.

`audit` asks; `evaluations` compares values with values, `leaves` and `missing` look at the graph,
`differences` compares derivatives with values, `second_look` does all of it at a moved point, and
`precision` measures what rounding leaves. No check knows a model by its name: each sees numbers.
"""
