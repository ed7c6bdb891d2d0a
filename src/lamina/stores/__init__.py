"""Where store paths come from: edges, so files and databases are opened here.

Invariant: a store answers from what it can check; what it cannot open or understand raises `StoreError`.
"""
