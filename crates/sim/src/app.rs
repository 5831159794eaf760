//! The applications at both ends: what they write, how they read, how they end, and whether what they read is
//! what the other wrote.

use std::net::SocketAddrV4;

use engine::{ConnId, Engine, EngineEvent, SendRefusal};
use tcp::conn::{ConnStats, Linger, SendFlags, Setting, State};
use tcp::{
    ConnError, ConnErrorKind, Event, Marks, Nanos, Offset, Payload, Rate, SendTime, SendTimeKind, Time,
};

use crate::buf::{Pool, SimBuf};
use crate::rng::Rng;
use crate::world::{Port, earliest};

/// How long an application waits for a peer that may have reset: the reset may be lost, and then nobody says anything
/// any more.
const PATIENCE: Nanos = Nanos::from_secs(600);

/// What one side of a connection does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes it writes; an [answering](Plan::answers) side writes back what it reads, and this does not count.
    pub total: u64,
    /// Bytes of one write, from and to.
    pub chunk: (usize, usize),
    /// Share of writes that are zero-copy.
    pub zero_copy: f64,
    /// Takes its payloads back itself, and checks them.
    pub keeps: bool,
    /// Share of writes that say more is coming.
    pub more: f64,
    /// Share of writes that ask for times.
    pub timestamp: f64,
    /// Share of writes before which a setting of the connection changes.
    pub changes: f64,
    /// Share of writes that end a record.
    pub eor: f64,
    /// Probability of a pause after a write, and its length at most.
    pub pause: (f64, Nanos),
    /// Reads at most this many pieces at a time, and then not for this long.
    pub slow_reader: Option<(usize, Nanos)>,
    /// Sends back every byte it reads.
    pub answers: bool,
    /// How it ends.
    pub end: End,
}

/// How one side ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Finishes its direction after its last write, and goes on reading: a half close.
    WhenSent,
    /// Finishes only when the peer has.
    AfterPeer,
    /// Gives up its handle after its last write and reads no more, as a program that exits.
    Release,
    /// Resets once it has written this much.
    Abort(u64),
}

/// One side of a connection, under way.
#[derive(Debug)]
pub struct Session {
    /// The engine's handle.
    pub id: ConnId,
    /// Its own address and the peer's.
    pub path: Option<(SocketAddrV4, SocketAddrV4)>,
    /// Which connection of the scenario it is of.
    pub index: usize,
    plan: Plan,
    /// What this side writes, and what it must read.
    writes: Stream,
    reads: Stream,
    /// Bytes to read in all, if nobody resets.
    expect: u64,
    peer_may_reset: bool,
    rng: Rng,
    pool: Pool,
    written: u64,
    received: u64,
    /// Pieces read so far.
    pieces: usize,
    reclaimed: u64,
    /// Ends of records among what was written, which the observer has yet to be told.
    records: Vec<u64>,
    /// The last write asked for PSH.
    pushes: bool,
    /// A refused zero-copy payload, or bytes read and to be sent back.
    pending: Option<SimBuf>,
    may_write: bool,
    may_read: bool,
    pause_until: Time,
    read_again: Time,
    finishing: bool,
    peer_finished: bool,
    finished: bool,
    closed: Option<Result<(), ConnError>>,
    released: bool,
    marks: Marks,
    /// The newest of the times that were asked for.
    last_time: Option<SendTime>,
    /// When something was last heard.
    heard: Time,
    /// When it was opened by us, or accepted.
    opened: Time,
    accepted: bool,
}

/// A deterministic stream of bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stream(pub u64);

