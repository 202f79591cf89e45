"""Trasos Assets: a Dagster asset platform from raw shop events to recommendations and KPIs."""
