"""Small environments with one realistic defect each, as bodies of a subclass of a sound claims desk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from turnwright.audit.check import check
from turnwright.audit.report import CheckReport

CLAIMS = '''
import base64, hashlib, json, os, random, secrets, socket, tempfile, threading, time, uuid
from datetime import date, datetime
from pathlib import Path
from random import Random
from turnwright.core.errors import ToolError
from turnwright.core.message import ToolSpec
from turnwright.core.task import Task
from turnwright.environments import Environment, call, say, tool
from turnwright.environments.tools import Tool

keep = []
SIZES = {"train": 24, "validation": 12, "test": 12}

def decide(amount, limit, lapsed):
    return "refuse" if lapsed else "pay" if amount <= limit else "review"

class Claims(Environment):
    """Decide a claim: read it, read its policy, apply the rule."""

    instructions = (
        "Read the claim with get_claim, then its policy with get_policy.\\n"
        "Refuse when the policy is lapsed, pay up to its limit, otherwise review.\\n"
        "Answer <final_output>{...}</final_output> with the key decision."
    )
    typical_turns = 3

    def tasks(self, split):
        return [self.task_of(split, index) for index in range(SIZES[split])]

    def task_of(self, split, index):
        draw = Random(f"{split}-{index}")
        claim, policy = f"C{draw.randrange(1000, 10000)}", f"P{draw.randrange(1000, 10000)}"
        amount, limit, lapsed = draw.randrange(50, 500), draw.randrange(100, 600), draw.random() < 0.3
        gold = {"decision": decide(amount, limit, lapsed)}
        region = draw.choice(("north", "south", "east"))
        data = {"claim": claim, "policy": policy, "amount": amount, "limit": limit, "lapsed": lapsed, "gold": gold}
        prompt = f"claim: {claim}\\nregion: {region}" + self.more_prompt(gold["decision"], draw)
        return Task(id=f"{split}-{index}", prompt=prompt, data=data, split=split, cluster=f"{split}-{index}")

    def more_prompt(self, decision, draw):
        return ""

    def find(self, name, value):
        if self.task.data[name] != value:
            raise ToolError(f"no {name} {value}")
        return self.task.data

    @tool
    def get_claim(self, claim: str) -> dict:
        """Return policy and amount of a claim."""
        data = self.find("claim", claim)
        return {"policy": data["policy"], "amount": data["amount"]}

    @tool
    def get_policy(self, policy: str) -> dict:
        """Return the limit of a policy and whether it is lapsed."""
        data = self.find("policy", policy)
        return {"limit": data["limit"], "lapsed": data["lapsed"]}

    def reward(self, episode):
        return float(episode.answer == self.answer(episode.task.data["gold"]["decision"]))

    def answer(self, decision):
        return "<final_output>" + json.dumps({"decision": decision}) + "</final_output>"

    def oracle(self, task):
        (claim,) = yield call("get_claim", claim=task.data["claim"])
        claim = json.loads(claim.content)
        (policy,) = yield call("get_policy", policy=claim["policy"])
        policy = json.loads(policy.content)
        yield say(self.answer(decide(claim["amount"], policy["limit"], policy["lapsed"])))
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One defect."""

    name: str
    code: str
    """The finding that must be there."""
    where: str
    """What the finding must name: part of its ``where``."""
    body: str
    """Body of the subclass."""


def audit_claims(folder: Path, body: str, *, num_tasks: int = 48, processes: int = 0) -> CheckReport:
    """Check a subclass of the claims desk; fresh processes cost a second and are asked for where they matter."""
    path = folder / "claims.py"
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    path.write_text(f"{CLAIMS}\n\nclass Tested(Claims):\n{lines}\n")
    return asyncio.run(check(f"{path}:Tested", num_tasks=num_tasks, processes=processes))


def found(report: CheckReport, planted: Planted) -> bool:
    """Return whether the report has the defect's code at the place of the defect."""
    return any(f.code == planted.code and planted.where in f.where for f in report.findings)


def names(planted: Sequence[Planted]) -> list[str]:
    """Return the names, as test ids."""
    return [one.name for one in planted]


def prompt_leak(name: str, code: str, where: str, expression: str) -> Planted:
    """Return a desk whose prompt ends in ``expression``, of ``decision`` and ``draw``."""
    return Planted(
        name=name, code=code, where=where, body=f"def more_prompt(self, decision, draw):\n    return {expression}"
    )


