"""NumPy's and scikit-learn's side of the peers' comparison from file to file."""

import sys
import time

import numpy as np
from conversation import converse

# Rows. Both are fastest with chunks of 1 MiB, which stay in the cache.
CHUNK = 1024


def chunks(rows):
    for start in range(0, rows, CHUNK):
        yield slice(start, start + CHUNK)


def by_numpy(x, y):
    rows, columns = x.shape
    sums, squares = np.zeros(columns), np.zeros(columns)
    for part in chunks(rows):
        cells = x[part].astype(np.float64)
        sums += cells.sum(axis=0)
        squares += np.einsum("ij,ij->j", cells, cells)
    mean = sums / rows
    scale = np.sqrt(squares / rows - mean * mean).astype(np.float32)
    mean = mean.astype(np.float32)
    for part in chunks(rows):
        np.subtract(x[part], mean, out=y[part])
        y[part] /= scale


def by_scikit_learn(x, y):
    scaler = StandardScaler()
    for part in chunks(len(x)):
        scaler.partial_fit(x[part])
    for part in chunks(len(x)):
        y[part] = scaler.transform(x[part])


def answer_to(ask):
    start = time.perf_counter()
    x = np.load(ask["input"], mmap_mode="r")
    y = np.lib.format.open_memmap(ask["output"], mode="w+", dtype=x.dtype, shape=x.shape)
    standardise(x, y)
    # Unmapped, not flushed: that would sync.
    del x, y
    return {"milliseconds": (time.perf_counter() - start) * 1000}


if sys.argv[1] == "numpy":
    standardise, version = by_numpy, np.__version__
else:
    import sklearn
    from sklearn.preprocessing import StandardScaler

    standardise, version = by_scikit_learn, sklearn.__version__
converse(version, answer_to)