impl Stream {
    /// The eight bytes from `8 * index` on.
    fn word(self, index: u64) -> [u8; 8] {
        let word = (self.0 ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()
    }

    /// Writes the stream from `from` on to `out`.
    fn fill(self, from: u64, out: &mut [u8]) {
        let (head, words) = out.split_at_mut(out.len().min((from.wrapping_neg() & 7) as usize));
        let first = self.word(from >> 3);
        head.iter_mut().zip(&first[(from & 7) as usize..]).for_each(|(byte, word)| *byte = *word);
        let (words, tail) = words.as_chunks_mut::<8>();
        let at = (from + 7) >> 3;
        words.iter_mut().zip(at..).for_each(|(word, at)| *word = self.word(at));
        let last = self.word(at + words.len() as u64);
        tail.iter_mut().zip(&last).for_each(|(byte, word)| *byte = *word);
    }

    fn bytes(self, from: u64, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.fill(from, &mut bytes);
        bytes
    }

    fn matches(self, from: u64, bytes: &[u8]) -> bool {
        let mut right = [0; 2_048];
        let pieces = bytes.chunks(right.len()).zip((from..).step_by(right.len()));
        pieces.into_iter().all(|(piece, at)| {
            let right = &mut right[..piece.len()];
            self.fill(at, right);
            piece == right
        })
    }
}

impl Session {
    /// A side of a connection that exists since `now`; `connected` when it was accepted.
    #[allow(clippy::too_many_arguments)] // what a side is, all of it needed at once
    pub fn new(
        id: ConnId,
        plan: Plan,
        writes: Stream,
        reads: Stream,
        expect: u64,
        peer_may_reset: bool,
        connected: bool,
        pool: Pool,
        rng: Rng,
        now: Time,
    ) -> Session {
        Session {
            id,
            path: None,
            index: 0,
            plan,
            writes,
            reads,
            expect,
            peer_may_reset,
            rng,
            pool,
            written: 0,
            received: 0,
            pieces: 0,
            reclaimed: 0,
            records: Vec::new(),
            pushes: false,
            pending: None,
            may_write: connected,
            may_read: connected,
            pause_until: Time::ZERO,
            read_again: Time::ZERO,
            finishing: false,
            peer_finished: false,
            finished: false,
            closed: None,
            released: false,
            marks: Marks::default(),
            last_time: None,
            heard: Time::ZERO,
            opened: now,
            accepted: connected,
        }
    }

    /// True when the application is done with the connection.
    pub fn is_done(&self) -> bool {
        self.released
    }

    /// True when bytes were written that the peer has not acknowledged, and may.
    pub fn has_queued(&self, engine: &Engine<Port>) -> bool {
        let live = !self.released && self.closed.is_none();
        live && engine.marks(self.id).is_some_and(|marks| marks.accepted > marks.acked)
    }

    /// Whether it was accepted, not opened.
    pub fn was_accepted(&self) -> bool {
        self.accepted
    }

    /// Whether it read everything there is to read.
    pub fn has_received_all(&self) -> bool {
        self.received >= self.expect
    }

