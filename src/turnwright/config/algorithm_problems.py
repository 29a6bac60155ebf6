"""Combinations of [algorithm] settings that cannot mean what they say, each with its cure."""

from collections.abc import Iterator

from turnwright.config.algorithm import Algorithm

PER_TURN = ("monte_carlo", "group_based_per_turn")
NORMALISABLE = ("group_based", "group_based_per_turn")


def algorithm_problems(algorithm: Algorithm, max_steps_off_policy: int) -> Iterator[str]:
    """Yield one sentence per problem: key, value, why, and the cure."""
    yield from _advantage_problems(algorithm)
    yield from _loss_problems(algorithm)
    yield from _weight_problems(algorithm)
    yield from _divergence_problems(algorithm)
    yield from _correction_problems(algorithm, max_steps_off_policy)
    yield from _filter_problems(algorithm)


def _advantage_problems(algorithm: Algorithm) -> Iterator[str]:
    method = f"algorithm.advantage_method = {algorithm.advantage_method!r}"
    if not algorithm.advantage_normalization and algorithm.advantage_method not in NORMALISABLE:
        yield (
            f"algorithm.advantage_normalization = false has no effect with {method}: only {' and '.join(NORMALISABLE)} "
            "divide by a group's deviation; remove it"
        )
    if algorithm.gamma != 1.0 and algorithm.advantage_method not in PER_TURN:
        yield (
            f"algorithm.gamma = {algorithm.gamma} has no effect with {method}: only {' and '.join(PER_TURN)} have "
            "rewards per turn; remove it"
        )
    if algorithm.advantage_method == "gpg" and algorithm.normalise == "live":
        yield (
            "algorithm.normalise = 'live' with algorithm.advantage_method = 'gpg' would make up for groups without "
            "signal twice; set algorithm.normalise = 'all'"
        )
    yield from _best_of_problems(algorithm, method)


def _best_of_problems(algorithm: Algorithm, method: str) -> Iterator[str]:
    form = algorithm.advantage_k_form
    if algorithm.advantage_method != "grpo_passk":
        for name, value, usual in (("advantage_k", algorithm.advantage_k, None), ("advantage_k_form", form, "subset")):
            if value != usual:
                yield f"algorithm.{name} = {value!r} has no effect with {method}: it is grpo_passk's; remove it"
        return
    if form == "max_minus_second" and algorithm.advantage_k is not None:
        yield (
            f"algorithm.advantage_k = {algorithm.advantage_k} has no effect with algorithm.advantage_k_form = "
            "'max_minus_second', which counts the best of the whole group; remove it"
        )
    most = algorithm.group_size - (form == "analytic")
    if algorithm.best_of > most:
        yield (
            f"algorithm.advantage_k = {algorithm.best_of} must be at most {most} with algorithm.group_size = "
            f"{algorithm.group_size} and algorithm.advantage_k_form = {form!r}; lower the first or raise group_size"
        )


def _loss_problems(algorithm: Algorithm) -> Iterator[str]:
    loss = f"algorithm.loss_fn = {algorithm.loss_fn!r}"
    if algorithm.loss_fn == "importance_sampling":
        for name in ("clip_low_threshold", "clip_high_threshold"):
            if getattr(algorithm, name) is not None:
                yield f"algorithm.{name} = {getattr(algorithm, name)} has no effect with {loss}, which clips nothing"
    if algorithm.dual_clip is not None and algorithm.loss_fn != "ppo":
        yield f"algorithm.dual_clip = {algorithm.dual_clip} has no effect with {loss}: it is ppo's; remove it"
    if algorithm.dual_clip is not None and algorithm.dual_clip <= algorithm.clip_thresholds[1]:
        yield (
            f"algorithm.dual_clip = {algorithm.dual_clip} must be above algorithm.clip_high_threshold = "
            f"{algorithm.clip_thresholds[1]}; the paper has 3"
        )
    if algorithm.loss_fn == "cispo" and algorithm.clip_low_threshold == 1.0 and not algorithm.literal_thresholds:
        yield (
            "algorithm.clip_low_threshold = 1.0 with algorithm.loss_fn = 'cispo' would raise every ratio below 1 to 1, "
            "since thresholds are absolute ratios; the paper bounds above only: remove it, or set "
            "algorithm.literal_thresholds = true"
        )
    if algorithm.literal_thresholds and (algorithm.loss_fn, algorithm.clip_low_threshold) != ("cispo", 1.0):
        yield (
            "algorithm.literal_thresholds = true has no effect without algorithm.loss_fn = 'cispo' and "
            "algorithm.clip_low_threshold = 1.0; remove it"
        )
    if algorithm.loss_fn == "gspo" and algorithm.aggregation not in ("rollout", "sequence"):
        yield (
            f"algorithm.aggregation = {algorithm.aggregation!r} cannot hold with algorithm.loss_fn = 'gspo', which has "
            "one ratio per sequence; set algorithm.aggregation = 'rollout'"
        )


