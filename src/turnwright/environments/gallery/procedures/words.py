# ruff: noqa: SIM905 - a word list is easier to read as a line of words
"""The words of generated procedures: common short English ones, in the roles they can play."""

ENTITIES = tuple(
    "account animal bag boat book box branch bus cargo case claim crate customer deal desk device driver engine "
    "event farm field file film flight form garden guest hotel house invoice item job journey key kettle lamp lease "
    "letter line loan machine member nest note offer order owner parcel part permit plan plant player project quote "
    "repair request room route school seat sensor session ship shop site stock store table task ticket tool train "
    "trip truck unit user vendor vessel visit warehouse yard zone".split()
)
FACTS = tuple(
    "action age area band brand channel city class code color cost country date desk fee form format grade group "
    "kind label length level limit mark mode month name notice number origin page path phase place plan postage "
    "price priority queue rank rate reason region result risk role route score season shape shift side size source "
    "speed stage state status step style team term tier time tone track type value weight window".split()
)
VALUES = tuple(
    "active basic big blue bold brief broken bulky calm cheap clean clear closed cold common dark deep direct "
    "double dry early east empty even fast final firm flat fragile free fresh full gold good green grey hard heavy "
    "high hot known large late light little local long loose low main mixed narrow new next normal north odd old "
    "open outer paid paper past plain private public pure quick quiet rare raw red remote rough round safe sealed "
    "second sharp short silver simple slow small smooth soft south spare special split square steady steel strong "
    "tall thick thin tight upper urgent usual warm weak west wet white wide wild wood yellow young".split()
)
OUTPUTS = tuple(
    "accept add answer approve ask block book build buy call cancel change check clean close combine confirm copy "
    "count cover cut deliver deny drop empty exchange fast fetch fill fix fold free give hold join keep leave lift "
    "load lock mail mark mend merge move normal open order pack paid park pass pause pay pick plan plant post print "
    "pull push record refund refuse reject release rent repair reply report reset rest return review sell send "
    "share ship show sign skip slow sort split start stay stop store swap take test trade turn wait warn wash watch "
    "weigh wrap".split()
)
SYLLABLES = tuple(
    "ba da fe ga ho ju ki lo mi nu pe ra so ta vi wo xa ye zu bri cla dro fli gru ste tra plo sha".split()
)
VERBS = ("get", "find", "read", "check", "fetch", "look_up", "show", "open")
BUSY = ("busy, try again", "timeout, try again", "try again later", "temporarily busy", "not ready, retry")
OPENINGS = (
    "You are given one {entity}. Look up the facts, then decide.",
    "You work at a desk. You are given one {entity}. Find the facts first, then decide.",
    "One {entity} needs a decision. Use the tools and follow the rules.",
    "Follow this procedure for one {entity}.",
)
STEPS = (
    "Call {tool} with {which} {entity}. It gives {given}.",
    "Use {tool} with {which} {entity} to learn {given}.",
    "Ask {tool} about {which} {entity}. It tells {given}.",
)
RETRY = (
    "If a tool is busy, call it again.",
    "A tool that answers with an error may be called again.",
    "When a tool fails, try it once more.",
)
CLOSINGS = (
    "Write no answer before all facts are known. Then write exactly one line of this form:",
    "At the end answer with one line of this form:",
    "Answer in exactly this form:",
)
