"""The optimizer with its learning-rate schedule."""

import keras


def make_optimizer(
    *, learning_rate: float, weight_decay: float, n_steps: int, warmup_fraction: float
) -> keras.optimizers.Optimizer:
    """Return AdamW under a linear warm-up and a cosine down to zero.

    Args:
        learning_rate: at the peak.
        weight_decay: decoupled, a step: each weight loses learning rate × this of itself; norms
            and biases are spared.
        n_steps: of the whole training.
        warmup_fraction: share of the steps in [0,1] in which the rate rises to its peak.

    Source: Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    warmup_steps = min(round(warmup_fraction * n_steps), n_steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=n_steps - warmup_steps,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    # Focal gradients of inner kernels are as small as 1e-7; Keras' default epsilon stops them.
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, epsilon=1e-10)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
