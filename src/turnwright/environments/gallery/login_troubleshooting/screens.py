"""The old system's screens: a state flows in, the text of a terminal flows out."""

from datetime import datetime

from turnwright.core.errors import ToolError
from turnwright.environments.gallery.login_troubleshooting.system import MOST_SESSIONS, LogLine, System

LINES_PER_PAGE = 7


def account_screen(system: System) -> str:
    """Return the display of an account."""
    known = system.registered
    family, given = reversed(known.name.upper().split())
    return "\n".join(
        (
            "LGN020  ACCOUNT DISPLAY",
            f"USER     {known.login:<10}  NAME    {family} {given}",
            f"STATUS   {system.status:<10}  FAILS   {system.fails:02}",
            f"PWD AGE  {system.password_days:03} DAYS    GROUPS  {','.join(system.groups)}",
            "PF3=END",
        )
    )


def token_screen(system: System) -> str:
    """Return the display of a token."""
    return "\n".join(
        (
            "TKN010  TOKEN DISPLAY",
            f"USER     {system.registered.login:<10}  SERIAL  {system.registered.serial}",
            f"SERVER STEP  {system.server_step:06}",
            f"TOKEN  STEP  {system.token_step:06}",
            "PF3=END",
        )
    )


def session_screen(system: System) -> str:
    """Return the list of sessions."""
    entries = [(terminal, "LIVE") for terminal in system.sessions]
    if system.device is not None and system.retrying:
        entries.append((system.device, "RETRY"))
    lines = [f"{number:02}  {name:<8}{kind}" for number, (name, kind) in enumerate(entries, start=1)]
    head = f"SES110  SESSION LIST  USER {system.registered.login}  LIMIT {MOST_SESSIONS:02}"
    return "\n".join((head, *(lines or ["NO ENTRIES"]), "PF3=END"))


def log_screen(system: System, page: int) -> str:
    """Return one page of the log-on journal, the latest line first; raises ToolError where there is no such page."""
    log = system.registered.log
    pages = -(-len(log) // LINES_PER_PAGE)
    if not 1 <= page <= pages:
        raise ToolError(f"LGN341 NO PAGE {page}, LAST PAGE IS {pages}")
    shown = log[(page - 1) * LINES_PER_PAGE : page * LINES_PER_PAGE]
    head = f"LGN340  LOGON JOURNAL  USER {system.registered.login}  PAGE {page:02}/{pages:02}"
    more = "PF8=NEXT PAGE" if page < pages else "PF3=END"
    return "\n".join((head, "DDMM HHMM  EVENT       SOURCE  SITE", *map(_line, shown), more))


def _line(line: LogLine) -> str:
    at = datetime.fromisoformat(line.at)
    return f"{at:%d%m %H%M}  {line.event:<10}  {line.source:<6}  {line.site}"
