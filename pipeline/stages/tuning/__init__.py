"""What the tune stage is made of: the space, one trial's training, the study in Optuna, budget curves."""
