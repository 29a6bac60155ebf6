"""Slots: which request gets which lane, and whose history makes room.

    queued request --its episode has an idle lane--> the one that holds most of its prompt
                   --a slot is free----------------> a new lane
                   --some lane is idle-------------> a new lane in the slot of the one that is idle longest
                   --otherwise---------------------> waits

Called on the event loop between passes; only ``retire`` may come during one.
"""

import heapq

from turnwright.inference.local_sequences import ActiveRequest, EngineCounters, Lane, common_length

SHORTEST_SHARED_PREFIX = 16
"""Below this many ids a shared prefix costs more bookkeeping than it saves."""


class Slots:
    """Owns the lanes of all open episodes; there are never more than slots."""

    def __init__(self, num_slots: int, counters: EngineCounters) -> None:
        """Start with all slots free.

        Args:
            num_slots: Slots of the cache.
            counters: Where evictions and ids fed again are counted.
        """
        self.free = list(range(num_slots))
        """A heap: the lowest free slot is taken first."""
        self._lanes: dict[int, Lane] = {}
        self._retired: list[Lane] = []
        self._counters = counters
        self._clock = 0

    @property
    def lanes(self) -> list[Lane]:
        """All lanes, in order of their slots."""
        return [self._lanes[slot] for slot in sorted(self._lanes)]

    def place(self, queue: list[ActiveRequest]) -> list[ActiveRequest]:
        """Give lanes to requests, in order; return those that must wait."""
        # Idle lanes first, so that no history is evicted for one request right before another asks for it.
        waiting = [active for active in queue if not self._resume(active)]
        for number, active in enumerate(waiting):
            slot = self._take_slot()
            if slot is None:
                return waiting[number:]
            evicted = active.episode.evicted
            lane = Lane(episode=active.episode, slot=slot, lost_tokens=evicted.pop() if evicted else 0)
            active.episode.lanes.append(lane)
            self._lanes[slot] = lane
            self._plan(lane, active)
        return []

    def leave(self, lane: Lane) -> None:
        """Make a lane idle; it keeps what it holds."""
        self._clock += 1
        lane.last_used = self._clock
        lane.active = None

    def retire(self, lane: Lane, *, in_pass: bool) -> None:
        """Take a lane away from its episode.

        Args:
            lane: What it holds is forgotten.
            in_pass: A pass may be writing to the slot: it is free after ``settle``.
        """
        lane.episode.lanes.remove(lane)
        del self._lanes[lane.slot]
        if in_pass:
            self._retired.append(lane)
        else:
            heapq.heappush(self.free, lane.slot)

    def settle(self) -> None:
        """Free the slots of lanes that were retired during the pass that has ended."""
        for lane in self._retired:
            heapq.heappush(self.free, lane.slot)
        self._retired.clear()

    def void(self) -> None:
        """Forget all KV, because the weights changed: requests in work and later ones feed their ids again."""
        for lane in self._lanes.values():
            lost = len(lane.resident)
            lane.resident = []
            if lane.active is None:
                lane.lost_tokens += lost
            else:
                prompt = lane.active.request.prompt_token_ids
                lane.active.pending = [*prompt[len(lane.prefix_ids) :], *lane.active.token_ids]
                self._counters.reprefilled_tokens += lost

    def _resume(self, active: ActiveRequest) -> bool:
        idle = [lane for lane in active.episode.lanes if lane.active is None]
        if not idle:
            return False
        prompt = active.request.prompt_token_ids
        self._plan(max(idle, key=lambda lane: lane.held_start(prompt)), active)
        return True

    def _take_slot(self) -> int | None:
        if self.free:
            return heapq.heappop(self.free)
        idle = (lane for lane in self._lanes.values() if lane.active is None)
        victim = min(idle, key=lambda lane: lane.last_used, default=None)
        if victim is None:
            return None
        self.retire(victim, in_pass=False)
        victim.episode.evicted.append(len(victim.resident))
        self._counters.evictions += 1
        return heapq.heappop(self.free)

    def _plan(self, lane: Lane, active: ActiveRequest) -> None:
        """Put a request into a lane and decide which prompt ids are still to be fed, given what the slot holds."""
        prompt = active.request.prompt_token_ids
        shared = min(active.request.shared_prefix_length, len(prompt) - 1)
        prefix_ids = prompt[:shared] if shared >= SHORTEST_SHARED_PREFIX else ()
        if prefix_ids != lane.prefix_ids:
            lane.prefix_ids, lane.resident = prefix_ids, []
        own = list(prompt[len(prefix_ids) :])
        # The last id is fed in any case: the first sampled id is drawn from its logits.
        lane.resident = lane.resident[: min(common_length(lane.resident, own), len(own) - 1)]
        active.pending = own[len(lane.resident) :]
        self._counters.reprefilled_tokens += min(lane.lost_tokens, len(active.pending))
        lane.lost_tokens = 0
        lane.active = active
