"""Golden interaction values from their definitions, in exact fractions; writes tests/golden/interactions.json.

Nothing here uses a closed form of the product: cardinal indices are sums of discrete derivatives, the aggregated ones sums
of those, FSII, FBII and kADD-SHAP are solved as least-squares problems by Gaussian elimination over fractions.
"""
import itertools
import json
import pathlib
import random
from fractions import Fraction as F
from math import comb, factorial


def subsets(items):
    return [c for r in range(len(items) + 1) for c in itertools.combinations(items, r)]


def mask(coalition):
    return sum(1 << i for i in coalition)


def derivative(v, s, t):
    return sum((-1) ** (len(s) - len(l)) * v[mask(t) | mask(l)] for l in subsets(s))


def cardinal(v, n, s, weight):
    rest = [i for i in range(n) if i not in s]
    return sum(weight(len(s), len(t)) * derivative(v, s, t) for t in subsets(rest))


def sii(v, n, s):
    return cardinal(v, n, s, lambda k, t: F(factorial(n - t - k) * factorial(t), factorial(n - k + 1)))


def bii(v, n, s):
    return cardinal(v, n, s, lambda k, t: F(1, 2 ** (n - k)))


def wbii(v, n, s, p):
    return cardinal(v, n, s, lambda k, t: p ** t * (1 - p) ** (n - k - t))


def chii(v, n, s):
    if not s:
        return v[0]
    return cardinal(v, n, s, lambda k, t: F(k * factorial(n - k - t) * factorial(k + t - 1), factorial(n)))


def moebius(v, n, s):
    return derivative(v, s, ())


def co_moebius(v, n, s):
    return derivative(v, s, [i for i in range(n) if i not in s])


def bernoulli(j):
    numbers = [F(1)]
    for m in range(1, j + 1):
        numbers.append(-sum(comb(m + 1, i) * numbers[i] for i in range(m)) / (m + 1))
    return numbers[j]


def k_sii(v, n, s, k):
    if not s:
        return v[0]
    return sum(
        bernoulli(len(t) - len(s)) * sii(v, n, t) for t in subsets(range(n)) if set(s) <= set(t) and len(t) <= k
    )


def stii(v, n, s, k):
    if len(s) < k:
        return moebius(v, n, s)
    return F(k, n) * cardinal(v, n, s, lambda _, t: F(1, comb(n - 1, t)))


def block(v, n, s, weight):
    rest = [i for i in range(n) if i not in s]
    return sum(weight(len(s), len(t)) * (v[mask(t) | mask(s)] - v[mask(t)]) for t in subsets(rest))


def joint(v, n, k):
    q = [F(1, sum(comb(n, s) for s in range(1, k + 1)))]
    for r in range(1, n):
        above = sum(comb(r, j) * q[j] for j in range(max(r - k, 0), r))
        q.append(above / sum(comb(n - r, s) for s in range(1, min(k, n - r) + 1)))
    return lambda s: v[0] if not s else block(v, n, s, lambda _, t: q[t])


def solve(matrix, right):
    """Gaussian elimination over fractions."""
    rows = [list(row) + [r] for row, r in zip(matrix, right)]
    size = len(rows)
    for c in range(size):
        pivot = next(r for r in range(c, size) if rows[r][c] != 0)
        rows[c], rows[pivot] = rows[pivot], rows[c]
        rows[c] = [x / rows[c][c] for x in rows[c]]
        for r in range(size):
            if r != c and rows[r][c] != 0:
                factor = rows[r][c]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[c])]
    return [row[-1] for row in rows]


def least_squares(design, weights, y, constraints):
    """Weighted least squares with equality constraints (row, value), by the optimality conditions."""
    columns = len(design[0])
    gram = [[F(0)] * columns for _ in range(columns)]
    moment = [F(0)] * columns
    for row, w, value in zip(design, weights, y):
        for a in range(columns):
            if row[a]:
                moment[a] += w * row[a] * value
                for b in range(columns):
                    gram[a][b] += w * row[a] * row[b]
    matrix = [gram[a] + [row[a] for row, _ in constraints] for a in range(columns)]
    matrix += [list(row) + [F(0)] * len(constraints) for row, _ in constraints]
    return solve(matrix, moment + [value for _, value in constraints])[:columns]