    /// Bytes read so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes an event of its connection.
    ///
    /// # Errors
    /// When the event may not come.
    pub fn on_event(&mut self, event: EngineEvent, now: Time) -> Result<(), String> {
        self.heard = now;
        if self.released {
            return Err(format!("{event:?} after the handle was released"));
        }
        if self.closed.is_some() {
            return Err(format!("{event:?} after Closed"));
        }
        match event {
            EngineEvent::Conn(event) => match event {
                Event::Connected | Event::Writable => self.may_write = true,
                Event::Readable => self.may_read = true,
                Event::Acked => {}
                Event::SendTime(time) => self.on_send_time(time)?,
                Event::PeerFinished => {
                    self.peer_finished = true;
                    self.may_read = true;
                }
                Event::Finished if !self.finishing => return Err("Finished before shutdown_write".into()),
                Event::Finished => self.finished = true,
                Event::Closed(result) => {
                    self.closed = Some(result);
                    self.may_read = true;
                }
            },
            EngineEvent::Accepted(_) => return Err("Accepted twice".into()),
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    /// When the application wants to be called again of itself.
    pub fn wake(&self, now: Time) -> Option<Time> {
        if self.released {
            return None;
        }
        let writes = (self.may_write && self.pause_until > now).then_some(self.pause_until);
        let reads = (self.may_read && self.read_again > now).then_some(self.read_again);
        let patience = (self.peer_may_reset && self.closed.is_none()).then(|| self.heard + PATIENCE);
        earliest([writes, reads, patience.filter(|&at| at > now)])
    }

    /// Does what can be done now, when the connection has these statistics; returns whether anything was.
    ///
    /// # Errors
    /// What the stack did wrong.
    pub fn step(&mut self, engine: &mut Engine<Port>, stats: &ConnStats, now: Time) -> Result<bool, String> {
        if self.released {
            return Ok(false);
        }
        self.watermarks(engine)?;
        self.time_shares(stats, now)?;
        let mut busy = self.reclaim(engine)?;
        if self.closed.is_none() {
            busy |= self.write(engine, now)?;
        }
        busy |= self.read(engine, now)?;
        if self.peer_may_reset && self.closed.is_none() && now >= self.heard + PATIENCE {
            self.heard = now;
            self.plan.end = End::Abort(0);
            self.finishing = true;
            engine.abort(self.id);
            return Ok(true);
        }
        busy |= self.end(engine)?;
        Ok(busy)
    }

    /// Times do not go back, and tell of what was written.
    fn on_send_time(&mut self, time: SendTime) -> Result<(), String> {
        let early = self
            .last_time
            .is_some_and(|last| time.at < last.at || (time.kind == last.kind && time.end <= last.end));
        // An ACK is told behind what it acknowledges.
        let unsent = time.kind == SendTimeKind::Acked && self.last_time.is_none();
        if early || unsent || time.end.0 > self.written {
            return Err(format!("{time:?} after {:?}", self.last_time));
        }
        self.last_time = Some(time);
        Ok(())
    }

    /// Invariant 6.
    fn watermarks(&mut self, engine: &Engine<Port>) -> Result<(), String> {
        let Some(marks) = engine.marks(self.id) else { return Err("no marks of a live connection".into()) };
        let ordered =
            marks.accepted >= marks.sent && marks.sent >= marks.acked && marks.acked >= marks.reclaimed;
        let last = core::mem::replace(&mut self.marks, marks);
        let grows = marks.accepted >= last.accepted
            && marks.sent >= last.sent
            && marks.acked >= last.acked
            && marks.reclaimed >= last.reclaimed;
        if !grows || (!ordered && self.closed.is_none()) {
            return Err(format!("watermarks went from {last:?} to {marks:?}"));
        }
        if marks.accepted != Offset(self.written) {
            return Err(format!("{} bytes written, {:?}", self.written, marks));
        }
        Ok(())
    }

    /// `S28`: the shares of time add up to the life, and the life is what the application saw of it.
    fn time_shares(&self, stats: &ConnStats, now: Time) -> Result<(), String> {
        let life = stats.time.life();
        let sum = stats.time.iter().fold(Nanos::ZERO, |sum, (_, spent)| sum + spent);
        let seen = if self.closed.is_some() { self.heard } else { now }.since(self.opened);
        // Before it was accepted it lived already; an abort of ours is heard of later.
        let whole = match self.closed {
            Some(Err(ConnError { kind: ConnErrorKind::Aborted, .. })) => self.accepted || life <= seen,
            _ if self.accepted => life >= seen,
            _ => life == seen,
        };
        match sum == life && whole {
            true => Ok(()),
            false => Err(format!("a life of {life} ({seen} seen), of which {:?}", stats.time)),
        }
    }

    /// Invariant 5, as the application sees it.
    fn reclaim(&mut self, engine: &mut Engine<Port>) -> Result<bool, String> {
        let mut busy = false;
        while let Some((offset, buf)) = engine.pop_reclaimed(self.id) {
            busy = true;
            if buf.in_device() {
                return Err(format!("{offset:?} was given back while the device reads it"));
            }
            if offset.0 < self.reclaimed {
                return Err(format!("{offset:?} was given back after {}", self.reclaimed));
            }
            if self.closed.is_none() && offset.0 + buf.len() as u64 > self.marks.acked.0 {
                return Err(format!("{} bytes at {offset:?} given back, {:?}", buf.len(), self.marks));
            }
            if !self.writes.matches(offset.0, buf.as_slice()) {
                return Err(format!("the payload given back at {offset:?} is not what was sent there"));
            }
            self.reclaimed = offset.0 + buf.len() as u64;
        }
        Ok(busy)
    }

    fn write(&mut self, engine: &mut Engine<Port>, now: Time) -> Result<bool, String> {
        let mut busy = false;
        // A few writes at a time, so that both sides and the network go on in between.
        for _ in 0..8 {
            if !self.may_write || self.finishing || self.pause_until > now {
                break;
            }
            if self.rng.chance(self.plan.changes) {
                self.change(engine);
            }
            let flags = SendFlags {
                more: self.rng.chance(self.plan.more),
                eor: self.rng.chance(self.plan.eor),
                timestamp: self.rng.chance(self.plan.timestamp),
                part: false,
            };
            if let Some(buf) = self.pending.take() {
                busy |= self.send(engine, buf, flags)?;
                continue;
            }
            let left = self.plan.total.saturating_sub(self.written);
            if self.plan.answers || left == 0 {
                break;
            }
            let n = self.rng.range(self.plan.chunk.0 as u64, self.plan.chunk.1 as u64).min(left) as usize;
            let bytes = self.writes.bytes(self.written, n);
            if self.rng.chance(self.plan.zero_copy) {
                busy |= self.send(engine, self.pool.buf(bytes), flags)?;
            } else {
                match engine.send_copy(self.id, &bytes, flags) {
                    Ok(0) => return Err("send_copy took nothing and did not say why".into()),
                    Ok(taken) => {
                        self.wrote(taken, if taken == n { flags } else { flags.of_a_part() });
                        busy = true;
                    }
                    Err(error) => self.refused(error.reason)?,
                }
            }
            if self.rng.chance(self.plan.pause.0) {
                self.pause_until = now + Nanos::from_nanos(self.rng.range(1, self.plan.pause.1.as_nanos()));
            }
        }
        Ok(busy)
    }

    /// The engine took `n` bytes as a send with these flags.
    fn wrote(&mut self, n: usize, flags: SendFlags) {
        self.written += n as u64;
        self.pushes = !flags.more;
        if flags.eor {
            self.records.push(self.written);
        }
    }

    /// Where records end that were written since this was last asked.
    pub fn take_records(&mut self) -> Vec<u64> {
        core::mem::take(&mut self.records)
    }

    /// Where the stream ends, when its last byte must carry PSH (`S14`): it was delivered whole, and the last write did
    /// not say that more was coming.
    pub fn push_at_end(&self) -> Option<u64> {
        (self.finished && self.pushes && self.written > 0).then_some(self.written)
    }

    /// Changes a setting of the live connection.
    fn change(&mut self, engine: &mut Engine<Port>) {
        let setting = match self.rng.range(0, 6) {
            0 => Setting::NoDelay(self.rng.chance(0.5)),
            1 => Setting::Cork(self.rng.chance(0.5)),
            // The writes of this side must fit; and with less than a few segments runs take for ever.
            2 => Setting::SendBuffer(
                self.rng.log_range(self.plan.chunk.1.max(4_000) as u64, 1_000_000) as usize
            ),
            // Still nobody gives up; and those that let go keep the linger time they were drawn with.
            3 => Setting::UserTimeout(Nanos::from_secs(self.rng.pick(&[3_600, 7_200]))),
            4 => Setting::NotsentLowat(
                self.rng.chance(0.5).then(|| self.rng.log_range(4_000, 200_000) as usize),
            ),
            5 => Setting::MaxPacingRate(
                self.rng.chance(0.7).then(|| Rate::from_bps(self.rng.log_range(2_000_000, 20_000_000_000))),
            ),
            _ if self.plan.end == End::Release => return,
            _ => Setting::Linger(Linger::Bounded(Nanos::from_millis(self.rng.pick(&[0, 100])))),
        };
        engine.set(self.id, setting);
    }

    fn send(&mut self, engine: &mut Engine<Port>, buf: SimBuf, flags: SendFlags) -> Result<bool, String> {
        // What was received may be larger than a whole send buffer.
        let len = buf.len().min(self.plan.chunk.1);
        let rest = (len < buf.len()).then(|| buf.slice(len..buf.len()));
        match engine.send(self.id, buf.slice(0..len), flags) {
            Ok(offset) if offset.0 == self.written => {
                self.wrote(len, flags);
                self.pending = rest;
                Ok(true)
            }
            Ok(offset) => Err(format!("sent at {}, it says {offset:?}", self.written)),
            Err(error) if error.payload.as_slice() != &buf.as_slice()[..len] => {
                Err("a refused payload came back changed".into())
            }
            Err(error) => {
                self.pending = Some(buf);
                self.refused(error.reason).map(|()| false)
            }
        }
    }

    fn refused(&mut self, reason: SendRefusal) -> Result<(), String> {
        match reason {
            SendRefusal::Full | SendRefusal::NoBuffers => {
                self.may_write = false;
                Ok(())
            }
            // The connection was reset and the event is on its way.
            SendRefusal::Finished if !self.finishing => {
                self.may_write = false;
                Ok(())
            }
            other => Err(format!("a write was refused with {other:?}")),
        }
    }

    fn read(&mut self, engine: &mut Engine<Port>, now: Time) -> Result<bool, String> {
        let mut busy = false;
        while self.may_read && self.read_again <= now {
            if self.pending.is_some() && self.plan.answers && self.closed.is_none() {
                break; // what was read has to be sent back before more is read
            }
            let Some(buf) = engine.read(self.id) else {
                self.may_read = false;
                break;
            };
            busy = true;
            if buf.is_empty() {
                return Err("an empty piece was read".into());
            }
            if !self.reads.matches(self.received, buf.as_slice()) {
                return Err(format!("the {} bytes read at {} are not those sent", buf.len(), self.received));
            }
            self.received += buf.len() as u64;
            self.pieces += 1;
            if let Some((_, every)) =
                self.plan.slow_reader.filter(|(most, _)| self.pieces.is_multiple_of(*most))
            {
                self.read_again = now + every;
            }
            if self.plan.answers && self.closed.is_none() {
                self.pending = Some(buf);
                self.write(engine, now)?;
            }
        }
        Ok(busy)
    }

    fn end(&mut self, engine: &mut Engine<Port>) -> Result<bool, String> {
        if let Some(result) = self.closed {
            if self.may_read {
                return Ok(false); // a slow reader reads on to the end
            }
            self.judge(result)?;
            return Ok(self.release(engine));
        }
        let all_read = self.peer_finished && !self.may_read;
        let all_written = self.pending.is_none()
            && if self.plan.answers { all_read } else { self.written == self.plan.total };
        match self.plan.end {
            End::Abort(at)
                if self.written >= at.min(self.plan.total) && self.may_write && !self.finishing =>
            {
                self.finishing = true;
                engine.abort(self.id);
                return Ok(true);
            }
            End::WhenSent if all_written && self.may_write && !self.finishing => {
                self.finishing = true;
                engine.shutdown_write(self.id);
                return Ok(true);
            }
            End::AfterPeer if all_written && all_read && !self.finishing => {
                self.finishing = true;
                engine.shutdown_write(self.id);
                return Ok(true);
            }
            End::Release if all_written && self.may_write => return Ok(self.release(engine)),
            _ => {}
        }
        // Both directions are over: some let go now, and some wait for the last event.
        if self.finished && all_read && self.writes.0 & 1 == 0 {
            self.all_received()?;
            return Ok(self.release(engine));
        }
        Ok(false)
    }

    fn release(&mut self, engine: &mut Engine<Port>) -> bool {
        self.released = true;
        self.pending = None;
        engine.release(self.id);
        true
    }

    fn all_received(&self) -> Result<(), String> {
        match self.received == self.expect {
            true => Ok(()),
            false => Err(format!("{} of {} bytes received", self.received, self.expect)),
        }
    }

    /// Whether the connection may have ended like this; the world knows whether anybody aborted.
    fn judge(&self, result: Result<(), ConnError>) -> Result<(), String> {
        match result {
            Ok(()) if self.peer_finished && self.finished => self.all_received(),
            // The peer let go or reset when it had everything, of ours and of its own, but our FIN.
            Ok(()) if self.peer_may_reset && self.peer_finished && self.marks.acked.0 == self.written => {
                self.all_received()
            }
            Ok(()) => Err("closed without an error before both directions were finished".into()),
            Err(ConnError { kind: ConnErrorKind::Aborted, .. }) if matches!(self.plan.end, End::Abort(_)) => {
                Ok(())
            }
            Err(error) if error.acked > self.marks.sent => Err(format!("{error:?}, but {:?}", self.marks)),
            Err(ConnError { kind: ConnErrorKind::Reset, .. }) if self.peer_may_reset => Ok(()),
            Err(error) => Err(format!("closed with {error:?}")),
        }
    }

    /// A line for reports of failure.
    pub fn describe(&self, engine: &Engine<Port>) -> String {
        let state: Option<State> = engine.state(self.id);
        format!(
            "{:?} {state:?}: written {} of {}, received {} of {}, may write {} read {}, finishing {} finished {} peer finished {} closed {:?} released {}; {:?}; {:?}",
            self.id,
            self.written,
            self.plan.total,
            self.received,
            self.expect,
            self.may_write,
            self.may_read,
            self.finishing,
            self.finished,
            self.peer_finished,
            self.closed,
            self.released,
            self.marks,
            engine.stats(self.id),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_wherever_one_begins_to_look() {
        let whole = Stream(5).bytes(0, 5_000);
        assert_ne!(whole, Stream(6).bytes(0, 5_000));
        for from in (0..20).chain([2_040, 2_051]) {
            for n in (0..20).chain([2_047, 2_500]) {
                let part = &whole[from..from + n];
                assert_eq!(Stream(5).bytes(from as u64, n), part);
                assert!(Stream(5).matches(from as u64, part));
                for spoilt in [0, n / 2, n.saturating_sub(1)].into_iter().filter(|&at| at < n) {
                    let mut other = part.to_vec();
                    other[spoilt] ^= 1;
                    assert!(!Stream(5).matches(from as u64, &other));
                }
            }
        }
    }
}
