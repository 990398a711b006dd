"""Tables of raw columns: from a file, or from OpenML, to a dataset, and to raw columns for prediction."""
