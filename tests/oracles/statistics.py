"""Golden values for tests/statistics/golden.test.ts, made with scipy.stats.

Run: python tests/oracles/statistics.py   (writes tests/golden/statistics.json)
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

generator = np.random.default_rng(20260522)


def listed(values):
    return [float(value) for value in values]


def signed_rank(differences, **options):
    result = stats.wilcoxon(differences, zero_method="wilcox", correction=False, **options)
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    return {
        "differences": listed(differences),
        "n": int(kept.size),
        "positiveRanks": float(ranks[kept > 0].sum()),
        "pValue": float(result.pvalue),
    }


def exact_with_ties(differences):
    """All sign patterns of the tied ranks, which scipy's exact method does not cover."""
    kept = differences[differences != 0]
    ranks = stats.rankdata(np.abs(kept))
    patterns = (np.arange(2**kept.size)[:, None] >> np.arange(kept.size)) & 1
    sums = patterns @ ranks
    observed = ranks[kept > 0].sum()
    p = min(1.0, 2 * min(np.mean(sums <= observed + 1e-9), np.mean(sums >= observed - 1e-9)))
    return {"differences": listed(differences), "n": int(kept.size), "positiveRanks": float(observed), "pValue": float(p)}


def friedman(table):
    result = stats.friedmanchisquare(*table.T)
    blocks, treatments = table.shape
    return {
        "columns": [listed(column) for column in table.T],
        "statistic": float(result.statistic),
        "pValue": float(result.pvalue),
        "concordance": float(result.statistic / (blocks * (treatments - 1))),
        "meanRanks": listed(stats.rankdata(-table, axis=1).mean(axis=0)),
    }


def holm(p):
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.minimum(1, (len(p) - np.arange(len(p))) * p[order]))
    adjusted = np.empty(len(p))
    adjusted[order] = stepped
    return {"pValues": listed(p), "adjusted": listed(adjusted)}


def auc(positive, negative):
    u = stats.mannwhitneyu(positive, negative).statistic
    return {"positive": listed(positive), "negative": listed(negative), "auc": float(u / (len(positive) * len(negative)))}


def correlation(x, y, weights):
    a, b = np.repeat(x, weights), np.repeat(y, weights)
    return {
        "x": listed(x),
        "y": listed(y),
        "weights": [int(w) for w in weights],
        "pearson": float(stats.pearsonr(a, b).statistic),
        "spearman": float(stats.spearmanr(a, b).statistic),
        "kendall": float(stats.kendalltau(a, b).statistic),
    }


def main():
    tied = np.round(generator.normal(0.4, 1, 14))
    golden = {
        "scipy": scipy.__version__,
        "normal": [{"z": z, "survival": float(stats.norm.sf(z))} for z in (-3.5, -1, 0, 0.2, 1.2, 1.96, 4, 9, 30)],
        "chiSquared": [
            {"x": x, "degrees": k, "survival": float(stats.chi2.sf(x, k))}
            for k in (1, 2, 3, 7, 8, 30)
            for x in (0.0, 0.1, 1.0, 7.5, 40.0, 300.0)
        ],
        "signedRank": [
            signed_rank(generator.normal(0.3, 1, 12), method="exact"),
            signed_rank(generator.normal(0.2, 1, 50), method="exact"),
            exact_with_ties(tied),
            exact_with_ties(np.array([1.0, 1.0, -1.0, 2.0, 0.0, 0.0])),
            signed_rank(generator.normal(0.15, 1, 120), method="asymptotic"),
            signed_rank(np.round(generator.normal(0.3, 2, 200)), method="asymptotic"),
        ],
        "friedman": [
            friedman(generator.normal([0, 0.2, 0.6, 0.1], 1, (15, 4))),
            friedman(np.round(generator.normal([0, 0.5, 0.6], 1, (40, 3)))),
        ],
        "holm": [holm(np.array([0.04, 0.01, 0.3, 0.01, 0.9])), holm(generator.uniform(0, 0.1, 8))],
        "auc": [
            auc(generator.normal(1, 1, 9), generator.normal(0, 1, 13)),
            auc(np.round(generator.normal(1, 1, 30)), np.round(generator.normal(0, 1, 25))),
        ],
        "correlation": [
            correlation(generator.normal(size=20), generator.normal(size=20), np.ones(20, int)),
            correlation(
                np.round(generator.normal(size=25) * 2),
                np.round(generator.normal(size=25) * 2),
                generator.integers(0, 4, 25),
            ),
        ],
    }
    path = pathlib.Path(__file__).parent.parent / "golden" / "statistics.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")


main()
