"""Facts about public SOP-Bench domains: what their tools match and return, and their rules where these can be read.

Nothing of the benchmark itself is here, neither rows nor text: a user points at an own checkout.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from turnwright.core.task import Task
from turnwright.environments.scripts import Script, call, say
from turnwright.environments.sop_folder import Cell, CellType, Lookup


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a domain's folder leaves unsaid."""

    typical_turns: int
    lookups: tuple[Lookup, ...]
    solve: Callable[[Task], Script] | None = None
    """The rules of its procedure, read literally, as a script."""


def _cells(**types: CellType) -> dict[str, Cell]:
    """Return cells whose key in the answer is their column."""
    return {column: Cell(column=column, type=type_) for column, type_ in types.items()}


ACCOUNT = _cells(account_id="string")

REFERRAL_ABUSE_V1 = (
    Lookup(
        tool="investigate_account",
        match=ACCOUNT,
        returns=_cells(
            account_id="string",
            address_validity="boolean",
            email_pattern_suspicious="boolean",
            website_verified="boolean",
            business_description="string",
            account_status="string",
            connected_accounts="integer",
            login_geographic_consistency="boolean",
        ),
    ),
    Lookup(
        tool="analyze_traffic_patterns",
        match=ACCOUNT,
        returns=_cells(
            account_id="string",
            revenue_amount="number",
            click_through_rate="number",
            page_views="number",
            device_distribution="string",
            referral_source_quality="string",
            payment_method_shared="boolean",
            order_patterns_suspicious="boolean",
        ),
    ),
    Lookup(
        tool="determine_enforcement_action",
        match=ACCOUNT,
        constants={
            "Abusive Account Creation": "Account Closure",
            "Misleading Ad Copy": "Account Closure",
            "Personal Orders (Related)": "No Action",
            "No Violation": "No Action",
        },
    ),
)


def solve_referral_abuse(task: Task) -> Script:
    """Solve a task by the scores of the procedure's section 5.5."""
    account = task.prompt.removeprefix("account_id: ")
    (found,) = yield call("investigate_account", account_id=account)
    (traffic,) = yield call("analyze_traffic_patterns", account_id=account)
    action = referral_action({**json.loads(found.content), **json.loads(traffic.content)})
    yield say(f"<final_output>{json.dumps({'enforcement_action': action})}</final_output>")


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


DOMAINS: Mapping[str, Domain] = {
    "referral_abuse_detection_v1": Domain(typical_turns=4, lookups=REFERRAL_ABUSE_V1, solve=solve_referral_abuse),
}
