"""Tracking: what is logged as values, and the one writer; the only room that imports mlflow."""