PROMPT_LEAKS = (
    prompt_leak("label among the inputs", "leak.answer", "'decision'", r"f'\ndecision: {decision}'"),
    prompt_leak(
        "label in a note", "leak.answer", "'note'", r"f'\nnote: adjuster {draw.randrange(99)} suggested {decision}.'"
    ),
    prompt_leak(
        "label in base64",
        "leak.proxy",
        "'reference'",
        r"'\nreference: ' + base64.b64encode(decision.encode()).decode()",
    ),
    prompt_leak("label reversed", "leak.proxy", "'tag'", r"f'\ntag: {decision[::-1].upper()}'"),
    prompt_leak(
        "hash of the label",
        "leak.proxy",
        "'trace'",
        r"'\ntrace: ' + hashlib.sha256(decision.encode()).hexdigest()[:12]",
    ),
    prompt_leak(
        "risk score that follows from the label",
        "leak.proxy",
        "'risk'",
        r"""'\nrisk: ' + {'pay': 'low', 'review': 'medium', 'refuse': 'high'}[decision]""",
    ),
    prompt_leak(
        "queue chosen by the label, with a little noise",
        "leak.proxy",
        "'queue'",
        r"""'\nqueue: ' + str(7 if draw.random() < 0.02 else ord(decision[2]))""",
    ),
)

TOOL_DEFECTS = (
    Planted(
        name="tool renamed, instructions not",
        code="tool.unknown_name",
        where="instructions, line 1",
        body=("instructions = Claims.instructions.replace('get_claim', 'fetch_claim')"),
    ),
    Planted(
        name="solution calls a tool that is gone",
        code="tool.unknown_name",
        where="'check_fraud'",
        body=(
            "def oracle(self, task):\n"
            "    yield call('check_fraud', claim=task.data['claim'])\n"
            "    yield from super().oracle(task)"
        ),
    ),
    Planted(
        name="number asked for where ids are text",
        code="tool.schema",
        where="'get_claim'",
        body='@tool\ndef get_claim(self, claim: int) -> dict:\n    """Return a claim."""\n    return {}',
    ),
    Planted(
        name="required argument that is not described at all",
        code="tool.schema",
        where="'get_claim'",
        body=(
            "def tools(self):\n"
            "    schema = {'type': 'object', 'properties': {}, 'required': ['claim']}\n"
            "    spec = ToolSpec(name='get_claim', description='Return a claim.', parameters=schema)\n"
            "    mine = Tool(spec=spec, function=lambda self, claim: Claims.get_claim(self, claim), strict=False)\n"
            "    return {**super().tools(), 'get_claim': mine}"
        ),
    ),
    Planted(
        name="argument that nothing speaks of",
        code="tool.schema",
        where="'get_claim'",
        body=(
            '@tool\ndef get_claim(self, x1: str) -> dict:\n    """Return a claim."""\n'
            "    return Claims.get_claim(self, x1)\n"
            "def oracle(self, task):\n"
            "    script = super().oracle(task)\n"
            "    next(script)\n"
            "    followed = yield call('get_claim', x1=task.data['claim'])\n"
            "    followed = yield script.send(followed)\n"
            "    yield script.send(followed)"
        ),
    ),
    Planted(
        name="optional argument that the tool cannot do without",
        code="tool.schema",
        where="'get_policy'",
        body=(
            "@tool\ndef get_policy(self, policy: str, year: str | None = None) -> dict:\n"
            '    """Return the limit of a policy in a year."""\n'
            "    return {**Claims.get_policy(self, policy), 'year': year.strip()}\n"
            "def oracle(self, task):\n"
            "    (claim,) = yield call('get_claim', claim=task.data['claim'])\n"
            "    yield call('get_policy', policy=task.data['policy'], year='2024')\n"
            "    yield say(self.answer(task.data['gold']['decision']))"
        ),
    ),
    Planted(
        name="tool without description",
        code="tool.schema",
        where="'ping'",
        body="@tool\ndef ping(self) -> str:\n    return 'pong'",
    ),
    Planted(
        name="stub that answers null",
        code="tool.constant",
        where="'get_history'",
        body=(
            '@tool\ndef get_history(self, claim: str) -> dict | None:\n    """Return earlier claims."""\n'
            "    return None\n"
            "def oracle(self, task):\n"
            "    yield call('get_history', claim=task.data['claim'])\n"
            "    yield from super().oracle(task)"
        ),
    ),
    Planted(
        name="service that always reports success and does nothing",
        code="tool.constant",
        where="'file_report'",
        body=(
            '@tool\ndef file_report(self, claim: str) -> dict:\n    """File a report on a claim."""\n'
            "    return {'status': 'SUCCESS'}\n"
            "def oracle(self, task):\n"
            "    yield call('file_report', claim=task.data['claim'])\n"
            "    yield from super().oracle(task)"
        ),
    ),
    Planted(
        name="tool that always refuses",
        code="tool.constant",
        where="'get_photos'",
        body=(
            '@tool\ndef get_photos(self, claim: str) -> dict:\n    """Return photos of a claim."""\n'
            "    raise ToolError('not connected')\n"
            "def oracle(self, task):\n"
            "    yield call('get_photos', claim=task.data['claim'])\n"
            "    yield from super().oracle(task)"
        ),
    ),
    Planted(
        name="amount with noise of its own",
        code="tool.random",
        where="'get_claim'",
        body=(
            '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
            "    return {**Claims.get_claim(self, claim), 'score': random.random()}"
        ),
    ),
    Planted(
        name="session id that is drawn anew",
        code="tool.random",
        where="'get_policy'",
        body=(
            '@tool\ndef get_policy(self, policy: str) -> dict:\n    """Return the limit of a policy."""\n'
            "    return {**Claims.get_policy(self, policy), 'session': str(uuid.uuid4())}"
        ),
    ),
)


