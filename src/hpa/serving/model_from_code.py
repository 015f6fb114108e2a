"""Entry point of the served model: MLflow runs this file to load it ("models from code")."""

import mlflow

from hpa.serving.mlflow_model import ServedModel

mlflow.models.set_model(ServedModel())
