"""From a run's configuration to the settings of its learner."""

from turnwright.config import RunConfig
from turnwright.learner.batch import BatchSettings
from turnwright.learner.credit import AdvantageSettings, find_advantage
from turnwright.learner.objective import LossSettings, find_loss
from turnwright.learner.optimizer import OptimizerSettings
from turnwright.learner.passes import Passes, PassSettings
from turnwright.learner.reference import Reference
from turnwright.learner.step import StepSettings
from turnwright.models.load import load_policy
from turnwright.models.paths import is_adapter, resolve_model_path


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
    """Return how rewards become a gradient, with functions of one's own found and tried.

    Raises ConfigError when there is no function at the place that ``advantage_method`` or ``loss_fn`` gives, or it
    cannot be trained with.
    """
    algorithm = config.algorithm
    low, high = algorithm.clip_thresholds
    form = algorithm.divergence_form
    correction = algorithm.correction(max_steps_off_policy=config.async_config.max_steps_off_policy)
    return StepSettings(
        batch=BatchSettings(
            advantages=advantage_settings(config),
            aggregation=algorithm.aggregation,
            aggregation_tokens=algorithm.aggregation_tokens,
            normalise=algorithm.normalise,
            truncated=algorithm.truncated,
            updates_per_step=algorithm.updates_per_step,
        ),
        loss=LossSettings(
            loss_fn=find_loss(algorithm.loss_fn),
            clip_low_threshold=low,
            clip_high_threshold=high,
            dual_clip=algorithm.dual_clip,
            # With k1 it is a part of the reward.
            kl_coefficient=0.0 if form == "k1" else algorithm.kl_coefficient,
            kl_form="k2" if form == "k1" else form,
            entropy_coefficient=algorithm.entropy_coefficient,
            truncated_importance_cap=correction.truncated_importance_cap,
            importance_band=correction.importance_band,
        ),
        proximal=correction.proximal,
        max_staleness=config.async_config.max_steps_off_policy,
        sampler_gap_warn=config.learner.sampler_gap_warn,
        sampler_kl_warn=config.learner.sampler_kl_warn,
    )


def advantage_settings(config: RunConfig) -> AdvantageSettings:
    """Return how rewards become advantages; raises ConfigError as ``step_settings`` does."""
    algorithm = config.algorithm
    return AdvantageSettings(
        method=find_advantage(algorithm.advantage_method),
        normalization=algorithm.advantage_normalization,
        gamma=algorithm.gamma,
        k=algorithm.best_of,
        k_form=algorithm.advantage_k_form,
        kl_coefficient=algorithm.kl_coefficient if algorithm.kl_placement == "reward" else 0.0,
    )


def build_reference(config: RunConfig, passes: Passes) -> Reference | None:
    """Return the policy that the run began with, to measure a divergence from; None where that has no coefficient.

    Args:
        config: The run; ``model.path`` is loaded once more, also when the run is resumed, unless new adapters began it.
        passes: Over the policy in training, whose base is the reference where it began with new adapters.
    """
    if not config.algorithm.kl_coefficient:
        return None
    if passes.policy.adapted and not is_adapter(resolve_model_path(config.model.path)):
        return Reference(passes)
    first = load_policy(config.model.path, dtype=config.model.dtype)
    first.model.requires_grad_(False)
    return Reference(Passes(first, passes.settings))
