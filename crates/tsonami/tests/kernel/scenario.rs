//! The language of scenarios, and what makes a sender play one.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::time::{Duration, Instant};

use crate::linux::Peer;
use crate::wire::{Counts, Line, Wire};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Copy, Clone, Debug)]
pub(crate) struct Keepalive {
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) probes: u32,
}

/// One thing that happens. Then everything that follows from it at once is waited for, and belongs to this step.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Step {
    /// The sender writes so many bytes.
    Write(usize),
    /// It writes them and says that more come at once.
    WriteMore(usize),
    NoDelay(bool),
    Cork(bool),
    Keepalive(Keepalive),
    /// It finishes its direction.
    Finish,
    /// What the peer has sent by now arrives at the sender.
    Ack,
    /// The peer reads so many bytes.
    PeerReads(usize),
    PeerWrites(usize),
    PeerFinishes,
    /// The peer vanishes: nothing of it ever arrives again.
    PeerDies,
    /// Time passes until so many further segments have come by themselves.
    Time(usize),
    /// Time passes until the connection ends with this error.
    Dies(ErrorKind),
}

/// What is played, and in which steps we send something else than Linux.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The peer's receive buffer, as SO_RCVBUF wants it.
    pub(crate) peer_buffer: Option<usize>,
    /// PSH is not compared: within a long write it ends our bursts and Linux's, whose lengths are their own affair.
    pub(crate) without_psh: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) differences: Vec<Difference>,
}

/// A deviation: exactly this, exactly here.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Counted from 0.
    pub(crate) step: usize,
    pub(crate) linux: &'static [&'static str],
    pub(crate) ours: &'static [&'static str],
    pub(crate) why: &'static str,
}

/// Who sends.
pub(crate) trait Sender {
    /// Begins to connect.
    fn connect(&mut self, to: SocketAddrV4);
    fn is_connected(&mut self) -> bool;
    /// The handshake is over, with so many frames.
    fn opened(&mut self, counts: &Counts);
    fn write(&mut self, bytes: &[u8], more: bool);
    fn no_delay(&mut self, on: bool);
    fn cork(&mut self, on: bool);
    fn keepalive(&mut self, keepalive: Keepalive);
    fn finish(&mut self);
    /// Does what there is to do.
    fn turn(&mut self);
    /// Everything that reached it was dealt with, and everything it sent was seen.
    fn is_settled(&mut self, counts: &Counts) -> bool;
    /// The error that ended the connection.
    fn ended(&self) -> Option<ErrorKind>;
    /// Resets the connection.
    fn end(&mut self);
}

/// What the sender sent in each step.
pub(crate) type Transcript = Vec<Vec<Line>>;

/// Plays a scenario.
pub(crate) fn play(scenario: &Scenario, wire: &mut Wire, sender: &mut dyn Sender) -> Transcript {
    let listener = wire.listen(scenario.peer_buffer);
    wire.begin();
    let mut stage = Stage { name: scenario.name, at: None, wire, sender, peer: None };
    stage.open(&listener);
    let transcript = scenario.steps.iter().enumerate().map(|(n, step)| {
        stage.at = Some((n, *step));
        stage.step(*step);
        stage.wire.take_sent()
    });
    let transcript = transcript.collect();
    stage.close();
    transcript
}

struct Stage<'a> {
    name: &'static str,
    at: Option<(usize, Step)>,
    wire: &'a mut Wire,
    sender: &'a mut dyn Sender,
    peer: Option<Peer>,
}

impl Stage<'_> {
    fn open(&mut self, listener: &TcpListener) {
        match listener.local_addr() {
            Ok(SocketAddr::V4(to)) => self.sender.connect(to),
            other => panic!("the peer listens at {other:?}"),
        }
        let mut accepted = None;
        self.until("the handshake", |s| {
            accepted = accepted.take().or_else(|| Peer::accept(listener));
            accepted.is_some() && s.sender.is_connected()
        });
        let counts = &self.wire.counts;
        self.peer = accepted.map(|stream| Peer::new(stream, counts));
        self.sender.opened(counts);
        self.wire.opened();
        self.settle();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(n) => self.sender.write(&vec![b's'; n], false),
            Step::WriteMore(n) => self.sender.write(&vec![b's'; n], true),
            Step::NoDelay(on) => self.sender.no_delay(on),
            Step::Cork(on) => self.sender.cork(on),
            Step::Keepalive(keepalive) => self.sender.keepalive(keepalive),
            Step::Finish => self.sender.finish(),
            Step::Ack => {
                // One by one: what the sender makes of each is its own affair, not of how they came together.
                while self.wire.deliver() {
                    self.settle();
                }
            }
            Step::PeerReads(n) => self.peer().read(n),
            Step::PeerWrites(n) => self.peer().write(n),
            Step::PeerFinishes => self.peer().finish(),
            Step::PeerDies => self.wire.mute(),
            Step::Time(frames) => self.until("segments that come by themselves", |s| s.wire.sent() >= frames),
            Step::Dies(error) => {
                self.until("the end of the connection", |s| s.sender.ended().is_some());
                assert_eq!(self.sender.ended(), Some(error), "{}: the connection's end", self.name);
            }
        }
        self.settle();
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("it was accepted")
    }

    fn settle(&mut self) {
        self.until("quiet", |s| {
            let counts = &s.wire.counts;
            s.sender.is_settled(counts) && s.peer.as_ref().is_none_or(|peer| peer.settled(counts))
        });
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        loop {
            let moved = self.wire.pump();
            self.sender.turn();
            if done(self) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{}: no {what} at {:?}; {:?}", self.name, self.at, self.wire);
            if !moved {
                self.wire.wait();
            }
        }
    }

    /// Both ends forget the connection.
    fn close(mut self) {
        self.sender.end();
        if let Some(peer) = self.peer.take() {
            peer.end();
        }
        self.wire.pump();
    }
}

/// Whether both sent the same but for the differences that are listed, all of which must be there; if not, why.
pub(crate) fn compare(scenario: &Scenario, linux: &Transcript, ours: &Transcript) -> Result<(), String> {
    let mut faults = Vec::new();
    for (n, step) in scenario.steps.iter().enumerate() {
        let listed = scenario.differences.iter().find(|d| d.step == n);
        let [linux, ours] = [&linux[n], &ours[n]].map(|lines| -> Vec<Line> {
            lines.iter().map(|l| if scenario.without_psh { l.replace('P', "") } else { l.clone() }).collect()
        });
        let fault = match listed {
            None if linux == ours => continue,
            Some(d) if linux == d.linux && ours == d.ours => continue,
            None => String::new(),
            Some(_) if linux == ours => " no longer, though it is listed as a difference".to_owned(),
            Some(d) => format!(" not as it is listed ({})", d.why),
        };
        faults.push(format!("{n}. {step:?}: differs{fault}\n   linux {linux:#?}\n   ours  {ours:#?}"));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{}", scenario.name, faults.join("\n"))),
    }
}
