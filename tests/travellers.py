"""Cells that fail in every way, in a module that other processes can import."""

import landscape_nb as ln
from landscape_nb import toys


class TwoParts(Exception):
    """Can be pickled but not unpickled: its constructor wants two arguments."""

    def __init__(self, where, why):
        super().__init__(f"{where}: {why}")


class Holds(Exception):
    """Holds what can't be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.function = (x for x in ())


class LongWinded(Exception):
    def __init__(self, a, b):
        super().__init__("long " * 10**6)


def unsolved():
    toy = toys.quadratics(1, 40, eigenvalues=[1 + 1e-6 * i for i in range(40)])
    loss = ln.EmpiricalLoss(*toy.parts)
    return ln.top_eigenpairs(loss, loss.w0, 1, 3, tol=1e-13, max_products=4)


def fails(kind):
    if kind == "not converged":
        return {"value": float(unsolved().values[0])}
    if kind == "two parts":
        raise TwoParts("layer 3", "no luck")
    if kind == "holds a generator":
        raise Holds("no luck")
    if kind == "long":
        raise LongWinded(1, 2)
    if kind == "key":
        return {"value": {}["no luck"]}
    raise ValueError("no luck")
