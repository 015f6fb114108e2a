"""What MLflow runs to make the served model again from its code ("models from code")."""

import mlflow

from hpa.serving.mlflow_model import ServedModel

mlflow.models.set_model(ServedModel())
