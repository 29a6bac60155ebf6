"""Help desk for remote access."""

import random

from turnwright import Environment, Task, ToolError, call, say, tool

ACTIONS = {"expired": "renew", "locked": "unlock", "lost_phone": "reset", "healthy": "escalate"}


class VpnHelpdesk(Environment):
    """Find out why somebody cannot connect and do what helps."""

    instructions = """A user cannot connect to the VPN.
1. Call get_account_state with the user's name.
2. State "expired": call `renew_certificate`. State "locked": call `unlock_account`.
   State "lost_phone": call `reset_authenticator`. State "healthy": do nothing.
3. End with one word: renew, unlock, reset or escalate."""
    typical_turns = 3

    def tasks(self, split):
        rng = random.Random(f"vpn;{split}")
        for n in range({"train": 44, "validation": 16, "test": 16}[split]):
            user = f"{rng.choice(['kit', 'noor', 'ola', 'pim', 'rae'])}.{split[:3]}{n}"
            data = {"user": user, "state": rng.choice([*ACTIONS])}
            yield Task(id=user, prompt=f"{user} says the VPN does not work", data=data, split=split)

    def open(self, task, seed):
        super().open(task, seed)
        self.done = set()

    @tool
    def get_account_state(self, user: str) -> str:
        """Return the state of a user's account.

        Args:
            user: The user's name.
        """
        return self._of(user, None)

    @tool
    def renew_cert(self, user: str) -> str:
        """Renew a user's certificate.

        Args:
            user: The user's name.
        """
        return self._of(user, "renew")

    @tool
    def unlock_account(self, user: str) -> str:
        """Unlock a user's account.

        Args:
            user: The user's name.
        """
        return self._of(user, "unlock")

    @tool
    def reset_authenticator(self, user: str) -> str:
        """Remove a user's second factor, so that a new one can be set.

        Args:
            user: The user's name.
        """
        return self._of(user, "reset")

    def _of(self, user, action):
        if user != self.task.data["user"]:
            raise ToolError(f"no user {user}")
        if action:
            self.done.add(action)
        return "done" if action else self.task.data["state"]

    def reward(self, episode):
        right = ACTIONS[self.task.data["state"]]
        expected = set() if right == "escalate" else {right}
        return float(self.done == expected and episode.answer.strip() == right)

    def oracle(self, task):
        user = task.data["user"]
        (state,) = yield call("get_account_state", user=user)
        action = ACTIONS[state.content]
        tools = {"renew": "renew_cert", "unlock": "unlock_account", "reset": "reset_authenticator"}
        if action in tools:
            yield call(tools[action], user=user)
        yield say(action)
