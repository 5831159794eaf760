//! The engine: what it owns, and one iteration of its loop.

use std::collections::VecDeque;
use std::mem;

use hdrhistogram::Histogram;
use tcp::conn::State;
use tcp::{Endpoint, Nanos, Time};

use crate::commit::{Backoff, Staged};
use crate::config::EngineConfig;
use crate::counters::Counters;
use crate::error::ConfigError;
use crate::events::{Progress, Received};
use crate::flow::FlowTable;
use crate::frame::{Framer, MAX_HEADERS};
use crate::lateness::Lateness;
use crate::neigh::{Action, Neighbours};
use crate::nic::{Nic, RxPiece};
use crate::occupancy::PortQueue;
use crate::pressure::Pressure;
use crate::reserve::Reserve;
use crate::route::Routes;
use crate::rx::RX_BURST;
use crate::segment::Cutter;
use crate::slot::Slot;
use crate::slots::Slots;
use crate::stamps::Stamps;
use crate::wheel::Wheel;

/// Connections that get their buffers back in one iteration.
const MAX_RECLAIMS: usize = 64;
/// Payloads returned to one connection's owner before the next one has its turn.
const MAX_RECLAIMS_EACH: usize = 64;
/// Connections woken in one iteration whose neighbour answered, or did not.
const MAX_WOKEN: usize = 256;
/// Connections looked after at a time.
pub(crate) const MAX_SETTLED: usize = 4096;
/// Neighbours looked after in one iteration.
const MAX_NEIGHBOUR_ACTIONS: usize = 32;

/// Connections that waited for one neighbour.
#[derive(Debug)]
struct Woken {
    waited: VecDeque<u32>,
    /// The neighbour, when it did not answer.
    failed: Option<u32>,
}

/// One core's loop over one NIC queue pair: connections, timers, neighbours.
///
/// It has no thread and no clock: whoever owns it calls [`poll`](Engine::poll) with the time, again and again, and
/// between the calls uses the connections. Times given to one engine must not go back.
///
/// Everything an iteration does is bounded by [`Bounds`](crate::Bounds). Nothing on the way of a byte allocates once
/// the queues have grown to their working size.
pub struct Engine<N: Nic> {
    pub(crate) nic: N,
    pub(crate) cfg: EngineConfig,
    /// The MTU in force.
    pub(crate) mtu: u16,
    pub(crate) routes: Routes,
    pub(crate) framer: Framer,
    pub(crate) cutter: Cutter,
    pub(crate) endpoint: Endpoint,
    pub(crate) slots: Slots<N>,
    pub(crate) flows: FlowTable,
    pub(crate) timers: Wheel,
    pub(crate) neighbours: Neighbours,
    pub(crate) port: PortQueue,
    /// What the port had completed before we came.
    completed_before: u64,
    pub(crate) reserve: Reserve<N::Header>,
    pub(crate) pressure: Pressure,
    pub(crate) counters: Counters,
    pub(crate) rtt: Histogram<u64>,
    iterations: Histogram<u64>,
    /// The time of the last call that brought one.
    pub(crate) now: Time,

    /// Connections that may have something to send, first come first served.
    pub(crate) run: VecDeque<u32>,
    /// Connections whose device budget is used up.
    pub(crate) parked: VecDeque<u32>,
    /// Connections that wait for room in the port's queue, first come first served.
    pub(crate) queue_waiters: VecDeque<u32>,
    /// Connections without header buffers.
    pub(crate) starved: VecDeque<u32>,
    /// Connections that changed.
    pub(crate) touched: VecDeque<u32>,
    /// Connections with something to tell.
    pub(crate) events: VecDeque<u32>,
    /// Connections with buffers to return.
    pub(crate) reclaims: VecDeque<u32>,
    /// Connections that wait for memory: for a send by reference, and for a buffer to copy into.
    pub(crate) memory_waiters: [VecDeque<u32>; 2],

