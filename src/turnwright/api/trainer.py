"""MultiTurnRLTrainer: the trainer's names of Amazon SageMaker AI, over a run on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnwright.api.hyperparameters import KEYS, Hyperparameters, as_override
from turnwright.api.job import Job
from turnwright.api.naming import environment_name
from turnwright.core.errors import ConfigError
from turnwright.environments.base import Environment
from turnwright.rundir.naming import free_run_name

INSTEAD: Mapping[str, str] = {
    "mlflow_app_arn": "set overrides={'tracking.mlflow': True}, and tracking.mlflow_uri for a server",
    "mlflow_run_name": "an MLflow run has the name of its run directory: pass base_job_name",
    "s3_output_path": "pass output_path, a folder",
    "output_model_package_group": "a policy is a folder: see Job.checkpoint",
    "intermediate_checkpoint_model_package_group": "checkpoints are folders of the run: set save_every",
    "bedrock_agentcore_qualifier": "the agent is the environment's own tool loop",
    "networking": "nothing leaves this machine",
    "kms_key_arn": "files are written to this machine's disk as they are",
    "accept_eula": "accept a model's licence where you download it",
    "notifications": "use Job.wait() or Job.refresh()",
    "sagemaker_session": "there is no session: everything runs on this machine",
    "role": "there is no role: everything runs as you",
    "tags": "a run directory is a folder: name it with base_job_name",
}
"""Arguments that only make sense on AWS, and what to do here."""


class MultiTurnRLTrainer:
    """Trains a policy in an environment, in a process of its own on this machine.

    Example::

        trainer = MultiTurnRLTrainer(model="tiny", agent_env="returns_desk", recipe="examples/returns_desk/run.toml")
        trainer.hyperparameters.max_steps = 20
        job = trainer.train()
        job.get_training_metrics()[-1]["rollout/reward/mean"]
    """

    def __init__(
        self,
        model: str | Path,
        agent_env: str | type[Environment] | None = None,
        training_dataset: str | None = None,
        validation_dataset: str | None = None,
        *,
        recipe: str | Path | None = None,
        overrides: Mapping[str, Any] | Sequence[str] = (),
        output_path: str | Path = "runs",
        base_job_name: str | None = None,
        mlflow_experiment_name: str | None = None,
        **unsupported: Any,
    ) -> None:
        """Describe a run; nothing is loaded or spent yet.

        Args:
            model: Checkpoint folder, hub id, or "tiny".
            agent_env: Name or class of the environment; None = what the recipe names, such as a mixture.
            training_dataset: "train" or None: the environment's training tasks.
            validation_dataset: "validation" or None: the environment's validation tasks.
            recipe: A run.toml.
            overrides: Hyperparameters or dotted settings by name, or assignments such as "run.seed=2"; they win over
                the recipe.
            output_path: Folder for the run directory.
            base_job_name: Start of the run's name.
            mlflow_experiment_name: Mirror the run to this MLflow experiment.
            **unsupported: Arguments of the service that mean nothing here; each is refused by name.

        Raises:
            ConfigError: A value is wrong, or has no meaning on this machine.
        """
        refuse_unsupported("MultiTurnRLTrainer", unsupported)
        refuse_dataset("training_dataset", training_dataset, "train")
        refuse_dataset("validation_dataset", validation_dataset, "validation")
        settings = [as_override("model.path", str(model)), as_override("run.output_dir", str(output_path))]
        if agent_env is not None:
            settings.append(as_override("environment.name", environment_name(agent_env)))
        if mlflow_experiment_name is not None:
            settings += ["tracking.mlflow=true", as_override("tracking.mlflow_experiment", mlflow_experiment_name)]
        self._output_path = Path(output_path)
        self._base_job_name = base_job_name
        self._recipe = None if recipe is None else Path(recipe)
        self.hyperparameters = Hyperparameters(self._recipe, [*settings, *as_overrides(overrides)])
        """Checked as they are set."""
        self.latest_job: Job | None = None
        """Set by ``train``."""

    def train(self, training_dataset: str | None = None, wait: bool = True, dry_run: bool = False) -> Job | None:
        """Start the run and return its job, when it has ended if ``wait`` says so.

        ``dry_run`` checks the arguments, runs nothing and returns None.

        Raises:
            ConfigError: Values do not go together, or the run refused them.
            TurnwrightError: The run failed while it was waited for.
        """
        refuse_dataset("training_dataset", training_dataset, "train")
        self.hyperparameters.resolve()
        if dry_run:
            return None
        name = free_run_name(self._output_path)
        if self._base_job_name is not None:
            name = f"{self._base_job_name}-{name}"
        source = [] if self._recipe is None else [str(self._recipe)]
        arguments = [*source, *self.hyperparameters.settings, as_override("run.name", name)]
        self.latest_job = Job.start(self._output_path / name, arguments)
        return self.latest_job.wait() if wait else self.latest_job

    @classmethod
    def attach(cls, job_name: str, output_path: str | Path = "runs") -> Job:
        """Return the job of a run that exists."""
        return Job.get(job_name, output_path)


def as_overrides(overrides: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Return overrides as assignments; names without a section are hyperparameters."""
    if not isinstance(overrides, Mapping):
        return list(overrides)
    return [as_override(KEYS.get(name, name), value) for name, value in overrides.items()]


def refuse_unsupported(caller: str, given: Mapping[str, Any]) -> None:
    """Raise ConfigError for arguments that have no meaning here."""
    for name in given:
        if name not in INSTEAD:
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
        raise ConfigError(f"{caller}({name}=...) has no meaning on this machine: {INSTEAD[name]}")


def refuse_dataset(argument: str, given: str | None, split: str) -> None:
    """Raise ConfigError for a dataset that is not the environment's own split."""
    if given not in (None, split):
        raise ConfigError(
            f"{argument} = {given!r}: expected {split!r} or None, which take the tasks of the environment; files of "
            "tasks are not read yet, so let the environment's tasks(split) read them"
        )
