"""The population: many networks of one shape class, trained as stacked tensors."""
