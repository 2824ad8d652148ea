"""The audit: can this loss be studied sample by sample, and are its derivatives right.

`audit` asks; `evaluations` compares values with values, `ties`, `leaves` and `missing` look at what
the loss hangs on, `differences` compares derivatives with values, `second_look` does all of it at a
moved point, `causes` finds out why, and `precision` measures what rounding leaves. No check knows a
model by its name: each sees numbers.
"""
