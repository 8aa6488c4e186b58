"""Egalitarian least cores by linear programming and then a quadratic program; writes tests/golden/interactions-core.json."""
import json
import pathlib
import random

import numpy as np
from scipy.optimize import linprog, minimize


def least_core(v, n):
    masks = range(1, 2**n - 1)
    inside = lambda s: [1.0 if s >> i & 1 else 0.0 for i in range(n)]
    worth = np.array([v[s] - v[0] for s in masks])
    rows = np.array([inside(s) for s in masks])
    total = v[-1] - v[0]
    program = linprog(
        [0.0] * n + [1.0],
        A_ub=np.hstack([-rows, -np.ones((len(rows), 1))]),
        b_ub=-worth,
        A_eq=[[1.0] * n + [0.0]],
        b_eq=[total],
        bounds=[(None, None)] * n + [(0, None)],
        method="highs",
    )
    e = program.x[n]
    found = minimize(
        lambda x: x @ x,
        program.x[:n],
        jac=lambda x: 2 * x,
        constraints=[
            {"type": "eq", "fun": lambda x: x.sum() - total, "jac": lambda x: np.ones(n)},
            {"type": "ineq", "fun": lambda x: rows @ x + e + 1e-12 - worth, "jac": lambda x: rows},
        ],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return e, found.x


random.seed(5)
cases = []
for n in (2, 3, 3, 4, 4, 5, 5, 6):
    v = [random.randint(-8, 24) / 4 for _ in range(2**n)]
    e, x = least_core(v, n)
    cases.append({"values": v, "subsidy": e, "payoffs": list(x)})
path = pathlib.Path(__file__).parent.parent / "golden" / "interactions-core.json"
path.write_text(json.dumps({"note": "subsidies to 1e-9, payoffs to 1e-5 (SLSQP)", "cases": cases}) + "\n")
