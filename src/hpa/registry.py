"""The registry's door: which registered model is champion, and the files of one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.exceptions import MlflowException

from hpa import run_store
from hpa.errors import UserError

NAME, CHAMPION = "hpa", "champion"
SCHEME = "models:/"


@contextmanager
def model_folder(source: str) -> Iterator[Path]:
    """Yield the model folder that a path or `models:/NAME@ALIAS` names; nothing in it is executed.

    A registered model is copied to a temporary folder, which the block's end removes.

    Raises:
        UserError: the registry has no such model, or the model no such folder.
    """
    if not source.startswith(SCHEME):
        yield Path(source)
        return
    mlflow.set_tracking_uri(run_store.tracking_uri())
    with TemporaryDirectory(prefix="hpa-model-") as temporary:
        try:
            copied = Path(mlflow.artifacts.download_artifacts(source, dst_path=temporary))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"the registry gives no {source}",
                expected=f"a registered model, such as {SCHEME}{NAME}@{CHAMPION}",
                received=str(error),
                remedy="name a registered model and its alias, or use the folder model",
            ) from error
        yield copied / "artifacts" / "model"
