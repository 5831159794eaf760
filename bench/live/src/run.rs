//! One run: senders over a link to a receiver, in namespaces of their own.
//!
//! ```text
//!  kernel's senders            hub                link                receiver
//! [ eth 10.79.0.1 ]======[ bridge ]====[ snd  tsonami-live  rcv ]====[ eth 10.79.0.2 ]
//!                          |    |
//!                    TAPs: ours 10.79.0.3, .4
//! ```
//!
//! Everybody's frames take the same way, cut as on a wire, with an MTU of 1490: what net_tap takes.

use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use live::place::{Namespace, Process, myself, prefer};
use serde::{Deserialize, Serialize};

use crate::link::Report;

/// Bytes a full frame takes on the link: MTU, Ethernet header, framing.
const FULL_FRAME: u64 = 1490 + 14 + 24;
const RECEIVER: &str = "10.79.0.2:5001";
/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who runs where, and before whom. A sender that polls beside the link on one CPU leaves so little to others there that the
/// scheduler takes its turn away, for up to 50 ms.
const SENDER_CPU: usize = 1;
const LINK_CPU: usize = 0;
const PRIORITY: u8 = 10;
const LINK_PRIORITY: u8 = 20;
/// We sleep most of the time, but whom we start must not wait for his priority.
const OUR_PRIORITY: u8 = 30;
/// In a run in which one frame in a hundred left the link later than this, the link got no CPU. It is repeated.
const LATE: Duration = Duration::from_millis(1);
/// In a run in which any did by this much, the machine stood still. It is repeated too.
const STALL: Duration = Duration::from_millis(30);

/// Conditions.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Bits per second.
    pub(crate) rate: u64,
    pub(crate) rtt_us: u64,
    /// In bandwidth-delay products.
    pub(crate) buffer: f64,
    /// Share of frames.
    pub(crate) loss: f64,
}

impl Cell {
    /// Frames that wait at the bottleneck at most. A device holds one at least.
    pub(crate) fn queue(&self) -> usize {
        let bdp_frames = self.rate as f64 * self.rtt_us as f64 / 8e6 / FULL_FRAME as f64;
        (self.buffer * bdp_frames).round().max(1.0) as usize
    }
}

/// Whose TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stack {
    Kernel,
    Tsonami,
}

/// A sender: `kernel:cubic`, `tsonami:bbr`, `tsonami` with its default controller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Sender {
    pub(crate) stack: Stack,
    pub(crate) controller: Option<String>,
}

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Sender, String> {
        let (stack, controller) = match text.split_once(':') {
            Some((stack, controller)) => (stack, Some(controller.to_owned())),
            None => (text, None),
        };
        match (stack, &controller) {
            ("kernel", Some(_)) => Ok(Sender { stack: Stack::Kernel, controller }),
            ("tsonami", _) => Ok(Sender { stack: Stack::Tsonami, controller }),
            _ => Err("a sender is kernel:CONTROLLER, tsonami:CONTROLLER, or tsonami".into()),
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stack = match self.stack {
            Stack::Kernel => "kernel",
            Stack::Tsonami => "tsonami",
        };
        match &self.controller {
            Some(controller) => write!(f, "{stack}:{controller}"),
            None => f.write_str(stack),
        }
    }
}

/// Makes runs, and knows when to stop.
pub(crate) struct Runner {
    pub(crate) tsonami: PathBuf,
    /// As `tsonami send --wait` takes it.
    pub(crate) wait: String,
    pub(crate) seconds: u64,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Runner {
    pub(crate) fn new(tsonami: PathBuf, wait: String, seconds: u64) -> Result<Runner> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        prefer(std::process::id(), OUR_PRIORITY)?;
        Ok(Runner { tsonami: tsonami.canonicalize()?, wait, seconds, stop })
    }

    /// Runs these senders at the same time, until each has sent data for the given time; says what the link saw. A run that
    /// the machine spoilt is repeated.
    pub(crate) fn run(&self, cell: &Cell, senders: &[Sender], seed: u64) -> Result<Report> {
        for _ in 0..10 {
            let report = self.run_once(cell, senders, seed)?;
            if let Some(fault) = report.fault() {
                return Err(Error::other(format!("the link was no wire: {fault}")));
            }
            let (usual, longest) = report.lateness();
            if usual < LATE && longest < STALL {
                return Ok(report);
            }
            eprintln!("frames left up to {usual:.1?}, some {longest:.1?} too late: once more");
        }
        Err(Error::other("the machine is too busy: the link was late in ten runs out of ten"))
    }

