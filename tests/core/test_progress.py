"""What hangs is named, once per doubling, and only that; in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from turnwright.core.progress import CURES, RUN, ProgressBoard, Stall, Watchdog, Work, working


class Clock:
    """Tells the time it is set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """A board in virtual time, and the watchdog that looks at it."""

    def __init__(self, seconds: float = 300.0) -> None:
        self.clock = Clock()
        self.board = ProgressBoard(self.clock)
        self.watchdog = Watchdog(seconds)

    def at(self, now: float) -> tuple[str, ...]:
        self.clock.now = now
        return self.watchdog.check(self.board.look(), self.board.moved, now)


def test_a_tool_that_never_returns_is_named_at_doubling_intervals():
    watch = Watch()
    watch.board.begin("tool lookup of order-4#2", "turn 3")
    said = {now: lines for now in range(0, 2500, 50) if (lines := watch.at(now))}
    assert list(said) == [300, 600, 1200, 2400]
    assert said[600] == (f"tool lookup of order-4#2 has not moved for 600 s: turn 3; {CURES['tool']}",)


def test_what_ends_in_time_is_not_named():
    watch = Watch()
    for now in range(0, 3000, 200):
        watch.clock.now = now
        watch.board.begin("engine", f"pass {now}")
        assert watch.at(now + 150) == ()
        watch.board.end("engine")
    assert watch.watchdog.message == ""


def test_many_that_hang_alike_are_one_line_that_names_the_oldest():
    watch = Watch()
    for number in range(12):
        watch.clock.now = number
        watch.board.begin(f"tool lookup of order-{number}#0", "turn 0")
    (line,) = watch.at(400)
    assert line.startswith("tool lookup of order-0#0 (and 11 more) has not moved for 400 s: turn 0; ")


def test_kinds_are_told_apart_and_the_status_has_both():
    watch = Watch()
    watch.board.begin("engine", "a pass over 8 sequences")
    watch.board.begin("learner", "micro-batch 2 of 9")
    assert len(watch.at(300)) == 2
    assert watch.watchdog.message == (
        f"engine has not moved for 300 s: a pass over 8 sequences; {CURES['engine']}; "
        f"learner has not moved for 300 s: micro-batch 2 of 9; {CURES['learner']}"
    )


def test_a_part_that_moves_again_is_said_to():
    watch = Watch()
    watch.board.begin("disk", "the metrics of step 3")
    assert len(watch.at(300)) == 1
    watch.board.end("disk")
    assert watch.at(420) == ("disk moves again, after 420 s",)
    assert watch.at(421) == ()
    assert watch.watchdog.message == ""


def test_a_new_stall_of_the_same_kind_is_said_at_once():
    watch = Watch()
    watch.board.begin("tool a of x#0", "turn 0")
    assert len(watch.at(300)) == 1
    watch.board.end("tool a of x#0")
    watch.board.begin("tool b of x#0", "turn 1")
    assert watch.at(301) == ("tool a of x#0 moves again, after 301 s",)
    (line,) = watch.at(600)
    assert line.startswith("tool b of x#0 has not moved for 300 s")


def test_a_part_that_is_looked_at_moves_when_it_says_something_else():
    watch, state = Watch(), ["call 1"]
    watch.board.watch("agent x#0", lambda: state[0] or None)
    assert watch.at(0) == ()
    state[0] = "call 2"
    assert watch.at(200) == ()
    assert watch.at(499) == ()
    (line,) = watch.at(500)
    assert line.startswith("agent x#0 has not moved for 300 s: call 2")
    state[0] = ""  # it waits for us now
    assert watch.at(501) == ("agent x#0 moves again, after 301 s",)
    assert watch.at(2000) == ()
    watch.board.end("agent x#0")
    assert watch.board.look() == {}


def test_the_run_hangs_only_when_nothing_moves():
    watch = Watch()
    watch.board.begin(RUN, "rollout of step 3")
    for now in range(0, 1000, 100):
        watch.clock.now = now
        with working(watch.board, "engine", "a pass"):
            pass
        assert watch.at(now) == ()
    assert watch.at(1100) == ()
    assert watch.at(1200) == (f"run has not moved for 300 s: rollout of step 3; {CURES[RUN]}",)


def test_a_run_that_stands_because_a_tool_does_is_not_blamed():
    watch = Watch()
    watch.board.begin(RUN, "rollout of step 3")
    watch.board.begin("tool lookup of x#0", "turn 0")
    (line,) = watch.at(300)
    assert line.startswith("tool")


def test_a_block_that_raises_leaves_the_board():
    watch = Watch()
    try:
        with working(watch.board, "disk", "a checkpoint"):
            raise OSError("full")
    except OSError:
        assert watch.board.look() == {}


def test_every_kind_has_a_cure():
    assert "stacks" in str(Stall(part="unheard-of thing", on="x", seconds=1.0))
    for kind, cure in CURES.items():
        assert cure in str(Stall(part=kind, on="x", seconds=1.0))


@given(
    st.lists(st.tuples(st.sampled_from(["engine", "tool a", "tool b", "learner"]), st.booleans(), st.floats(0, 50))),
    st.floats(10, 100),
)
def test_a_part_is_named_exactly_when_it_has_been_at_one_thing_for_the_limit(
    events: list[tuple[str, bool, float]], seconds: float
):
    watch, began = Watch(seconds), dict[str, float]()
    for part, begins, pause in events:
        now = watch.clock.now
        if begins:
            watch.board.begin(part, "x")
            began[part] = now
        else:
            watch.board.end(part)
            began.pop(part, None)
        watch.at(now + pause)
        stuck = {part.split(" ")[0] for part, since in began.items() if now + pause - since >= seconds}
        assert {stall.kind for stall in watch.watchdog.stalls} == stuck


def test_work_says_what_and_since_when():
    watch = Watch()
    watch.clock.now = 7.0
    watch.board.begin("engine", "a pass over 3 sequences")
    assert watch.board.look() == {"engine": Work(on="a pass over 3 sequences", since=7.0)}
