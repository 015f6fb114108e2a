
# Added by make setup: lets `mlflow run .` work without conda. See README, "Compare runs".
_hpa_no_conda="$(cd "$VIRTUAL_ENV/.." && pwd)/environment/no-conda"
if command -v conda > /dev/null 2>&1 || [ -n "${CONDA_EXE:-}" ]; then
    [ "${MLFLOW_CONDA_HOME:-}" = "$_hpa_no_conda" ] && unset MLFLOW_CONDA_HOME
elif [ -z "${MLFLOW_CONDA_HOME:-}" ]; then
    export MLFLOW_CONDA_HOME="$_hpa_no_conda"
fi
unset _hpa_no_conda
