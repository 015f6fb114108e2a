# Part of the stand-in for conda: MLflow sources this file, then calls `conda activate NAME`.
_hpa_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../.." && pwd)"
conda() {
    . "$_hpa_root/.venv/bin/activate"
}
