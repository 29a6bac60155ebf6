"""Combinations of [algorithm] settings that cannot mean what they say, each with its cure."""

from collections.abc import Iterator

from turnwright.config.training import Algorithm

PER_TURN = ("monte_carlo", "group_based_per_turn")
NORMALISABLE = ("group_based", "group_based_per_turn")


def algorithm_problems(algorithm: Algorithm) -> Iterator[str]:
    """Yield one sentence per problem: key, value, why, and the cure."""
    yield from _advantage_problems(algorithm)
    yield from _loss_problems(algorithm)


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
    if algorithm.loss_fn == "gspo" and algorithm.aggregation != "rollout":
        yield (
            f"algorithm.aggregation = {algorithm.aggregation!r} cannot hold with algorithm.loss_fn = 'gspo', which has "
            "one ratio per sequence; set algorithm.aggregation = 'rollout'"
        )
