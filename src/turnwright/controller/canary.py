"""The canary's episode: after each publication, one short reply that engine and learner both score."""

from turnwright.controller.components import Components
from turnwright.core.episode import EpisodeKey
from turnwright.inference.base import GenerationRequest
from turnwright.learner.canary import CANARY_TEMPERATURE, require_same_weights

CANARY_TOKENS = 16


async def compare_weights(components: Components, version: int) -> float:
    """Return the largest gap in log-probability between engine and learner on a reply under the version just published.

    Raises SamplerMismatchError when the engine samples from other weights than the learner's.
    """
    task = next(iter(components.validation_tasks or components.train_tasks))
    environment = components.prototype.for_episode()
    environment.open(task, 0)
    try:
        prompt = components.renderer.prompt_ids(environment.opening(), environment.tool_specs())
    finally:
        environment.close()
    key = EpisodeKey(task_id=f"canary {task.id}", attempt=version)
    components.engine.open_episode(key)
    try:
        request = GenerationRequest(
            key=key,
            turn=0,
            prompt_token_ids=prompt,
            shared_prefix_length=len(prompt) // 2,
            max_tokens=CANARY_TOKENS,
            temperature=CANARY_TEMPERATURE,
        )
        generation = await components.engine.generate(request)
    finally:
        components.engine.close_episode(key)
    return require_same_weights(components.policy, prompt, generation.token_ids, generation.logprobs)
