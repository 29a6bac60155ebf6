"""MultiTurnRLEvaluator: the evaluator's names of Amazon SageMaker AI, over evaluations on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from turnwright.api.hyperparameters import as_override
from turnwright.api.job import Job
from turnwright.api.naming import environment_name
from turnwright.api.tables import describe_comparison, describe_result
from turnwright.api.trainer import MultiTurnRLTrainer, as_overrides, refuse_unsupported
from turnwright.api.verbs import evaluate
from turnwright.core.errors import ConfigError
from turnwright.core.task import Split
from turnwright.environments.base import Environment
from turnwright.evaluation.compare import Comparison, compare
from turnwright.evaluation.result import EvaluationResult
from turnwright.rundir.layout import RunLayout

BASE, TUNED = "base", "tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationExecution:
    """A finished evaluation."""

    result: EvaluationResult
    base_result: EvaluationResult | None
    """Of the policy that the run started from, where asked for."""
    comparison: Comparison | None
    """Tuned minus base, paired by task; None without a base."""
    output_path: Path
    """Folder of the result and its episodes."""

    def show_results(self) -> None:
        """Print every number with its 95 % interval, and the comparison with the base."""
        console = Console(highlight=False)
        for result in filter(None, (self.base_result, self.result)):
            console.print(describe_result(result), markup=False, soft_wrap=True)
        if self.comparison is not None:
            console.print(describe_comparison(self.comparison), markup=False, soft_wrap=True)


class MultiTurnRLEvaluator:
    """Evaluates a checkpoint in a process of its own, by a scorer that is not the reward.

    Example::

        execution = MultiTurnRLEvaluator(model=trainer, dataset="test", evaluate_base_model=True).evaluate()
        execution.show_results()
    """

    def __init__(
        self,
        model: MultiTurnRLTrainer | Job | str | Path,
        dataset: str | None = None,
        evaluate_base_model: bool = False,
        *,
        agent_env: str | type[Environment] | None = None,
        recipe: str | Path | None = None,
        overrides: Mapping[str, Any] | Sequence[str] = (),
        output_path: str | Path = "runs/evaluations",
        **unsupported: Any,
    ) -> None:
        """Describe an evaluation; nothing is loaded or spent yet.

        Args:
            model: A trainer or job whose newest checkpoint is evaluated by the run's configuration, or a checkpoint
                folder, hub id or "tiny".
            dataset: Split of the environment's tasks: "test", "validation" or "train"; None = as configured.
            evaluate_base_model: Also evaluate the policy that the job started from, and compare.
            agent_env: Name or class of the environment; needed where ``model`` is no job and there is no recipe.
            recipe: A run.toml whose [environment] and [evaluation] count; None = the job's.
            overrides: Settings that win over it.
            output_path: Folder for the result where ``model`` is no job; a job keeps its own evaluations.
            **unsupported: Arguments of the service that mean nothing here; each is refused by name.

        Raises:
            ConfigError: A value is wrong, or has no meaning on this machine.
        """
        refuse_unsupported("MultiTurnRLEvaluator", unsupported)
        if dataset not in (None, *get_args(Split)):
            raise ConfigError(
                f"dataset = {dataset!r}: expected a split of the environment, 'test', 'validation' or 'train'; files "
                "of tasks are not read yet, so let the environment's tasks(split) read them"
            )
        if evaluate_base_model and not isinstance(model, MultiTurnRLTrainer | Job):
            raise ConfigError("evaluate_base_model needs a trainer or job as model: a checkpoint alone has no base")
        self._model, self._evaluate_base_model = model, evaluate_base_model
        self._recipe, self._output_path = recipe, Path(output_path)
        self._overrides = as_overrides(overrides)
        if agent_env is not None:
            self._overrides.insert(0, as_override("environment.name", environment_name(agent_env)))
        if dataset is not None:
            self._overrides.append(as_override("evaluation.split", dataset))

    def evaluate(self) -> EvaluationExecution:
        """Evaluate and return when it is done.

        Raises:
            ConfigError: The evaluator's process refused its input.
            TurnwrightError: It failed, or the job has no policy to evaluate.
        """
        job = self._job()
        if job is None:
            checkpoint = str(self._model)
            folder = self._output_path / Path(checkpoint).name
            return self._execution(self._run(checkpoint, folder), None, folder)
        evaluations = RunLayout(job.output_path)
        folder = evaluations.evaluation(TUNED)
        base = self._run(job.base_model, evaluations.evaluation(BASE), job) if self._evaluate_base_model else None
        return self._execution(self._run(str(job.checkpoint), folder, job), base, folder)

    def _job(self) -> Job | None:
        if not isinstance(self._model, MultiTurnRLTrainer):
            return self._model if isinstance(self._model, Job) else None
        if self._model.latest_job is None:
            raise ConfigError("the trainer has not trained yet: call train() before evaluating it")
        return self._model.latest_job

    def _run(self, checkpoint: str, folder: Path, job: Job | None = None) -> EvaluationResult:
        run = job.output_path if job else None
        return evaluate(checkpoint, self._recipe, overrides=self._overrides, run=run, out=folder)

    def _execution(self, result: EvaluationResult, base: EvaluationResult | None, folder: Path) -> EvaluationExecution:
        comparison = compare(base, result) if base else None
        return EvaluationExecution(result=result, base_result=base, comparison=comparison, output_path=folder)
