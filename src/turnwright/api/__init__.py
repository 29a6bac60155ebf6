"""The surface people script against: every verb of the command line as a function, and SageMaker's names as classes.

Synchronous throughout. Nothing heavy is loaded before a verb needs it.
"""

from turnwright.api.evaluator import EvaluationExecution, MultiTurnRLEvaluator
from turnwright.api.hyperparameters import Hyperparameters
from turnwright.api.job import Job
from turnwright.api.tables import describe_comparison, describe_result
from turnwright.api.trainer import MultiTurnRLTrainer
from turnwright.api.transcript import print_episode
from turnwright.api.verbs import baseline, check, compare, evaluate, merge, plan, play, report, train, warmstart, watch

__all__ = [
    "EvaluationExecution",
    "Hyperparameters",
    "Job",
    "MultiTurnRLEvaluator",
    "MultiTurnRLTrainer",
    "baseline",
    "check",
    "compare",
    "describe_comparison",
    "describe_result",
    "evaluate",
    "merge",
    "plan",
    "play",
    "print_episode",
    "report",
    "train",
    "warmstart",
    "watch",
]
