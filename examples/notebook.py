# %% [markdown]
# Train and evaluate from a notebook, with the names of SageMaker's multi-turn trainer. Everything runs on this machine,
# each run and each evaluation in a process of its own. Start it in the repository's folder.

# %%
from turnwright import MultiTurnRLEvaluator, MultiTurnRLTrainer, api

ENVIRONMENT = "examples/orders/environment.py:Orders"
RECIPE = "examples/orders/run.toml"

# %% [markdown]
# One episode, as the oracle plays it. No model is needed.

# %%
api.print_episode(api.play(ENVIRONMENT, model="oracle"))

# %% [markdown]
# A foothold for the shipped policy. A model with skill of its own skips this.

# %%
base = api.warmstart(RECIPE, "runs/notebook-base")
print(f"foothold: {base.footholds[-1].success:.0%}")

# %% [markdown]
# Hyperparameters are checked where they are set.

# %%
trainer = MultiTurnRLTrainer(model=base.path, agent_env=ENVIRONMENT, recipe=RECIPE, base_job_name="notebook")
trainer.hyperparameters.max_steps = 8
trainer.hyperparameters.val_every = 4
print(trainer.hyperparameters.get_info("max_steps").expectation)

# %%
job = trainer.train(wait=True)
print(job.job_name, job.job_status, job.get_training_metrics()[-1]["rollout/reward/mean"])

# %% [markdown]
# The evaluator judges the checkpoint on disk on held-out tasks, by a scorer that is not the reward.

# %%
evaluator = MultiTurnRLEvaluator(
    model=trainer, dataset="test", evaluate_base_model=True, overrides={"evaluation.attempts": 2}
)
execution = evaluator.evaluate()
execution.show_results()

# %%
print("report:", api.report(job.output_path))