def reaching_out(name: str, code: str, *lines: str) -> Planted:
    """Return a desk whose get_claim has these lines first."""
    body = '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
    body += "".join(f"    {line}\n" for line in lines) + "    return Claims.get_claim(self, claim)"
    number = CLAIMS.count("\n") + 7
    return Planted(name=name, code=code, where=f"claims.py:{number}", body=body)


HERMETIC_DEFECTS = (
    reaching_out("time of the request", "hermetic.clock", "self.asked = time.time()"),
    reaching_out("clock under a name of its own", "hermetic.clock", "self.asked = datetime.now()"),
    reaching_out("today's date", "hermetic.clock", "self.day = date.today().isoformat()"),
    reaching_out("global generator", "hermetic.random", "self.jitter = random.choice([1, 2, 3])"),
    reaching_out("generator without a seed", "hermetic.random", "self.jitter = Random().random()"),
    reaching_out("random id", "hermetic.random", "self.request = str(uuid.uuid4())"),
    reaching_out("token", "hermetic.random", "self.token = secrets.token_hex(4)"),
    reaching_out("bytes of the system", "hermetic.random", "self.salt = os.urandom(4)"),
    reaching_out(
        "service on the network",
        "hermetic.network",
        "with socket.socket() as wire: wire.connect_ex(('127.0.0.1', 9))",
    ),
    reaching_out(
        "service asked through a thread",
        "hermetic.network",
        "w = threading.Thread(target=lambda: socket.getaddrinfo('127.0.0.1', 9)); w.start(); w.join()",
    ),
)


def leaving(name: str, where: str, *lines: str) -> Planted:
    """Return a desk whose open ends in these lines, and whose close does nothing about them."""
    body = "def open(self, task, seed):\n    super().open(task, seed)\n" + "".join(f"    {line}\n" for line in lines)
    return Planted(name=name, code="isolation.leftover", where=where, body=body)


LEFTOVERS = (
    leaving("report in the working folder", "report.txt", "Path('report.txt').write_text(task.id)"),
    leaving("folder per episode that stays", "file ", "self.folder = tempfile.mkdtemp()"),
    leaving(
        "database file per episode",
        "claims.db",
        "import sqlite3",
        "db = sqlite3.connect(tempfile.gettempdir() + '/claims.db')",
        "db.execute('CREATE TABLE IF NOT EXISTS t (x)')",
        "db.close()",
    ),
    leaving(
        "thread that waits for ever",
        "thread waiter",
        "self.stop = threading.Event()",
        "threading.Thread(target=self.stop.wait, args=(2,), daemon=True, name='waiter').start()",
    ),
    leaving(
        "process that is not waited for",
        "process ",
        "import subprocess",
        "keep.append(subprocess.Popen(['sleep', '1'], start_new_session=True))",
    ),
    leaving("descriptor that is not closed", "descriptor ", "self.fd = os.open('/dev/null', os.O_RDONLY)"),
    leaving("environment variable", "CLAIMS_TASK", "os.environ['CLAIMS_TASK'] = task.id + str(seed) + str(id(self))"),
)

TOOL_LEAKS = (
    Planted(
        name="record that carries its own label",
        code="leak.tool",
        where="'get_claim'",
        body=(
            '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
            "    return {**Claims.get_claim(self, claim), 'outcome': self.task.data['gold']['decision']}"
        ),
    ),
    Planted(
        name="tool nobody needs that knows the label in capitals",
        code="leak.tool",
        where="'get_history'",
        body=(
            '@tool\ndef get_history(self, claim: str) -> str:\n    """Return what became of a claim."""\n'
            "    self.find('claim', claim)\n    return self.task.data['gold']['decision'].upper()"
        ),
    ),
    Planted(
        name="tool that verifies what the agent should find out",
        code="leak.tool",
        where="'open_case'",
        body=(
            "@tool\ndef open_case(self, claim: str, is_lapsed: bool) -> str:\n"
            '    """Open a case for a claim whose policy is lapsed or not."""\n'
            "    if is_lapsed != self.find('claim', claim)['lapsed']:\n        raise ToolError('not so')\n"
            "    return 'case ' + claim\n"
            "def oracle(self, task):\n    script = super().oracle(task)\n"
            "    followed = yield next(script)\n    followed = yield script.send(followed)\n"
            "    yield call('open_case', claim=task.data['claim'], is_lapsed=task.data['lapsed'])\n"
            "    yield script.send(followed)"
        ),
    ),
)

