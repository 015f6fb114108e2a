"""Background: faint light that fills the cells behind every pattern."""

import numpy as np

from hpa.data.synthesis.scene import Scene
from hpa.data.synthesis.textures import smooth_noise


def draw_background(rng: np.random.Generator, scene: Scene, *, over_nucleus: float) -> np.ndarray:
    """Draw a granular, cloudy cytosol in about [0,1]; `over_nucleus` is its factor over nuclei."""
    grain = smooth_noise(rng, scene.size, rng.uniform(0.08, 0.25) * scene.radius_px)
    cloud = smooth_noise(rng, scene.size, rng.uniform(0.5, 1.2) * scene.radius_px)
    texture = np.minimum(np.exp(rng.uniform(0.1, 0.6) * grain + 0.18 * cloud), 2.2)
    even = rng.uniform(0.15, 1.0)
    slope = even + (1 - even) * np.exp(-scene.halo / rng.uniform(0.5, 1.5))
    return scene.thickness * slope * texture * (1 - (1 - over_nucleus) * scene.nucleus)
