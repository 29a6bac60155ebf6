"""Sections for agents that are programs of their own: how one is reached, and where it reaches the policy."""

from typing import Literal, Self

from pydantic import Field, model_validator

from turnwright.config.section import Section

AgentKind = Literal["builtin", "function", "http", "handler", "queue", "subprocess"]
ContextPolicy = Literal["none", "cap_tool_output", "drop_oldest", "summarise"]
CONTEXT_LIMITS: dict[ContextPolicy, str] = {
    "cap_tool_output": "tool_output_tokens",
    "drop_oldest": "context_tokens",
    "summarise": "context_tokens",
}
"""The limit that each way to keep a conversation short needs."""
KEPT_RESULTS = 2
TARGETS: dict[AgentKind, str] = {
    "function": "'package.module:function' or 'path/file.py:function'",
    "http": "a URL such as 'http://127.0.0.1:8080/rollout'",
    "handler": "'package.module:handler' or 'path/file.py:handler'",
    "subprocess": "a command line such as 'node agent.js'",
}
"""What ``agent.target`` means for each kind that has one."""


class Agent(Section):
    """[agent]: who talks to the policy and the tools."""

    kind: AgentKind = "builtin"
    """builtin = our tool loop over the environment's tools. The others bring their own tools and report a reward:
    a function in this process, an HTTP server, a Lambda-style handler, workers that pull from a queue, a program."""
    target: str | None = Field(default=None, min_length=1)
    """function and handler: ``package.module:name`` or ``file.py:name``; http: its URL; subprocess: a command line."""
    public_columns: list[str] = Field(default_factory=list)
    """Entries of a task's data that the agent is given in ``instance``; everything else stays hidden."""
    options: dict[str, str] = Field(default_factory=dict)
    """subprocess: environment variables of the program; http: headers of each request."""

    context_policy: ContextPolicy = "none"
    """builtin: how a conversation is kept short. none = it grows; cap_tool_output = a tool's result is cut before
    the policy sees it; drop_oldest = the oldest tool results leave; summarise = notes of the policy's replace them."""
    tool_output_tokens: int | None = Field(default=None, ge=8)
    """cap_tool_output: most tokens of a tool's result."""
    context_tokens: int | None = Field(default=None, ge=16)
    """drop_oldest and summarise: tokens of a prompt above which they act."""
    keep_results: int = Field(default=KEPT_RESULTS, ge=0)
    """drop_oldest and summarise: newest tool results that always stay."""

    @model_validator(mode="after")
    def _check_context(self) -> Self:
        needed = CONTEXT_LIMITS.get(self.context_policy)
        chosen = f"agent.context_policy = {self.context_policy!r}"
        if self.kind != "builtin" and self.context_policy != "none":
            raise ValueError(f"{chosen} has no effect with agent.kind = {self.kind!r}, which keeps its own history")
        if needed and getattr(self, needed) is None:
            raise ValueError(f"{chosen} needs agent.{needed}: tokens above which it acts")
        for name in {*CONTEXT_LIMITS.values()} - {needed}:
            if getattr(self, name) is not None:
                raise ValueError(f"agent.{name} = {getattr(self, name)} has no effect with {chosen}; remove it")
        if self.keep_results != KEPT_RESULTS and needed != "context_tokens":
            raise ValueError(f"agent.keep_results = {self.keep_results} has no effect with {chosen}; remove it")
        return self

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        expected = TARGETS.get(self.kind)
        if expected and self.target is None:
            raise ValueError(f"agent.target must say where the agent is with agent.kind = {self.kind!r}: {expected}")
        if not expected and self.target is not None:
            raise ValueError(
                f"agent.target = {self.target!r} has no effect with agent.kind = {self.kind!r}; choose one of "
                f"{', '.join(TARGETS)} or remove it"
            )
        if self.options and self.kind not in ("http", "subprocess"):
            raise ValueError(f"agent.options has no effect with agent.kind = {self.kind!r}; remove it")
        if self.public_columns and self.kind == "builtin":
            raise ValueError("agent.public_columns has no effect with agent.kind = 'builtin'; remove it")
        return self


class Gateway(Section):
    """[gateway]: the server through which agents call the policy."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; anything but loopback needs TLS or ``allow_plain_http``."""
    port: int = Field(default=0, ge=0, le=65535)
    """0 = any free port."""
    public_url: str | None = Field(default=None, min_length=1)
    """What agents are told, where they see the gateway under another name; unset = its own address."""
    tls_certificate: str | None = Field(default=None, min_length=1)
    """PEM file of the certificate chain."""
    tls_key: str | None = Field(default=None, min_length=1)
    """PEM file of the private key."""
    allow_plain_http: bool = False
    """Listen beyond loopback without TLS, where the network or a proxy protects the traffic."""
    sampling: Literal["run", "request"] = "run"
    """Whose temperature and top-p count: the run's, or those of each request where it has any."""
    require_scoped_tokens: bool = False
    """Refuse credentials that are not bound to one trajectory, such as AWS keys."""
    accept_unscoped_tokens: bool = False
    """Accept credentials that this run did not mint, on loopback only."""
    hand_out_aws_keys: bool = False
    """Give subprocess agents the run's AWS key pair in AWS's own variables, for agents that sign with AWS's SDKs. It is
    bound to the run, not to one trajectory, and hides keys of yours that the agent may need."""
    token_lifetime: float = Field(default=86400.0, gt=0)
    """Seconds for which a trajectory's token is valid."""
    max_body_mb: float = Field(default=8.0, gt=0)
    """Largest request body, in MiB."""
    max_sampled_tokens: int | None = Field(default=None, ge=1)
    """Tokens that one trajectory may sample in all; unset = no limit besides turns."""
    max_concurrent_calls: int = Field(default=16, ge=1)
    """Model calls in work at once within one trajectory."""
    calls_per_second: float = Field(default=100.0, gt=0)
    """Model calls per second within one trajectory."""
    max_waiting: int = Field(default=4096, ge=1)
    """Model calls in work or waiting over all trajectories; more are told to come again."""
    queue_lease: float = Field(default=60.0, gt=0)
    """Seconds after which a rollout that a pulling worker took is handed out again, unless it sends a heartbeat."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("gateway.tls_certificate and gateway.tls_key belong together: set both or none")
        if self.require_scoped_tokens and self.accept_unscoped_tokens:
            raise ValueError(
                "gateway.require_scoped_tokens and gateway.accept_unscoped_tokens contradict each other: set one"
            )
        return self
