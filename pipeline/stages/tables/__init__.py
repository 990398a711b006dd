"""Tables from files: from a CSV or Parquet file to a dataset, and to raw columns for prediction."""