SLOW = Planted(
    name="tool that sleeps",
    code="cost.slow",
    where="'get_policy'",
    body=(
        '@tool\ndef get_policy(self, policy: str) -> dict:\n    """Return the limit of a policy."""\n'
        "    time.sleep(0.3)\n    return Claims.get_policy(self, policy)"
    ),
)

CLEAN = {
    "claims desk": "pass",
    "field that correlates": (
        "def more_prompt(self, decision, draw):\n"
        "    return '\\nchannel: ' + ('web' if decision == 'pay' or draw.random() < 0.5 else 'phone')"
    ),
    "labels listed in the prompt": (
        "def more_prompt(self, decision, draw):\n    return '\\nDecide one of: pay, review, refuse'"
    ),
    "tool that acts and says no more than done": (
        "def open(self, task, seed):\n    super().open(task, seed)\n    self.closed = False\n"
        '@tool\ndef close_claim(self, claim: str) -> str:\n    """Close a claim."""\n'
        "    self.find('claim', claim)\n    self.closed = True\n    return 'done'\n"
        "def reward(self, episode):\n    return super().reward(episode) * self.closed\n"
        "def oracle(self, task):\n    yield call('close_claim', claim=task.data['claim'])\n"
        "    yield from super().oracle(task)"
    ),
    "noise from the seed": (
        '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
        "    return {**Claims.get_claim(self, claim), 'score': Random(self.seed).random()}"
    ),
    "optional argument that is optional": (
        "@tool\ndef get_policy(self, policy: str, year: str = '2024') -> dict:\n"
        '    """Return the limit of a policy in a year."""\n    return Claims.get_policy(self, policy)\n'
        "def oracle(self, task):\n    yield call('get_claim', claim=task.data['claim'])\n"
        "    yield call('get_policy', policy=task.data['policy'], year='2023')\n"
        "    yield say(self.answer(task.data['gold']['decision']))"
    ),
    "duration of a step, temporary file, sockets within the machine": (
        '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
        "    started = time.monotonic()\n    with tempfile.TemporaryFile() as file:\n        file.write(b'x')\n"
        "    one, other = socket.socketpair()\n    one.close()\n    other.close()\n"
        "    self.took = time.perf_counter() - started\n    return Claims.get_claim(self, claim)"
    ),
    "date from the task": (
        '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
        "    return {**Claims.get_claim(self, claim), 'day': datetime.fromtimestamp(self.seed % 10**9).isoformat()}"
    ),
    "everything let go of": (
        "def open(self, task, seed):\n    super().open(task, seed)\n"
        "    self.folder = tempfile.TemporaryDirectory()\n"
        "    (Path(self.folder.name) / 'claim.txt').write_text(task.id)\n"
        "    self.end = threading.Event()\n"
        "    self.thread = threading.Thread(target=self.end.wait)\n    self.thread.start()\n"
        "def close(self):\n    self.end.set()\n    self.thread.join()\n    self.folder.cleanup()"
    ),
    "log that the prototype holds open, cache that fills once": (
        "def __init__(self):\n    self.log = open(os.devnull, 'w')\n    self.cache = {}\n"
        "def open(self, task, seed):\n    super().open(task, seed)\n"
        "    self.cache.setdefault(task.id, task.prompt)\n    print(task.id, file=self.log)\n"
        "def __del__(self):\n    self.log.close() if vars(self).get('log') and not hasattr(self, 'task') else None"
    ),
    "flag that must be set": (
        "@tool\ndef open_case(self, claim: str, confirm: bool) -> str:\n"
        '    """Open a case for a claim, once you confirm."""\n'
        "    if not confirm:\n        raise ToolError('confirm first')\n    return 'case ' + claim"
    ),
    "table of all labels": (
        '@tool\ndef list_decisions(self) -> dict:\n    """Return the decisions there are."""\n'
        "    return {'low': 'pay', 'high': 'review', 'lapsed': 'refuse'}"
    ),
    "procedure text from a tool without arguments": (
        '@tool\ndef get_rules(self) -> str:\n    """Return the rules."""\n    return \'Refuse what is lapsed.\'\n'
        "def oracle(self, task):\n    yield call('get_rules')\n    yield from super().oracle(task)"
    ),
    "customer's wish": (
        "def more_prompt(self, decision, draw):\n"
        "    return '\\nwish: please ' + draw.choice(('pay', 'review', 'refuse')) + ' soon'"
    ),
}
