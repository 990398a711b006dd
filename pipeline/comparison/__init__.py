"""Verdicts: is the difference real? Works from the ledger alone."""
