"""From a run's configuration to the settings of its learner."""

from turnwright.config import RunConfig
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings
from turnwright.learner.objective import LossSettings
from turnwright.learner.optimizer import OptimizerSettings
from turnwright.learner.passes import PassSettings
from turnwright.learner.step import StepSettings


def optimizer_settings(config: RunConfig) -> OptimizerSettings:
    """Return the settings of AdamW and of its learning rate over the whole run."""
    section, updates_per_step = config.optimizer, config.algorithm.updates_per_step
    return OptimizerSettings(
        learning_rate=section.learning_rate,
        num_updates=config.schedule.max_steps * updates_per_step,
        warmup_updates=section.warmup_steps * updates_per_step,
        lr_schedule=section.lr_schedule,
        beta1=section.adam_beta1,
        beta2=section.adam_beta2,
        eps=section.adam_eps,
        weight_decay=section.adam_weight_decay,
        grad_clip_norm=section.adam_grad_clip_norm,
    )


def pass_settings(config: RunConfig) -> PassSettings:
    """Return how rows run through the policy."""
    return PassSettings(
        tokens_per_microbatch=config.learner.tokens_per_microbatch,
        layout=config.learner.layout,
        logits_memory_mb=config.learner.logits_memory_mb,
    )


def step_settings(config: RunConfig) -> StepSettings:
    """Return how rewards become a gradient."""
    algorithm = config.algorithm
    low, high = algorithm.clip_thresholds
    return StepSettings(
        batch=BatchSettings(
            advantages=AdvantageSettings(
                method=algorithm.advantage_method,
                normalization=algorithm.advantage_normalization,
                gamma=algorithm.gamma,
                k=algorithm.best_of,
                k_form=algorithm.advantage_k_form,
            ),
            aggregation=algorithm.aggregation,
            normalise=algorithm.normalise,
            truncated=algorithm.truncated,
            updates_per_step=algorithm.updates_per_step,
        ),
        loss=LossSettings(
            loss_fn=algorithm.loss_fn,
            clip_low_threshold=low,
            clip_high_threshold=high,
            dual_clip=algorithm.dual_clip,
        ),
        sampler_gap_warn=config.learner.sampler_gap_warn,
        sampler_kl_warn=config.learner.sampler_kl_warn,
    )