    pub(crate) stamps: Stamps,
    pub(crate) staged: Vec<Staged>,
    pub(crate) staged_frames: u16,
    /// Payload bytes in them.
    pub(crate) staged_bytes: u32,
    pub(crate) backoff: Backoff,
    pub(crate) lateness: Lateness,
    pub(crate) received: Vec<RxPiece<N::Buf>>,
    /// ACKs that the frame at hand [made superfluous](crate::outrun).
    pub(crate) outrun: u32,
    pub(crate) fired: Vec<u32>,
    pub(crate) actions: Vec<Action>,
    /// Connections whose neighbour answered, or did not.
    woken: VecDeque<Woken>,
    pub(crate) refused: Vec<u32>,
    pub(crate) pieces: Vec<N::Buf>,
    /// When to ask the port next to let go of buffers.
    reclaim_at: Time,
    /// How long after that again, if it helps as little.
    reclaim_pause: Nanos,
    /// When we last told others that an address is ours.
    pub(crate) defended_at: Option<Time>,

    /// The cycle counter at the end of the last iteration, or of its first half.
    cycles: u64,
    /// The application used a connection since then.
    pub(crate) app_active: bool,
}

impl<N: Nic> Engine<N> {
    /// An engine without connections.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that makes no sense.
    pub fn new(mut nic: N, cfg: EngineConfig) -> Result<Engine<N>, ConfigError> {
        let limits = nic.limits().clone();
        cfg.check(&limits)?;
        let mut mtu = cfg.mtu.unwrap_or(limits.mtu).min(limits.mtu);
        if limits.max_chain <= 1 {
            // Without scatter-gather a whole packet lies in the header buffer.
            mtu = mtu.min(limits.header_room.saturating_sub(crate::frame::ETHERNET_LEN as u16));
        }
        if usize::from(limits.header_room) < MAX_HEADERS + 1 || mtu < crate::route::MIN_MTU {
            return Err(ConfigError::HeaderRoom { room: limits.header_room, needed: MAX_HEADERS as u16 + 1 });
        }
        let max = cfg.max_connections as usize;
        let cutter = Cutter::new(&limits);
        let routes = cfg.routes();
        let mut endpoint = cfg.endpoint.clone();
        endpoint.broadcasts.extend(routes.broadcast());
        Ok(Engine {
            mtu,
            routes,
            framer: Framer::new(&limits, nic.mac(), cfg.ttl),
            // A segment that is longer than what the device segments leaves as one frame.
            port: PortQueue::new(&limits, &cfg.device, cutter.limits().max_len.max(u32::from(mtu))),
            cutter,
            endpoint: Endpoint::new(endpoint),
            slots: Slots::new(max, cfg.working_set as usize),
            flows: FlowTable::new(max, cfg.flow_key.0),
            timers: Wheel::new(Time::ZERO, max),
            neighbours: Neighbours::new(cfg.neighbours, Time::ZERO),
            completed_before: nic.tx_completed().unwrap_or(0),
            reserve: Reserve::new(),
            pressure: Pressure::new(cfg.queued_bytes),
            counters: Counters::default(),
            rtt: histogram(),
            iterations: histogram(),
            now: Time::ZERO,
            run: VecDeque::new(),
            parked: VecDeque::new(),
            queue_waiters: VecDeque::new(),
            starved: VecDeque::new(),
            touched: VecDeque::new(),
            events: VecDeque::new(),
            reclaims: VecDeque::new(),
            memory_waiters: [VecDeque::new(), VecDeque::new()],
            stamps: Stamps::new(&nic),
            staged: Vec::with_capacity(usize::from(limits.tx_batch)),
            staged_frames: 0,
            staged_bytes: 0,
            backoff: Backoff::default(),
            lateness: Lateness::default(),
            received: Vec::with_capacity(usize::from(cfg.bounds.rx_pieces.min(RX_BURST))),
            outrun: 0,
            fired: Vec::with_capacity(usize::from(cfg.bounds.timers)),
            actions: Vec::new(),
            woken: VecDeque::new(),
            refused: Vec::new(),
            pieces: Vec::new(),
            reclaim_at: Time::ZERO,
            reclaim_pause: RECLAIM_INTERVAL,
            defended_at: None,
            cycles: nic.cycles(),
            app_active: false,
            nic,
            cfg,
        })
    }