def _weight_problems(algorithm: Algorithm) -> Iterator[str]:
    if algorithm.aggregation == "constant" and algorithm.aggregation_tokens is None:
        yield (
            "algorithm.aggregation = 'constant' needs algorithm.aggregation_tokens, the tokens that an attempt's sum "
            "is divided by; the paper (Dr. GRPO) takes the most a reply may have"
        )
    if algorithm.aggregation != "constant" and algorithm.aggregation_tokens is not None:
        yield (
            f"algorithm.aggregation_tokens = {algorithm.aggregation_tokens} has no effect with algorithm.aggregation = "
            f"{algorithm.aggregation!r}; remove it or set algorithm.aggregation = 'constant'"
        )


def _divergence_problems(algorithm: Algorithm) -> Iterator[str]:
    if not algorithm.kl_coefficient:
        for name, usual in (("kl_form", None), ("kl_placement", "loss")):
            value = getattr(algorithm, name)
            if value != usual:
                yield f"algorithm.{name} = {value!r} has no effect with algorithm.kl_coefficient = 0.0; set that too"
        return
    form = algorithm.divergence_form
    if algorithm.kl_placement == "loss" and form == "k1":
        yield (
            "algorithm.kl_form = 'k1' with algorithm.kl_placement = 'loss' has no effect: the gradient of k1 is 0 in "
            "expectation; set algorithm.kl_form = 'k2', or algorithm.kl_placement = 'reward'"
        )
    if algorithm.kl_placement == "reward" and form != "k1":
        yield (
            f"algorithm.kl_form = {form!r} cannot hold with algorithm.kl_placement = 'reward': only k1 in the reward "
            "has the gradient of the divergence; remove it"
        )
    if algorithm.kl_placement == "reward" and algorithm.advantage_method != "reinforce_pp":
        yield (
            f"algorithm.kl_placement = 'reward' cannot hold with algorithm.advantage_method = "
            f"{algorithm.advantage_method!r}: a reward per token is reinforce_pp's; set algorithm.kl_placement = 'loss'"
        )


def _correction_problems(algorithm: Algorithm, max_steps_off_policy: int) -> Iterator[str]:
    if algorithm.proximal == "interpolated" and max_steps_off_policy < 2:
        yield (
            "algorithm.proximal = 'interpolated' has no effect with async_config.max_steps_off_policy = "
            f"{max_steps_off_policy}: up to one step off policy it is the sampler; set algorithm.proximal = "
            "'recomputed' or 'sampler', or raise the second to at least 2"
        )
    proximal = algorithm.correction(max_steps_off_policy=max_steps_off_policy).proximal
    for name in ("truncated_importance_cap", "importance_band"):
        if getattr(algorithm, name) is not None and proximal == "sampler":
            yield (
                f"algorithm.{name} = {getattr(algorithm, name)} has no effect with algorithm.proximal = 'sampler': it "
                "weighs the proximal policy against the sampler; set algorithm.proximal = 'recomputed' (or "
                "'interpolated')"
            )
    if algorithm.truncated_importance_cap is not None and algorithm.importance_band is not None:
        yield (
            "algorithm.truncated_importance_cap and algorithm.importance_band would correct one ratio twice; set one"
        )
    band = algorithm.importance_band
    if band is not None and not 0 <= band[0] < 1 < band[1]:
        yield f"algorithm.importance_band = {list(band)} must lie around 1, its first value at least 0: [0.5, 5.0]"


def _filter_problems(algorithm: Algorithm) -> Iterator[str]:
    if algorithm.max_repeated_tokens is None:
        for name, usual in (("max_ngram_size", 30), ("max_filter_rate", 0.5)):
            if getattr(algorithm, name) != usual:
                yield (
                    f"algorithm.{name} = {getattr(algorithm, name)} has no effect without "
                    "algorithm.max_repeated_tokens; set that too"
                )
