"""Pure recommender maths: tables of id strings in, tables of id strings out; no Dagster, no files, no engine state.

``ids`` and ``interactions`` turn tables into matrices, ``splits`` cuts time, ``models/`` holds one module per model
behind one interface, ``topk`` picks the best items exactly, ``metrics`` and ``evaluation`` judge, ``serving`` writes
the lists a shop shows, ``also_bought`` finds pairs of products, ``versions`` names a model by what it was made of.
"""
