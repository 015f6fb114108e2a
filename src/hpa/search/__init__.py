"""The search for better hyper-parameters: a study of Optuna, its workers, and its winner."""