def shapley_kernel(n, t):
    return F(1, (n - 1) * comb(n - 2, t - 1))


def fsii(v, n, k):
    keys = [s for s in subsets(range(n)) if len(s) <= k]
    inside = [t for t in subsets(range(n)) if 0 < len(t) < n]
    row = lambda t: [F(int(set(s) <= set(t))) for s in keys]
    values = least_squares(
        [row(t) for t in inside],
        [shapley_kernel(n, len(t)) for t in inside],
        [v[mask(t)] for t in inside],
        [(row(()), v[0]), (row(range(n)), v[-1])],
    )
    return dict(zip(keys, values))


def fbii(v, n, k):
    keys = [s for s in subsets(range(n)) if len(s) <= k]
    every = subsets(range(n))
    design = [[F(int(set(s) <= set(t))) for s in keys] for t in every]
    return dict(zip(keys, least_squares(design, [F(1)] * len(every), [v[mask(t)] for t in every], [])))


def kadd(v, n, k):
    keys = [s for s in subsets(range(n)) if 0 < len(s) <= k]
    inside = [t for t in subsets(range(n)) if 0 < len(t) < n]
    share = lambda s, r: sum(comb(r, l) * bernoulli(s - l) for l in range(1, r + 1))
    row = lambda t: [F(share(len(s), len(set(s) & set(t)))) for s in keys]
    values = least_squares(
        [row(t) for t in inside],
        [shapley_kernel(n, len(t)) for t in inside],
        [v[mask(t)] - v[0] for t in inside],
        [(row(range(n)), v[-1] - v[0])],
    )
    return {(): v[0], **dict(zip(keys, values))}


def index_values(v, n, name, k):
    keys = [s for s in subsets(range(n)) if len(s) <= k]
    if name == "FSII":
        found = fsii(v, n, k)
    elif name == "FBII":
        found = fbii(v, n, k)
    elif name == "kADD-SHAP":
        found = kadd(v, n, k)
    else:
        value = {
            "SII": lambda s: sii(v, n, s),
            "BII": lambda s: bii(v, n, s),
            "WBII": lambda s: wbii(v, n, s, F(1, 4)),
            "CHII": lambda s: chii(v, n, s),
            "Moebius": lambda s: moebius(v, n, s),
            "Co-Moebius": lambda s: co_moebius(v, n, s),
            "k-SII": lambda s: k_sii(v, n, s, k),
            "STII": lambda s: stii(v, n, s, k),
            "JointSV": joint(v, n, k),
            "SGV": lambda s: block(v, n, s, lambda m, t: F(factorial(n - t - m) * factorial(t), factorial(n - m + 1))),
            "BGV": lambda s: block(v, n, s, lambda m, t: F(1, 2 ** (n - m))),
            "CHGV": lambda s: block(
                v, n, s, lambda m, t: F(m * factorial(n - m - t) * factorial(m + t - 1), factorial(n)) if m else F(0)
            ),
            "IGV": lambda s: block(v, n, s, lambda m, t: F(int(t == 0))),
            "EGV": lambda s: block(v, n, s, lambda m, t: F(int(t == n - m))),
        }[name]
        found = {s: value(s) for s in keys}
        if name in ("SGV", "BGV", "CHGV", "IGV", "EGV"):
            found[()] = v[0]
    return [float(found[s]) for s in keys]


NAMES = ["SII", "BII", "WBII", "CHII", "Moebius", "Co-Moebius", "k-SII", "STII", "FSII", "FBII", "kADD-SHAP", "JointSV",
         "SGV", "BGV", "CHGV", "IGV", "EGV"]


def main():
    random.seed(20260713)
    games = []
    for n in (2, 4, 6):
        v = [F(random.randint(-64, 192), 16) for _ in range(2 ** n)]
        indices = {
            name: {str(k): index_values(v, n, name, k) for k in range(1, n + 1) if n < 6 or k <= 4} for name in NAMES
        }
        games.append({"players": n, "values": [float(x) for x in v], "indices": indices})
    note = "values: v by bit mask; indices[name][order]: values by size, then lexicographically; WBII has p = 1/4"
    path = pathlib.Path(__file__).parent.parent / "golden" / "interactions.json"
    path.write_text(json.dumps({"note": note, "games": games}, separators=(",", ":")) + "\n")


main()
