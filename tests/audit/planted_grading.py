"""Claims desks with one defect each in grading, rewards, answers, splits and worlds."""

from audit.planted import Planted


def graded(name: str, code: str, where: str, *lines: str) -> Planted:
    """Return a desk whose reward is these lines, of ``text`` and the right ``label``."""
    body = "def reward(self, episode):\n    text, label = episode.answer, episode.task.data['gold']['decision']\n"
    return Planted(name=name, code=code, where=where, body=body + "".join(f"    {line}\n" for line in lines))


VALUE = "value = text.rpartition('\"decision\": \"')[2].partition('\"')[0]"

GRADERS = (
    graded("label anywhere in the text", "grader.multi_label", "reward", "return float(label in text)"),
    graded("label anywhere in the field", "grader.negation", "reward", VALUE, "return float(label in value)"),
    graded("beginning of the label", "grader.substring", "reward", VALUE, "return float(label[:3] == value[:3])"),
    graded(
        "field anywhere, reasoning too",
        "grader.thinking",
        "reward",
        "return float(('\"decision\": \"' + label + '\"') in text.partition('</think>')[0])",
    ),
    graded(
        "any of the blocks",
        "grader.two_answers",
        "reward",
        "return float(self.answer(label) in text)",
    ),
    graded(
        "JSON in any tag",
        "grader.wrong_tag",
        "reward",
        "import re",
        "found = re.fullmatch(r'<(\\w+)>(.*)</\\1>', text, re.DOTALL)",
        "try:\n        return float(bool(found) and json.loads(found[2]) == {'decision': label})",
        "except ValueError:\n        return 0.0",
    ),
    graded(
        "answers as patterns",
        "grader.pattern",
        "reward",
        "import re",
        VALUE,
        "try:\n        return float(bool(value) and bool(re.fullmatch(value, label)))",
        "except re.error:\n        return 0.0",
    ),
    graded(
        "what cannot be read is right",
        "floor.high",
        "reward",
        "try:\n        return float(json.loads(text[14:-15])['decision'] == label)",
        "except ValueError:\n        return 1.0",
        "except (KeyError, TypeError):\n        return 0.0",
    ),
    graded(
        "answers that are no JSON break it",
        "reward.breaks",
        "reward",
        "return float(json.loads(text[14:-15])['decision'] == label)",
    ),
)

REWARDS = (
    graded("points out of ten", "reward.range", "reward", "return 10.0 * (text == self.answer(label))"),
    graded(
        "a bonus for every call",
        "reward.spam",
        "'get_claim'",
        "calls = sum(len(turn.reply.tool_calls) for turn in episode.turns)",
        "return (text == self.answer(label)) + 0.01 * calls",
    ),
    graded(
        "penalty for turns that outweighs the outcome",
        "reward.order",
        "reward",
        "return (text == self.answer(label)) + 0.6 * (3 - len(episode.turns))",
    ),
    graded(
        "wrong answers earn more",
        "reward.order",
        "reward",
        "return 1.0 if text == self.answer(label) else 1.0 + 0.1 * ('\"decision\"' in text)",
    ),
)

ANSWERS = (
    Planted(
        name="another tag in the instructions",
        code="answer.untold",
        where="final_output",
        body="instructions = Claims.instructions.replace('final_output', 'final_response')",
    ),
    Planted(
        name="field that the example leaves out",
        code="answer.untold",
        where="'policy_year'",
        body=(
            "def answer(self, decision):\n"
            "    return '<final_output>' + json.dumps({'decision': decision, 'policy_year': 7}) + '</final_output>'"
        ),
    ),
    Planted(
        name="one label nearly everywhere",
        code="data.majority",
        where="pay",
        body=(
            "def task_of(self, split, index):\n"
            "    task = Claims.task_of(self, split, index)\n"
            "    if index:\n"
            "        task.data.update(amount=1, limit=2, lapsed=False, gold={'decision': 'pay'})\n"
            "    return task"
        ),
    ),
)

WORLDS = (
    Planted(
        name="same rows in two splits",
        code="split.overlap",
        where="train, test",
        body=(
            "def task_of(self, split, index):\n"
            "    source = 'train' if split == 'test' and index < 3 else split\n"
            "    task = Claims.task_of(self, source, index)\n"
            "    return Task(id=f'{split}-{index}', prompt=task.prompt, data=task.data, split=split)"
        ),
    ),
    Planted(
        name="order of a set in an answer",
        code="replay.diff",
        where="-",
        body=(
            '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
            "    return {**Claims.get_claim(self, claim), 'tags': list({'fire', 'water', 'theft', 'storm', 'glass'})}"
        ),
    ),
    Planted(
        name="id that ends in the label's initial",
        code="leak.proxy",
        where="prompt field 'claim'",
        body=(
            "def task_of(self, split, index):\n"
            "    task = Claims.task_of(self, split, index)\n"
            "    letters = {'pay': 'K', 'review': 'M', 'refuse': 'T'}\n"
            "    claim = task.data['claim'] + letters[task.data['gold']['decision']]\n"
            "    return Task(id=task.id, prompt=task.prompt.replace(task.data['claim'], claim), split=split,\n"
            "                data={**task.data, 'claim': claim}, cluster=task.cluster)"
        ),
    ),
    Planted(
        name="score whose range is the label",
        code="leak.proxy",
        where="prompt field 'score'",
        body=(
            "def more_prompt(self, decision, draw):\n"
            "    low = {'pay': 0, 'review': 300, 'refuse': 600}[decision]\n"
            "    return f'\\nscore: {draw.randrange(low, low + 300)}'"
        ),
    ),
    Planted(
        name="right option listed first",
        code="leak.answer",
        where="prompt field 'options'",
        body=(
            "def more_prompt(self, decision, draw):\n"
            "    others = [other for other in ('pay', 'review', 'refuse') if other != decision]\n"
            "    draw.shuffle(others)\n"
            "    return '\\noptions: ' + ', '.join([decision, *others])"
        ),
    ),
    Planted(
        name="label in a sentence of the prompt",
        code="leak.answer",
        where="prompt",
        body=(
            "def more_prompt(self, decision, draw):\n"
            "    return f'\\nLast year a claim like this one ended with {decision} after a while.'"
        ),
    ),
    Planted(
        name="error that names the label",
        code="leak.tool",
        where="'get_claim'",
        body=(
            "def find(self, name, value):\n"
            "    if self.task.data[name] != value:\n"
            '        raise ToolError(f\'expected the claim to {self.task.data["gold"]["decision"]}\')\n'
            "    return self.task.data"
        ),
    ),
    Planted(
        name="unknown ids break the tool",
        code="tool.breaks",
        where="'get_claim', argument 'claim'",
        body=(
            '@tool\ndef get_claim(self, claim: str) -> dict:\n    """Return a claim."""\n'
            "    return {self.task.data['claim']: Claims.get_claim(self, self.task.data['claim'])}[claim]"
        ),
    ),
    Planted(
        name="program started by a tool",
        code="hermetic.process",
        where="claims.py:",
        body=(
            "def open(self, task, seed):\n    super().open(task, seed)\n"
            "    import subprocess\n    subprocess.run(['true'], check=True)"
        ),
    ),
    Planted(
        name="journal beside the code",
        code="hermetic.write",
        where="claims.py:",
        body=(
            "def open(self, task, seed):\n    super().open(task, seed)\n"
            "    path = Path('/var/tmp/turnwright-claims.journal')\n    path.write_text(task.id)\n    path.unlink()"
        ),
    ),
)

GRADING_SUITE = (*GRADERS, *REWARDS, *ANSWERS, *WORLDS)
