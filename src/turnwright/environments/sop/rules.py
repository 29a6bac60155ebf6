"""The rules of public SOP-Bench procedures as scripts that solve their tasks through the tools.

``solve_referral_abuse`` reads its procedure literally. The others also hold rules that the procedure leaves open and
that were inferred from the labels; a label that contradicts every readable rule is left unsolved.
"""

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from turnwright.core.errors import ToolError
from turnwright.core.message import Message
from turnwright.core.task import Task
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.sop.lookups import Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRules:
    """What the rules did about one task."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    """Tool and arguments."""
    answer: Message

    def needed(self, lookups: Mapping[str, Lookup]) -> list[dict[str, Any]]:
        """Return the calls a grounded answer rests on: the tool, and the ids it has to be asked with."""
        return [
            {"tool": tool, "ids": {k: v for k, v in given.items() if k in lookups[tool].match and isinstance(v, str)}}
            for tool, given in self.calls
        ]


def play_rules(script: Script, answer: Callable[[str, Mapping[str, Any]], Any]) -> PlayedRules | None:
    """Play a script against what the tools answer; None where it breaks off, as on a table of another version."""
    calls: list[tuple[str, Mapping[str, Any]]] = []
    try:
        message = next(script)
        while message.tool_calls:
            (request,) = message.tool_calls
            arguments: Mapping[str, Any] = json.loads(request.arguments)
            calls.append((request.name, arguments))
            result = json.dumps(answer(request.name, arguments))
            message = script.send((Message(role="tool", content=result),))
    except (ToolError, KeyError, TypeError, ValueError, StopIteration):
        return None
    return PlayedRules(calls=tuple(calls), answer=message)


def solve_referral_abuse(task: Task) -> Script:
    """Solve a task by the scores of the procedure's section 5.5: 200 of 200."""
    account = _inputs(task)["account_id"]
    found = yield from _ask("investigate_account", account_id=account)
    traffic = yield from _ask("analyze_traffic_patterns", account_id=account)
    yield _answer("enforcement_action", referral_action({**found, **traffic}))


def referral_action(facts: Mapping[str, Any]) -> str:
    """Return the enforcement action for what the two tools say of an account."""
    quality, connected = facts["referral_source_quality"], facts["connected_accounts"]
    suspicious, verified = facts["order_patterns_suspicious"], facts["website_verified"]
    abusive_creation = (
        not facts["address_validity"],
        facts["email_pattern_suspicious"],
        not verified,
        connected >= 15,
        not facts["login_geographic_consistency"],
    )
    misleading_copy = (not verified, quality in ("Low", "Medium"), suspicious, facts["click_through_rate"] > 0.4)
    personal_orders = (facts["payment_method_shared"], 0 < connected < 15, suspicious, quality == "High")
    no_violation = (
        facts["address_validity"],
        not facts["email_pattern_suspicious"],
        verified,
        facts["login_geographic_consistency"],
        not facts["payment_method_shared"],
        not suspicious,
    )
    # A category that closes the account wins over any other, whatever their scores.
    if sum(abusive_creation) >= 3 or sum(misleading_copy) >= 3:
        return "Account Closure"
    return "No Action" if sum(personal_orders) >= 3 or sum(no_violation) >= 4 else "Inconclusive"


def solve_traffic_spoofing(task: Task) -> Script:
    """Solve a task by its risk level: 161 of 200, as nothing readable tells a warning from a suspension."""
    given = _inputs(task)
    risk = yield from _ask(
        "CalculateRiskScore",
        partner_id=given["partner_id"],
        violation_type=given["violation_type"],
        engagement_score=float(given["engagement_score"]),
        conversion_rate=float(given["conversion_rate"]),
    )
    # The original prints the violation "None" as a missing value.
    low = "No Action" if given["violation_type"] in ("None", "nan") else "Warning Issued"
    actions = {"High": "Account Closure", "Medium": "Temporary Suspension", "Low": low}
    yield _answer("enforcement_action", actions[risk])


def solve_customer_service(task: Task) -> Script:
    """Solve a task by the procedure and the rules its labels imply: 156 of 156."""
    status = yield from _resolution_status(_inputs(task))
    yield _answer("final_resolution_status", status)


def _resolution_status(given: Mapping[str, str]) -> Generator[Message, tuple[Message, ...], str]:
    account = given["account_id"]
    validity = yield from _ask("validateAccount", account_id=account)
    if not validity["is account id valid"]:
        return "FAILED"
    login = yield from _ask("getAuthenticationDetails", account_id=account, is_account_id_valid=True)
    history = login["authentication records"]
    if "SUCCESS" not in (history["login_status"], history["account_recovery_status"]):
        return "FAILED"
    opened = yield from _ask(
        "createSessionAndOpenTicket", account_id=account, is_account_id_valid=True, is_authenticated=True
    )
    session = {"account_id": account, "session_token": opened["session token"]}
    state = yield from _ask("checkAccountStatus", **session)
    if state["account status"] == "TERMINATED":
        return "FAILED"
    if state["account status"] == "SUSPENDED":
        yield from _ask("checkPaymentStatus", **session)
        suspension = yield from _ask("checkAccountSuspensionStatus", **session)
        if suspension["account suspension status"] != "ACTIVE":
            return "FAILED"
    outage = yield from _ask("checkServiceAreaOutage", **session, service_area_code=given["service_area_code"])
    if outage["outage detected"]:
        return "PENDING_ACTION"
    service = {"service_type": given["service_type"], "subscribed_bandwidth": given["subscribed_bandwidth"]}
    diagnosis = yield from _ask("performTechnicalDiagnostics", **session, **service)
    repaired = yield from _ask("executeTroubleshooting", **session, root_causes=diagnosis["root causes"])
    metrics = repaired["updated service metrics"]
    if metrics["latency"] <= 100 and metrics["jitter"] <= 30:
        return "RESOLVED"
    yield from _ask(
        "createEscalation",
        session_token=opened["session token"],
        ticket_id=opened["ticket identifer"],
        metrics_improved_post_troubleshooting=False,
        escalation_required=True,
    )
    return "ESCALATED"


def _inputs(task: Task) -> dict[str, str]:
    """Return what the prompt shows, after the procedure where it holds one: one ``key: value`` per line."""
    pairs = (line.partition(": ") for line in task.prompt.rpartition("</sop>")[2].splitlines())
    return {key: value for key, _, value in pairs}


def _ask(tool: str, /, **arguments: Any) -> Generator[Message, tuple[Message, ...], Any]:
    (message,) = yield call(tool, **arguments)
    return json.loads(message.content)


def _answer(column: str, value: str) -> Message:
    return say(f"<final_output>{json.dumps({column: value})}</final_output>")
