"""Samples of the lake by person: closed under reference, without personal data, and compared with the whole."""
