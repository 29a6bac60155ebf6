"""What runs inside your agent: read a rollout request, call the policy with identity, report the reward.

It needs the standard library only; each adapter imports its framework when it is called::

    from turnwright.client import rollout_handler, serve
    from turnwright.client.adapters.openai import openai_client

    @rollout_handler
    def solve(rollout):
        reply = openai_client(rollout).chat.completions.create(
            model="default", messages=[{"role": "user", "content": rollout.prompt}]
        )
        return 1.0 if "42" in reply.choices[0].message.content else 0.0

    serve(solve, port=8080)
"""

from turnwright.client.context import RolloutExecutor, current_rollout, rollout_context, with_rollout
from turnwright.client.delivery import Backoff
from turnwright.client.errors import ClientError, FeedbackError, NoRolloutError, RolloutRequestError
from turnwright.client.feedback import AsyncFeedbackClient, FeedbackClient
from turnwright.client.handler import rollout_handler
from turnwright.client.request import Rollout
from turnwright.client.server import RolloutServer, serve
from turnwright.client.worker import work

__all__ = [
    "AsyncFeedbackClient",
    "Backoff",
    "ClientError",
    "FeedbackClient",
    "FeedbackError",
    "NoRolloutError",
    "Rollout",
    "RolloutExecutor",
    "RolloutRequestError",
    "RolloutServer",
    "current_rollout",
    "rollout_context",
    "rollout_handler",
    "serve",
    "with_rollout",
    "work",
]
