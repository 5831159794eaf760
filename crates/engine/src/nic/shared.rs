//! A port that several workers share: each receives from a queue of its own, and hands over what is another's.
//!
//! Who owns a connection is computed ([`Steering`]), so a worker that finds a segment in none of its connections knows whom to
//! give it to, and nobody answers with a reset what another worker expects. On the way of a byte nothing of this is felt: a
//! segment that arrives where it belongs is found in its worker's own flow table, and that is all.
//!
//! ```text
//!  queue 0 ──> worker 0 ──ring──> worker 1 <── queue 1         received frames, handed over
//!                  ^                                            (each pair of workers has a ring each way)
//!                  └──────ring─── worker 2                      frames to send, of a worker without a queue
//! ```

use core::fmt;
use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::{Consumer, Producer};
use tcp::{FourTuple, Payload};

use super::forward::leave_to_inner;
use super::rss::Steering;
use super::{Nic, RxPiece, StageError, TxFrame, TxOutcome};
use crate::frame::{ETHERNET_LEN, ETHERTYPE_IPV4};

/// Pieces of frames that wait between two workers, at most: a burst of each queue, several times.
const RING: usize = 1024;
/// Received frames of each worker whose queue is compared with the computed one.
const PROBES: u32 = 256;

/// A NIC on a port that is perhaps shared.
pub struct Shared<N: Nic> {
    inner: N,
    seat: Option<Box<Seat<N::Buf>>>,
}

/// A worker's place among those that share a port. What others write is in the rings, whose ends have cache lines of their own.
#[repr(align(128))]
pub struct Seat<B> {
    worker: u16,
    steering: Arc<Steering>,
    proof: Arc<Proof>,
    /// Frames it still compares.
    unproven: u32,
    /// By worker; `None` for itself.
    to: Vec<Option<Producer<Handed<B>>>>,
    from: Vec<Consumer<Handed<B>>>,
    /// The first piece of a frame that was too much for the burst before.
    carry: Option<(usize, Handed<B>)>,
    /// The queue has its turn before the rings.
    queue_first: bool,
    /// The burst at hand was handed over by others.
    handed_over: bool,
    counters: SharedCounters,
}

/// A piece of a frame, and how many follow.
struct Handed<B> {
    piece: RxPiece<B>,
    follow: u16,
}

/// What a worker counts beside what all engines do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedCounters {
    /// Frames received here whose connection is another worker's.
    pub rx_misdirected: u64,
    /// Those of them that were dropped, as the ring to that worker was full.
    pub drop_handover_full: u64,
    /// Pieces of frames that others received and handed over.
    pub rx_taken_over: u64,
}

impl SharedCounters {
    /// Every count: name, value, help.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
        [
            ("rx_misdirected", self.rx_misdirected, "frames received for a connection of another worker's"),
            (
                "drop_handover_full",
                self.drop_handover_full,
                "misdirected frames: the ring to their worker was full",
            ),
            ("rx_taken_over", self.rx_taken_over, "buffers of frames that another worker received"),
        ]
        .into_iter()
    }
}

/// What the comparison of computed and real queues came to, of all workers together.
#[derive(Debug, Default)]
struct Proof {
    landed: AtomicU64,
    astray: AtomicU64,
}

/// Where the first received frames arrived, and where they had been computed to arrive.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SteeringReport {
    /// The device tells how it spreads connections.
    pub by_device: bool,
    /// TCP segments that arrived where computed.
    pub landed: u64,
    /// TCP segments that arrived elsewhere.
    pub astray: u64,
}

impl SteeringReport {
    /// The device tells how it spreads connections, and does otherwise.
    pub fn is_wrong(&self) -> bool {
        self.by_device && self.astray > 0
    }
}

impl fmt::Display for SteeringReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SteeringReport { by_device, landed, astray } = *self;
        match (by_device, astray) {
            (true, 0) => write!(
                f,
                "the device spreads connections as it says: {landed} segments arrived where computed"
            ),
            (true, _) => write!(
                f,
                "the device does not spread connections by the hash key and table that it reports: of {} segments {astray} \
                 arrived at another queue than computed. Workers hand them over, which costs time",
                landed + astray
            ),
            (false, _) => write!(
                f,
                "the device does not tell how it spreads connections: of {} segments {landed} arrived at their worker's queue, \
                 {astray} were handed over",
                landed + astray
            ),
        }
    }
}

