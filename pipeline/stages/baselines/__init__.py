"""Baselines: classifiers and regressors of scikit-learn as models of an experiment."""