    fn run_once(&self, cell: &Cell, senders: &[Sender], seed: u64) -> Result<Report> {
        let alive = || self.alive();
        let [source, middle, sink] = places(senders.len())?;
        let me = myself()?;
        let Cell { rate, rtt_us, loss, .. } = cell;
        let words = format!(
            "link snd rcv --rate {rate} --rtt-us {rtt_us} --queue {} --loss {loss} --seed {seed} --at-most {}",
            cell.queue(),
            self.seconds + 60
        );
        let link = middle.start(&me, &words)?;
        // Whoever speaks is what he shall be; before, he was the programs that start him.
        expect(&link, "up", alive)?;
        link.settle(LINK_CPU, LINK_PRIORITY)?;
        let receiver = sink.start(&me, &format!("receive {RECEIVER}"))?;
        expect(&receiver, "listening", alive)?;
        receiver.settle(LINK_CPU, PRIORITY)?;
        let mut sending: Vec<Process> = Vec::new();
        for (n, sender) in senders.iter().enumerate() {
            let controller = sender.controller.as_deref();
            sending.push(match sender.stack {
                Stack::Kernel => {
                    let words = format!("send {RECEIVER} --congestion {}", controller.unwrap_or("cubic"));
                    source.start(&me, &words)?
                }
                Stack::Tsonami => {
                    let choice = controller.map_or_else(String::new, |name| format!("-C {name}"));
                    let words = format!(
                        "send {RECEIVER} --dev tap:ts{n} --addr 10.79.0.{}/24 --wait {} -t 3600 --timeout 60 \
                         --send-buffer-max 64M {choice}",
                        3 + n,
                        self.wait
                    );
                    let program = self.tsonami.to_string_lossy();
                    middle.start(&program, &words)?
                }
            });
        }
        for _ in senders {
            expect(&link, "data", alive)?;
        }
        // All have equal places: those who share a link share the CPU that has no link to run.
        for sender in &sending {
            sender.settle(SENDER_CPU, PRIORITY)?;
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(self.seconds) + Duration::from_millis(200) {
            alive()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        link.end();
        let report = link.line(PATIENCE, alive)?;
        drop(sending);
        Ok(serde_json::from_str(&report)?)
    }

    fn alive(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::from(ErrorKind::Interrupted));
        }
        Ok(())
    }
}

fn expect(process: &Process, word: &str, alive: impl FnMut() -> Result<()>) -> Result<()> {
    let line = process.line(PATIENCE, alive)?;
    if line == word { Ok(()) } else { Err(Error::other(format!("'{line}' instead of '{word}'"))) }
}

/// The namespaces of the kernel's senders, of the link and of the receiver, joined; with TAPs for so many of ours.
fn places(taps: usize) -> Result<[Namespace; 3]> {
    let [source, middle, sink] = [Namespace::new()?, Namespace::new()?, Namespace::new()?];
    middle.run("ip link add hub type bridge")?;
    middle.run(&format!("ip link add source type veth peer name eth netns {}", source.pid()))?;
    middle.run("ip link add port type veth peer name snd")?;
    middle.run(&format!("ip link add rcv type veth peer name eth netns {}", sink.pid()))?;
    for n in 0..taps {
        middle.run(&format!("ip tuntap add dev ts{n} mode tap multi_queue"))?;
        middle.run(&format!("ip link set ts{n} master hub up"))?;
    }
    middle.run("ip link set source master hub")?;
    middle.run("ip link set port master hub")?;
    for end in ["source", "port", "snd", "rcv"] {
        whole_frames(&middle, end)?;
    }
    middle.run("ip link set hub up")?;
    for (place, address) in [(&source, "10.79.0.1/24"), (&sink, "10.79.0.2/24")] {
        whole_frames(place, "eth")?;
        place.run(&format!("ip address add {address} dev eth"))?;
        // Room for every window; and no run learns from another.
        place.set("ipv4/tcp_rmem", "4096 131072 67108864")?;
        place.set("ipv4/tcp_wmem", "4096 65536 67108864")?;
        place.set("ipv4/tcp_no_metrics_save", "1")?;
    }
    source.run("ip link set eth mtu 1490")?;
    sink.run("ip link set eth mtu 1490")?;
    Ok([source, middle, sink])
}

/// Takes this interface up, and has it carry what a wire would: checksums filled in, no segmentation left to it, and
/// nothing put together on arrival.
fn whole_frames(place: &Namespace, interface: &str) -> Result<()> {
    place.run(&format!("ethtool -K {interface} tx off tso off gro off"))?;
    place.run(&format!("ip link set {interface} up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_sized_in_bandwidth_delay_products_and_holds_a_frame_at_least() {
        let cell = Cell { rate: 100_000_000, rtt_us: 10_000, buffer: 1.0, loss: 0.0 };
        assert_eq!(cell.queue(), 82, "125 000 bytes");
        assert_eq!(Cell { buffer: 4.0, ..cell }.queue(), 327);
        assert_eq!(Cell { rtt_us: 200, buffer: 0.1, ..cell }.queue(), 1);
    }

    #[test]
    fn senders_are_named_by_stack_and_controller() {
        for name in ["kernel:cubic", "tsonami:bbr", "tsonami"] {
            assert_eq!(name.parse::<Sender>().map(|s| s.to_string()), Ok(name.to_owned()));
        }
        for name in ["kernel", "windows:cubic", ""] {
            assert!(name.parse::<Sender>().is_err(), "{name}");
        }
    }
}
