//! The language of scenarios, and what makes a sender play one.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::link::Sample;
use crate::linux::Peer;
use crate::stand_in::{self, Answer, Offer};
use crate::wire::{Counts, Line, MIN_RTO, PEER, Wire};

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
    /// The same, and how long each was waited for is compared too: by powers of two, as a ladder of timeouts goes, in
    /// terms of the first wait of the scenario. So it depends on no clock, nor on who was late by less than a third.
    Waits(usize),
    /// So much time passes.
    Pause(Duration),
    /// Time passes until the connection ends with this error.
    Dies(ErrorKind),
    /// The scripted peer sends this.
    Answer(Answer),
    /// The sender has something to send for so long, and what is compared is what this says of it. The last step.
    Stream(Duration, fn(&[Sample]) -> Vec<Line>),
    /// A router says that what was sent last is too long, and what the next link holds.
    TooLong(u16),
}

/// What a sender is told about its own ways.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Habits {
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) tail_loss_probe: bool,
    /// It looks for black holes (RFC 4821).
    pub(crate) black_holes: bool,
    pub(crate) min_rto: Duration,
    pub(crate) user_timeout: Option<Duration>,
    /// It sends no faster, bytes per second.
    pub(crate) cap: Option<u64>,
    /// By BBR, otherwise by NewReno.
    pub(crate) bbr: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            timestamps: false,
            sack: false,
            tail_loss_probe: false,
            black_holes: false,
            min_rto: MIN_RTO,
            user_timeout: None,
            cap: None,
            bbr: false,
        }
    }
}

/// Who receives.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Receiver {
    /// A kernel, with a receive buffer as SO_RCVBUF wants it.
    Kernel(Option<usize>),
    /// A script.
    Scripted(Offer),
}

/// What is played, and in which steps we send something else than Linux.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) receiver: Receiver,
    pub(crate) habits: Habits,
    /// It depends on time, and says nothing when the wire or the peer was later than this.
    pub(crate) patience: Option<Duration>,
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
    fn connect(&mut self, to: SocketAddrV4, habits: Habits);
    fn is_connected(&mut self) -> bool;
    /// The handshake is over, with so many frames.
    fn opened(&mut self, counts: &Counts);
    fn write(&mut self, bytes: &[u8], more: bool);
    /// As much of them as it takes.
    fn write_some(&mut self, bytes: &[u8]);
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

/// A scenario that was played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) transcript: Transcript,
    /// The longest time that we, who are the wire and the peer, had no turn.
    pub(crate) late: Duration,
}

/// Plays a scenario.
pub(crate) fn play(scenario: &Scenario, wire: &mut Wire, sender: &mut dyn Sender) -> Played {
    let (turn, late) = (Instant::now(), Duration::ZERO);
    let mut stage =
        Stage { name: scenario.name, at: None, wire, sender, peer: None, turn, late, waited: None };
    stage.open(scenario.receiver, scenario.habits);
    let transcript = scenario.steps.iter().enumerate().map(|(n, step)| {
        stage.at = Some((n, *step));
        stage.step(*step);
        stage.wire.take_sent()
    });
    let transcript = transcript.collect();
    let late = stage.late;
    stage.close();
    Played { transcript, late }
}

struct Stage<'a> {
    name: &'static str,
    at: Option<(usize, Step)>,
    wire: &'a mut Wire,
    sender: &'a mut dyn Sender,
    peer: Option<Peer>,
    /// When we had a turn last.
    turn: Instant,
    late: Duration,
    /// The first wait of a ladder.
    waited: Option<Duration>,
}

impl Stage<'_> {
    fn open(&mut self, receiver: Receiver, habits: Habits) {
        match receiver {
            Receiver::Kernel(buffer) => {
                let listener = self.wire.listen(buffer);
                self.wire.begin(None);
                match listener.local_addr() {
                    Ok(SocketAddr::V4(to)) => self.sender.connect(to, habits),
                    other => panic!("the peer listens at {other:?}"),
                }
                let mut accepted = None;
                self.until("the handshake", |s| {
                    accepted = accepted.take().or_else(|| Peer::accept(&listener));
                    accepted.is_some() && s.sender.is_connected()
                });
                self.peer = accepted.map(|stream| Peer::new(stream, &self.wire.counts));
            }
            Receiver::Scripted(offer) => {
                self.wire.begin(Some(offer));
                self.sender.connect(SocketAddrV4::new(PEER, stand_in::PORT), habits);
                // Getting ready took as long as it took.
                (self.turn, self.late) = (Instant::now(), Duration::ZERO);
                self.until("the handshake", |s| s.wire.stand_in_is_open() && s.sender.is_connected());
            }
        }
        self.sender.opened(&self.wire.counts);
        if matches!(receiver, Receiver::Scripted(_)) {
            // The first ACK after a SYN says how far the window goes; the second alone is a duplicate (RFC 9293 §3.10.7.4).
            self.wire.answer(stand_in::ack(1));
        }
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
            Step::Waits(frames) => (0..frames).for_each(|n| self.wait(n + 1)),
            Step::Pause(time) => {
                let began = Instant::now();
                self.until("end of a pause", |_| began.elapsed() >= time);
            }
            Step::Answer(answer) => self.wire.answer(answer),
            Step::Stream(time, judge) => {
                let began = Instant::now();
                let bytes = vec![b's'; 16 << 10];
                self.until("end of a stream", |s| {
                    s.sender.write_some(&bytes);
                    began.elapsed() >= time
                });
                self.wire.say(judge(self.wire.flow()));
                return;
            }
            Step::TooLong(mtu) => {
                self.wire.too_long(mtu);
                // No count tells when a kernel has read it.
                self.until("answer to the router", |s| s.wire.sent() > 0);
            }
            Step::Dies(error) => {
                self.until("the end of the connection", |s| s.sender.ended().is_some());
                assert_eq!(self.sender.ended(), Some(error), "{}: the connection's end", self.name);
            }
        }
        self.settle();
    }

    /// Until `frames` came in this step.
    fn wait(&mut self, frames: usize) {
        let since = self.wire.sent_at();
        self.until("segments that come by themselves", |s| s.wire.sent() >= frames);
        if let (Some(since), Some(at)) = (since, self.wire.sent_at()) {
            let waited = at - since;
            let first = *self.waited.get_or_insert(waited);
            let power = (waited.as_secs_f64() / first.as_secs_f64()).log2().round();
            self.wire.remark(&format!(" after {} times the first wait", power.exp2()));
        }
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
            let now = Instant::now();
            self.late = self.late.max(now - self.turn);
            self.turn = now;
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