    /// One bounded iteration: receives and processes frames, lets timers fire, sends, returns buffers.
    ///
    /// Call it again at once while [`Progress::more`] says so or the loop is busy, else at
    /// [`next_deadline`](Engine::next_deadline) or when frames arrive, whichever comes first.
    pub fn poll(&mut self, now: Time) -> Progress {
        let received = self.poll_receive(now);
        self.finish(received, self.cycles)
    }

    /// The first half of an iteration: receives and processes frames. What they mean for the application is told by
    /// [`poll_event`](Engine::poll_event) at once, and what it does about it leaves with the second half,
    /// [`poll_transmit`](Engine::poll_transmit): an answer carries the acknowledgement of its question, a FIN that of what was answered.
    /// After a whole [`poll`](Engine::poll) each of them is a frame more.
    pub fn poll_receive(&mut self, now: Time) -> Received {
        self.now = self.now.max(now);
        let start = self.nic.cycles();
        self.note_app(start);
        if self.stamps.is_on() {
            self.look_for_stamp(self.now);
        }
        let frames = self.receive();
        let now = self.now;
        self.resume(now);
        let touched = self.look_after(now);
        self.cycles = self.nic.cycles();
        self.app_active = false;
        Received { frames, touched, cycles: self.cycles.wrapping_sub(start) }
    }

    /// The second half of an iteration: lets timers fire, sends, returns buffers. Between the halves the application sees to what was
    /// received, and to nothing that takes long: acknowledgements wait for it.
    pub fn poll_transmit(&mut self, received: Received) -> Progress {
        let start = self.nic.cycles();
        self.note_app(start);
        self.finish(received, start)
    }

    /// What follows receiving, from the cycle `start` on.
    fn finish(&mut self, received: Received, start: u64) -> Progress {
        let now = self.now;
        let mut progress = Progress { received: received.frames, ..Progress::default() };
        progress.timers = self.expire(now, &mut progress.more);
        let mut touched = received.touched | self.look_after(now);
        let expired = self.nic.cycles();
        progress.sent = self.transmit(now);
        touched |= self.look_after(now);
        let sent = self.nic.cycles();
        let returned = self.complete(&mut progress.more);
        let end = self.nic.cycles();

        progress.more |= !self.touched.is_empty()
            || !self.woken.is_empty()
            || (!self.run.is_empty() && self.backoff.may_send(now));
        let (rx, timer) = (received.cycles, expired.wrapping_sub(start));
        let (tx, completion) = (sent.wrapping_sub(expired), end.wrapping_sub(sent));
        self.cycles = end;
        let c = &mut self.counters;
        if progress.is_busy() || touched || returned {
            c.iterations_busy += 1;
            c.cycles_rx_busy += rx;
            c.cycles_timer_busy += timer;
            c.cycles_tx_busy += tx;
            c.cycles_completion_busy += completion;
            self.iterations.saturating_record(rx.wrapping_add(end.wrapping_sub(start)));
        } else {
            c.iterations_idle += 1;
            c.cycles_rx_idle += rx;
            c.cycles_timer_idle += timer;
            c.cycles_tx_idle += tx;
            c.cycles_completion_idle += completion;
        }
        self.app_active = false;
        progress
    }

    /// What passed since the loop's last cycle was the application's.
    fn note_app(&mut self, start: u64) {
        let app = start.wrapping_sub(self.cycles);
        let c = &mut self.counters;
        *(if self.app_active { &mut c.cycles_app_busy } else { &mut c.cycles_app_idle }) += app;
    }

