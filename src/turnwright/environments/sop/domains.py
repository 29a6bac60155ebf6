"""Facts about public SOP-Bench domains: what their tools match and what they answer.

Nothing of the benchmark itself is here, neither rows nor text: a user points at an own checkout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from turnwright.core.task import Task
from turnwright.environments.scripts import Script
from turnwright.environments.sop.lookups import Cell, CellType, Lookup
from turnwright.environments.sop.rules import solve_customer_service, solve_referral_abuse, solve_traffic_spoofing


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a domain's folder leaves unsaid."""

    typical_turns: int
    lookups: tuple[Lookup, ...]
    solve: Callable[[Task], Script]


def _cells(**types: CellType) -> dict[str, Cell]:
    """Return cells that the tool names as their column is named."""
    return {column: Cell(column=column, type=type_) for column, type_ in types.items()}


ACCOUNT = _cells(account_id="string")
SESSION = _cells(account_id="string", session_token="string")
PARTNER = _cells(partner_id="string")

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
            page_views="integer",
            device_distribution="string",
            referral_source_quality="string",
            payment_method_shared="boolean",
            order_patterns_suspicious="boolean",
        ),
    ),
    Lookup(
        tool="determine_enforcement_action",
        echo=("account_id",),
        constants={
            "enforcement_guidelines": {
                "Abusive Account Creation": "Account Closure",
                "Misleading Ad Copy": "Account Closure",
                "Personal Orders (Related)": "No Action",
                "No Violation": "No Action",
            },
            "note": "take the action of the violation that the scores lead to",
        },
        own_words=("note",),
    ),
)

TRAFFIC_SPOOFING = (
    Lookup(
        tool="InvestigateViolations",
        match=PARTNER,
        value=Cell(column="investigation_status"),
        truthy=("partner_id", "registered_websites", "earnings_amount"),
    ),
    Lookup(tool="AnalyzeTrafficPatterns", match=PARTNER, value=Cell(column="traffic_analysis_result")),
    Lookup(
        tool="ValidateReferralSources",
        match=PARTNER,
        value=Cell(column="source_verification_result"),
        truthy=("partner_id", "top_referral_source"),
    ),
    Lookup(
        tool="CalculateRiskScore",
        match=PARTNER,
        value=Cell(column="risk_level"),
        truthy=("partner_id", "violation_type"),
    ),
    Lookup(
        tool="GenerateEvidenceReport",
        match=PARTNER,
        value="SUCCESS",
        truthy=("partner_id", "violation_type", "evidence_collected"),
    ),
    Lookup(
        tool="ExecuteEnforcementAction",
        match=PARTNER,
        value="Enforcement action executed successfully",
        truthy=("partner_id", "risk_level", "violation_type"),
    ),
)

CUSTOMER_SERVICE = (
    Lookup(
        tool="validateAccount",
        match=ACCOUNT,
        returns={"is account id valid": Cell(column="is_account_id_valid", type="boolean")},
        constants={"reason": "looked up among the accounts"},
        truthy=("account_id",),
        otherwise={"is account id valid": False, "reason": "no such account"},
        own_words=("reason",),
    ),
    Lookup(
        tool="getAuthenticationDetails",
        match=_cells(account_id="string", is_account_id_valid="boolean"),
        returns={"authentication records": Cell(column="authentication_history", type="json")},
        truthy=("account_id", "is_account_id_valid"),
    ),
    Lookup(
        tool="createSessionAndOpenTicket",
        match=_cells(account_id="string", is_account_id_valid="boolean", is_authenticated="boolean"),
        # The second key is misspelled in the benchmark.
        returns={
            "session token": Cell(column="session_token", type="text"),
            "ticket identifer": Cell(column="ticket_id", type="text"),
        },
        truthy=("account_id", "is_account_id_valid", "is_authenticated"),
    ),
    Lookup(
        tool="checkAccountStatus",
        match=SESSION,
        returns={
            "account status": Cell(column="account_status", type="text"),
            "reason": Cell(column="reason_for_account_status"),
        },
        truthy=tuple(SESSION),
    ),
    Lookup(
        tool="checkPaymentStatus",
        match=SESSION,
        returns={"overdue payment status": Cell(column="overdue_payment_status")},
        truthy=tuple(SESSION),
    ),
    Lookup(
        tool="checkAccountSuspensionStatus",
        match=SESSION,
        returns={"account suspension status": Cell(column="account_suspension_status")},
        truthy=tuple(SESSION),
    ),
    Lookup(
        tool="checkServiceAreaOutage",
        match=SESSION | _cells(service_area_code="string"),
        returns={
            "outage detected": Cell(column="outage_detected", type="boolean"),
            "outage id": Cell(column="outage_id"),
            "radius miles": Cell(column="radius_miles"),
            "outage impact score": Cell(column="outage_impact_score", type="number", blank=""),
            "expected outage resolution time": Cell(column="expected_outage_resolution_time"),
        },
        truthy=(*SESSION, "service_area_code"),
    ),
    Lookup(
        tool="performTechnicalDiagnostics",
        match=SESSION | _cells(service_type="string", subscribed_bandwidth="string"),
        returns={
            "timestamp diagnostics started": Cell(column="timestamp_diagnostics_started", type="text"),
            "timestamp diagnostics completed": Cell(column="timestamp_diagnostics_completed", type="text"),
            "service metrics": Cell(column="service_metrics", type="json"),
            "root causes": Cell(column="root_causes", type="literal"),
        },
        truthy=(*SESSION, "service_type", "subscribed_bandwidth"),
    ),
    Lookup(
        tool="executeTroubleshooting",
        match=SESSION | _cells(root_causes="literal"),
        returns={
            "timestamp troubleshooting started": Cell(column="timestamp_troubleshooting_started", type="text"),
            "timestamp troubleshooting completed": Cell(column="timestamp_troubleshooting_completed", type="text"),
            "troubleshooting steps": Cell(column="troubleshooting_steps", type="literal"),
            "updated service metrics": Cell(column="service_metrics_post_troubleshooting", type="json"),
        },
        truthy=(*SESSION, "root_causes"),
    ),
    Lookup(
        tool="createEscalation",
        match=_cells(
            session_token="string",
            ticket_id="string",
            metrics_improved_post_troubleshooting="boolean",
            escalation_required="boolean",
        ),
        returns={
            "escalation ticket": Cell(column="escalation_ticket_id"),
            "escalation team": Cell(column="escalation_team"),
            "escalation reason": Cell(column="escalation_reason"),
        },
        truthy=("session_token", "ticket_id"),
    ),
)

DOMAINS: Mapping[str, Domain] = {
    "referral_abuse_detection_v1": Domain(typical_turns=4, lookups=REFERRAL_ABUSE_V1, solve=solve_referral_abuse),
    "traffic_spoofing_detection": Domain(typical_turns=7, lookups=TRAFFIC_SPOOFING, solve=solve_traffic_spoofing),
    "customer_service": Domain(typical_turns=9, lookups=CUSTOMER_SERVICE, solve=solve_customer_service),
}
