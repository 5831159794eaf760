//! `tsonami serve --answer`: answers each request of so many bytes with so many bytes.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tsonami::{ConnId, Event, LocalEngine, Nanos, SendFlags, Time};

use super::Tally;
use crate::conns::Conns;
use crate::signals::{Asked, Signals};
use crate::units::{Grouped, Size, UnitError};

/// Time between looks at signals.
const TICK: Nanos = Nanos::from_millis(20);
/// How long answers may still take after Ctrl-C.
const STOP_GRACE: Nanos = Nanos::from_secs(2);
/// Bytes of an answer that are written at once, at most.
const WRITE: u64 = 64 << 10;

/// How long requests and answers are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lengths {
    pub(crate) request: Size,
    pub(crate) response: Size,
}

impl FromStr for Lengths {
    type Err = UnitError;

    /// `REQUEST`, or `REQUEST:RESPONSE`.
    fn from_str(text: &str) -> Result<Lengths, UnitError> {
        let (request, response) = text.split_once(':').unwrap_or((text, text));
        Ok(Lengths { request: Size::parse_positive(request)?, response: Size::parse_positive(response)? })
    }
}

/// A connection that is answered.
#[derive(Default)]
struct Asker {
    /// Bytes of the next request that have come.
    got: u64,
    /// Bytes of answers that the engine has yet to take.
    owed: u64,
    /// No more is answered: the end follows what is owed.
    closing: bool,
    /// It was said.
    closed: bool,
}

/// What was answered.
#[derive(Clone, Default, Debug, Serialize)]
pub(super) struct Answered {
    connections: u64,
    requests: u64,
    received_bytes: u64,
    failed_connections: u64,
}

impl AddAssign<&Answered> for Answered {
    fn add_assign(&mut self, other: &Answered) {
        let Answered { connections, requests, received_bytes, failed_connections } = *other;
        self.connections += connections;
        self.requests += requests;
        self.received_bytes += received_bytes;
        self.failed_connections += failed_connections;
    }
}

pub(super) struct Answerer<'a> {
    lengths: Lengths,
    /// The server closes after one answer.
    close: bool,
    /// Connections to answer, if there is a number: only then do workers count together.
    wanted: Option<u64>,
    tally: &'a Tally,
    bytes: Vec<u8>,
    askers: Conns<Asker>,
    answered: Answered,
}

impl<'a> Answerer<'a> {
    pub(super) fn new(lengths: Lengths, close: bool, wanted: Option<u64>, tally: &'a Tally) -> Answerer<'a> {
        Answerer {
            lengths,
            close,
            wanted,
            tally,
            bytes: vec![b'!'; lengths.response.0.min(WRITE) as usize],
            askers: Conns::new(),
            answered: Answered::default(),
        }
    }

    /// Answers until enough connections ended or a signal came.
    pub(super) fn go(mut self, engine: &mut LocalEngine, signals: &Signals) -> Answered {
        let mut next_tick = Time::ZERO;
        let mut stop_at = None;
        while self.wanted.is_none_or(|wanted| self.tally.read.load(Ordering::Relaxed) < wanted) {
            let now = engine.now();
            let received = engine.poll_receive(now);
            let mut busy = false;
            while let Some((id, event)) = engine.poll_event() {
                busy = true;
                self.event(engine, id, &event);
            }
            busy |= engine.poll_transmit(received).is_busy();
            if now >= next_tick {
                next_tick = now + TICK;
                match signals.asked() {
                    Asked::Nothing => {}
                    Asked::Stop
                        if !self.askers.is_empty() && now < *stop_at.get_or_insert(now + STOP_GRACE) => {}
                    Asked::Stop | Asked::Abort => break,
                }
            }
            engine.rest(busy);
        }
        for (id, _) in self.askers.drain() {
            engine.abort(id);
            engine.release(id);
        }
        self.answered
    }

    fn event(&mut self, engine: &mut LocalEngine, id: ConnId, event: &Event) {
        match event {
            Event::Accepted(_) => {
                let enough = |n: u64| self.tally.accepted.fetch_add(1, Ordering::Relaxed) >= n;
                if self.wanted.is_some_and(enough) {
                    engine.abort(id);
                    return engine.release(id);
                }
                self.answered.connections += 1;
                self.askers.insert(id, Asker::default());
            }
            Event::Readable => self.read(engine, id),
            Event::Writable => self.send(engine, id),
            Event::PeerFinished => {
                self.read(engine, id);
                if let Some(asker) = self.askers.get_mut(id) {
                    asker.closing = true;
                }
                self.send(engine, id);
            }
            Event::Closed(end) => {
                self.read(engine, id);
                if self.askers.remove(id).is_some() {
                    if self.wanted.is_some() {
                        self.tally.read.fetch_add(1, Ordering::Relaxed);
                    }
                    self.answered.failed_connections += u64::from(end.is_err());
                }
                engine.release(id);
            }
            _ => {}
        }
    }

    fn read(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let Some(asker) = self.askers.get_mut(id) else { return };
        while let Some(payload) = engine.read(id) {
            asker.got += payload.len() as u64;
            self.answered.received_bytes += payload.len() as u64;
        }
        let requests = asker.got / self.lengths.request.0;
        if requests == 0 || asker.closing {
            return;
        }
        let requests = if self.close { 1 } else { requests };
        asker.closing = self.close;
        asker.got -= requests * self.lengths.request.0;
        asker.owed += requests * self.lengths.response.0;
        self.answered.requests += requests;
        self.send(engine, id);
    }

    /// Gives the engine what it takes of the answers, and the end behind the last.
    fn send(&mut self, engine: &mut LocalEngine, id: ConnId) {
        let Some(asker) = self.askers.get_mut(id) else { return };
        while asker.owed > 0 {
            let length = usize::try_from(asker.owed).unwrap_or(usize::MAX).min(self.bytes.len());
            // What was refused goes on when there is room, or the connection's end says why not.
            let Ok(took) = engine.send_copy(id, &self.bytes[..length], SendFlags::default()) else { return };
            asker.owed -= took as u64;
        }
        if asker.closing && !asker.closed {
            asker.closed = true;
            engine.shutdown_write(id);
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} requests answered, {} bytes ({})",
            Grouped(self.connections),
            Grouped(self.requests),
            Grouped(self.received_bytes),
            Size(self.received_bytes)
        )?;
        if self.failed_connections > 0 {
            write!(f, ", {} ended early", Grouped(self.failed_connections))?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_one_for_both_or_two() {
        let lengths = |request, response| Lengths { request: Size(request), response: Size(response) };
        assert_eq!("64".parse(), Ok(lengths(64, 64)));
        assert_eq!("64:1K".parse(), Ok(lengths(64, 1024)));
        for wrong in ["", "0", "64:", "64:0", "a:1", "1:2:3"] {
            assert!(wrong.parse::<Lengths>().is_err(), "{wrong}");
        }
    }
}