    /// When to call [`poll`](Engine::poll) at the latest, if nothing is received before: the earliest of timers,
    /// retries and work that is waiting (then a time that has passed). `None`: nothing will happen by itself.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.touched.is_empty() || !self.woken.is_empty() {
            return Some(self.now);
        }
        let run = (!self.run.is_empty()).then(|| self.backoff.retry_at().max(self.now));
        let starved = (!self.starved.is_empty()).then(|| self.reserve.retry_at().max(self.now));
        let port_bound = !self.parked.is_empty() || !self.queue_waiters.is_empty();
        let parked = port_bound.then(|| self.port.next().unwrap_or(self.now).max(self.backoff.retry_at()));
        let reclaims = if self.reclaims.is_empty() && !self.has_memory_waiters() {
            None
        } else {
            Some(self.reclaim_at.max(self.now))
        };
        [
            self.timers.next(),
            self.neighbours.next(),
            self.endpoint.next_timeout(),
            run,
            starved,
            parked,
            reclaims,
            self.stamps.next(self.now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Puts a connection on the list of those to look after, before the next iteration sends anything.
    pub(crate) fn touch(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.touched
        {
            slot.touched = true;
            self.touched.push_back(index);
        }
    }

    /// Something happened to a connection: it is asked what to send, and looked after.
    pub(crate) fn notice(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.recent = true;
        if !mem::replace(&mut slot.queued, true) {
            self.run.push_back(index);
        }
        if !mem::replace(&mut slot.touched, true) {
            self.touched.push_back(index);
        }
        self.slots.stir();
    }

    /// Puts a connection into the run queue.
    pub(crate) fn enqueue(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.queued
        {
            slot.queued = true;
            self.run.push_back(index);
        }
    }

    /// Lets timers fire; returns how many.
    fn expire(&mut self, now: Time, more: &mut bool) -> u32 {
        if self.endpoint.next_timeout().is_some_and(|t| t <= now) {
            self.endpoint.on_timer(now);
        }
        self.neighbour_timers(now);
        if self.timers.next().is_none_or(|t| t > now) {
            return 0;
        }
        let bound = usize::from(self.cfg.bounds.timers);
        let mut fired = mem::take(&mut self.fired);
        let handled = self.timers.expire(now, bound, &mut fired);
        if handled == bound {
            self.counters.timers_bounded += 1;
            *more = true;
        }
        self.counters.timers_moved += (handled - fired.len()) as u64;
        let mut due = 0;
        for index in fired.drain(..) {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            if slot.retry_at.is_some_and(|t| t <= now) {
                slot.retry_at = None;
                self.enqueue(index);
            }
            let Some(slot) = self.slots.get_mut(index) else { continue };
            match slot.conn.next_timeout() {
                Some(t) if t <= now && !slot.is_over() => {
                    self.lateness.note(now.since(t));
                    slot.conn.on_timer(now);
                    due += 1;
                    self.enqueue(index);
                }
                // The deadline moved while the entry stayed: look_after arms it anew.
                _ => self.counters.timers_moved += 1,
            }
            self.touch(index);
        }
        self.fired = fired;
        self.counters.timers_fired += u64::from(due);
        due
    }

    /// Asks for neighbours, and gives up on those that do not answer.
    fn neighbour_timers(&mut self, now: Time) {
        if self.neighbours.next().is_none_or(|t| t > now) {
            return;
        }
        let mut actions = mem::take(&mut self.actions);
        self.neighbours.expire(now, MAX_NEIGHBOUR_ACTIONS, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Request { ip, to } => {
                    if self.send_arp_request(ip, to) {
                        self.counters.arp_requests_sent += 1;
                    } else {
                        self.neighbours.not_sent(ip, now);
                    }
                }
                Action::Failed(n) => {
                    self.counters.arp_failed += 1;
                    let waited = self.neighbours.take_waiting(n);
                    self.wake(waited, Some(n));
                }
            }
        }
        self.actions = actions;
    }

    /// Connections need not wait for an address any longer: it is known, or the neighbour `failed` does not answer.
    pub(crate) fn wake(&mut self, waited: VecDeque<u32>, failed: Option<u32>) {
        if !waited.is_empty() {
            self.woken.push_back(Woken { waited, failed });
        }
    }

    /// Lets woken connections go on, a bounded number at a time.
    fn resume(&mut self, now: Time) {
        for _ in 0..MAX_WOKEN {
            let Some(woken) = self.woken.front_mut() else { return };
            let (failed, index) = (woken.failed, woken.waited.pop_front());
            if woken.waited.is_empty() {
                self.woken.pop_front();
            }
            let Some(index) = index else { continue };
            let Some(slot) = self.slots.get_mut(index).filter(|s| s.waiting) else { continue };
            if let Some(neighbour) = failed {
                if slot.neighbour != neighbour {
                    // A later owner of the slot waits for somebody else.
                    continue;
                }
                if slot.conn.state() == State::Closed {
                    // All that waited was a last reset, for a peer that is not there.
                    slot.stuck = true;
                }
                slot.conn.on_unreachable(now);
            }
            slot.waiting = false;
            self.notice(index);
        }
    }

    /// Returns buffers to their owners; true when there were any.
    fn complete(&mut self, more: &mut bool) -> bool {
        if let Some(completed) = self.nic.tx_completed() {
            self.port.leave(completed.saturating_sub(self.completed_before));
        }
        let mut returned = false;
        for _ in 0..self.reclaims.len().min(MAX_RECLAIMS) {
            let Some(index) = self.reclaims.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(index).filter(|s| s.reclaiming) else { continue };
            let mut left = MAX_RECLAIMS_EACH;
            // Nobody waits for what a connection leaves behind: the device's own references outlive it.
            let abandoned = slot.released && slot.is_over();
            while left > 0 {
                let popped = if abandoned {
                    slot.conn.pop_abandoned().is_some()
                } else {
                    slot.conn.pop_reclaimed().is_some()
                };
                if !popped {
                    break;
                }
                returned = true;
                left -= 1;
            }
            if has_unreclaimed(slot) {
                // The device still reads some, or there are very many: go on another time.
                self.reclaims.push_back(index);
            } else {
                slot.reclaiming = false;
                if slot.released {
                    self.touch(index);
                }
            }
        }
        if returned {
            self.reclaim_pause = RECLAIM_INTERVAL;
        } else if (!self.reclaims.is_empty() || self.has_memory_waiters()) && self.reclaim_at <= self.now {
            // The port may be idle and so never look by itself; asking costs it time, so not every iteration does,
            // and ever fewer where it does not help.
            self.reclaim_at = self.now + self.reclaim_pause;
            self.reclaim_pause = (self.reclaim_pause * 2).min(MAX_RECLAIM_INTERVAL);
            self.nic.reclaim();
            self.counters.tx_reclaims += 1;
            self.counters.tx_nudges = self.nic.nudges();
        }
        self.look_at_memory();
        *more |= self.serve_memory_waiters();
        if self.slots.is_crowded() {
            self.slots.fold_some(self.now, self.port.left());
            self.counters.connections_folded = self.slots.folded;
            self.counters.connections_unfolded = self.slots.unfolded;
        }
        returned
    }

    /// What the connection's owner is to hear.
    pub(crate) fn tell(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.eventful
        {
            slot.eventful = true;
            self.events.push_back(index);
        }
    }

    /// Cycles of each iteration that did work, from its first receive to its last returned buffer (`P10`).
    pub fn iteration_histogram(&self) -> &Histogram<u64> {
        &self.iterations
    }
}

/// How often buffers are looked for that the device has not let go of.
const RECLAIM_INTERVAL: Nanos = Nanos::from_micros(100);

/// How rarely at last, where it lets go of none.
const MAX_RECLAIM_INTERVAL: Nanos = Nanos::from_millis(10);

/// Whether the connection holds payload that it will give back as soon as no device reads it. While it lives, a payload
/// that is acknowledged in part is none: to look for that would wake the loop as long as the peer is silent.
pub(crate) fn has_unreclaimed<N: Nic>(slot: &Slot<N>) -> bool {
    if slot.is_over() {
        let marks = slot.conn.marks();
        return marks.reclaimed < marks.accepted;
    }
    slot.conn.has_reclaimable()
}

/// Three significant digits, up to an hour of nanoseconds; longer samples count as that.
fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 3_600_000_000_000, 3) {
        Ok(h) => h,
        Err(e) => unreachable!("constant bounds are valid: {e}"),
    }
}
