"""An agent as a program of its own, for runs of seconds: two model calls over plain HTTP, then a reward.

It imports little: a new one is started for each attempt.
"""

import http.client
import json
import os
import sys
from urllib.parse import urlsplit

VOWELS = frozenset("aeiou")


def main() -> None:
    """Play one rollout and report the share of vowels in what the policy said."""
    rollout = json.load(sys.stdin)
    messages = [{"role": "user", "content": rollout["prompt"]}]
    for question in ("And then?", None):
        reply = complete(messages)
        messages += [{"role": "assistant", "content": reply}]
        if question is not None:
            messages += [{"role": "user", "content": question}]
    said = "".join(message["content"] for message in messages if message["role"] == "assistant")
    print(json.dumps({"reward": sum(letter in VOWELS for letter in said) / max(1, len(said))}))


def complete(messages: list[dict[str, str]]) -> str:
    """Ask the policy."""
    place = urlsplit(os.environ["OPENAI_BASE_URL"])
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    body = json.dumps({"model": "default", "messages": messages})
    connection.request("POST", f"{place.path}/chat/completions", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"the gateway answered {answer.status}: {content[:500]!r}")
    return json.loads(content)["choices"][0]["message"]["content"] or ""


if __name__ == "__main__":
    main()
