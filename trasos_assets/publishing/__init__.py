"""The shop's lists for whoever is not Python: versions of plain files, and PostgreSQL, swapped in whole."""