impl<B> Seat<B> {
    /// Seats for all workers.
    pub fn for_all(steering: Steering) -> Vec<Seat<B>> {
        let workers = usize::from(steering.workers());
        let (steering, proof) = (Arc::new(steering), Arc::new(Proof::default()));
        let mut seats: Vec<Seat<B>> = (0..steering.workers())
            .map(|worker| Seat {
                worker,
                steering: steering.clone(),
                proof: proof.clone(),
                unproven: PROBES,
                to: Vec::with_capacity(workers),
                from: Vec::with_capacity(workers - 1),
                carry: None,
                queue_first: false,
                handed_over: false,
                counters: SharedCounters::default(),
            })
            .collect();
        for from in 0..workers {
            for to in 0..workers {
                let ends = (from != to).then(|| ring::ring(RING));
                let (producer, consumer) = ends.unzip();
                seats[from].to.push(producer);
                seats[to].from.extend(consumer);
            }
        }
        seats
    }

    fn owns(&self, tuple: &FourTuple) -> bool {
        self.steering.owner(tuple) == self.worker
    }
}

impl<B: Payload> Seat<B> {
    /// Compares where frames arrived with where they should.
    #[cold]
    fn prove(&mut self, burst: &[RxPiece<B>]) {
        let mut begins = true;
        for piece in burst {
            if std::mem::replace(&mut begins, !piece.more)
                && self.unproven > 0
                && let Some(tuple) = tuple_of(piece.buf.as_slice())
            {
                self.unproven -= 1;
                let right = self.steering.queue(&tuple) == self.worker;
                let count = if right { &self.proof.landed } else { &self.proof.astray };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes frames that others received, whole ones, as many as there is room for. What was too much for the burst before comes
    /// first, then the rings behind its own have their turn: none of them keeps another waiting.
    fn take_over(&mut self, out: &mut Vec<RxPiece<B>>) -> usize {
        let before = out.len();
        let rings = self.from.len();
        let begin = match self.carry.take() {
            Some((n, first)) => {
                self.carry = take_frame(out, &mut self.from[n], first).map(|first| (n, first));
                n + 1
            }
            None => 0,
        };
        for n in (begin..begin + rings).map(|n| n % rings) {
            while self.carry.is_none()
                && let Some(first) = self.from[n].pop()
            {
                self.carry = take_frame(out, &mut self.from[n], first).map(|first| (n, first));
            }
        }
        self.counters.rx_taken_over += (out.len() - before) as u64;
        out.len() - before
    }

    /// Puts a frame into the ring to a worker.
    fn hand_over(&mut self, to: usize, frame: &[RxPiece<B>]) {
        let Some(Some(ring)) = self.to.get_mut(to) else { return };
        let mut batch = ring.batch();
        if batch.room() < frame.len() {
            self.counters.drop_handover_full += 1;
            return;
        }
        for (n, piece) in frame.iter().enumerate() {
            let piece = RxPiece { buf: piece.buf.clone(), ..*piece };
            // There is room.
            let _ = batch.push(Handed { piece, follow: (frame.len() - 1 - n) as u16 });
        }
    }
}

/// Adds the frame that begins with this piece and goes on in the ring. The piece comes back when there is no room for all of it: a
/// burst of nothing else has some, as the frame came in by one that is as large.
fn take_frame<B>(
    out: &mut Vec<RxPiece<B>>,
    ring: &mut Consumer<Handed<B>>,
    first: Handed<B>,
) -> Option<Handed<B>> {
    let follow = usize::from(first.follow);
    if out.capacity() - out.len() <= follow {
        return Some(first);
    }
    out.push(first.piece);
    // They were put in together with the first.
    out.extend(ring.take(follow).map(|handed| handed.piece));
    None
}

/// Who talks to whom in a received frame; `None` when it is no TCP segment whose ports can be seen.
fn tuple_of(frame: &[u8]) -> Option<FourTuple> {
    let ip = frame.get(ETHERNET_LEN..)?;
    let fixed: &[u8; 20] = ip.first_chunk()?;
    let no_fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff == 0;
    if frame[12..14] != ETHERTYPE_IPV4.to_be_bytes() || fixed[0] >> 4 != 4 || fixed[9] != 6 || !no_fragment {
        return None;
    }
    let ports: &[u8; 4] = ip.get(usize::from(fixed[0] & 15) * 4..)?.first_chunk()?;
    let address = |at: usize| [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(FourTuple { local: (address(16), port(2)).into(), remote: (address(12), port(0)).into() })
}

impl<N: Nic> Shared<N> {
    /// A port of one's own.
    pub fn alone(inner: N) -> Shared<N> {
        Shared { inner, seat: None }
    }

    /// A port that the other seats' workers use too.
    pub fn new(inner: N, seat: Seat<N::Buf>) -> Shared<N> {
        Shared { inner, seat: Some(Box::new(seat)) }
    }

    /// The NIC itself.
    pub fn inner(&self) -> &N {
        &self.inner
    }

    /// The NIC itself.
    pub fn inner_mut(&mut self) -> &mut N {
        &mut self.inner
    }

    /// The NIC itself; what was handed over and not looked at yet is given back.
    pub fn into_inner(self) -> N {
        self.inner
    }

    /// What it counted.
    pub fn counters(&self) -> SharedCounters {
        self.seat.as_ref().map_or_else(SharedCounters::default, |seat| seat.counters)
    }

    /// Where frames arrived, of all workers; `None` when it is alone.
    pub fn report(&self) -> Option<SteeringReport> {
        self.seat.as_ref().map(|seat| SteeringReport {
            by_device: seat.steering.is_by_device(),
            landed: seat.proof.landed.load(Ordering::Relaxed),
            astray: seat.proof.astray.load(Ordering::Relaxed),
        })
    }
}

impl<N: Nic> Nic for Shared<N> {
    type Buf = N::Buf;
    type Header = N::Header;
    type Tail = N::Tail;

    leave_to_inner!(N);

    fn rx_burst(&mut self, out: &mut Vec<RxPiece<N::Buf>>) -> usize {
        let Shared { inner, seat: Some(seat) } = self else {
            return self.inner.rx_burst(out);
        };
        inner.relay();
        // By turns, so that neither starves the other.
        seat.queue_first = !seat.queue_first;
        for from_queue in [seat.queue_first, !seat.queue_first] {
            let before = out.len();
            let pieces = if from_queue { inner.rx_burst(out) } else { seat.take_over(out) };
            if pieces > 0 {
                seat.handed_over = !from_queue;
                if from_queue && seat.unproven > 0 {
                    seat.prove(&out[before..]);
                }
                return pieces;
            }
        }
        0
    }

    fn owns(&self, tuple: &FourTuple) -> bool {
        self.seat.as_ref().is_none_or(|seat| seat.owns(tuple))
    }

    fn pass_on(&mut self, tuple: &FourTuple, frame: &[RxPiece<N::Buf>]) -> bool {
        let Some(seat) = &mut self.seat else { return false };
        let owner = seat.steering.owner(tuple);
        if owner == seat.worker {
            return false;
        }
        seat.counters.rx_misdirected += 1;
        seat.hand_over(owner.into(), frame);
        true
    }

    fn share(&mut self, frame: &[RxPiece<N::Buf>]) -> bool {
        let Some(seat) = &mut self.seat else { return true };
        if !seat.handed_over {
            (0..seat.to.len()).for_each(|worker| seat.hand_over(worker, frame));
        }
        !seat.handed_over
    }

    #[inline]
    fn stage<'a, I>(&mut self, frame: TxFrame<N::Header>, payload: I) -> Result<(), StageError>
    where
        I: Iterator<Item = (&'a N::Buf, Range<usize>)>,
        N::Buf: 'a,
    {
        self.inner.stage(frame, payload)
    }

    fn tx_burst(&mut self) -> TxOutcome {
        self.inner.tx_burst()
    }
}
