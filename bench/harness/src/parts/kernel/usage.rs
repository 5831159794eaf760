//! What CPUs and the wire did meanwhile: this process's time, what the kernel says of whole CPUs, and how long packets were.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::wire::INTERFACE;
use crate::line::{Line, Unit};

/// Seconds of a CPU, from `/proc/stat`, which counts by ticks.
#[derive(Clone, Copy, Default, Debug)]
struct Cpu {
    /// With what waits for storage.
    idle: f64,
    softirq: f64,
    all: f64,
}

/// What left by the veth pair, from `/proc/net/dev`.
#[derive(Clone, Copy, Default, Debug)]
struct Sent {
    bytes: u64,
    packets: u64,
}

/// A moment.
#[derive(Debug)]
pub(crate) struct Usage {
    at: Instant,
    process: Duration,
    sender: Cpu,
    receiver: Cpu,
    sent: Sent,
}

/// From one moment to another.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// CPU time of this process, seconds, with interrupts and softirqs that ran in its place.
    pub(crate) process: f64,
    sender: Cpu,
    receiver: Cpu,
    sent: Sent,
}

impl Usage {
    /// Now. The CPUs are those of sender and receiver.
    pub(crate) fn now(sender: usize, receiver: usize) -> Result<Usage> {
        let used = getrusage(UsageWho::RUSAGE_SELF)?;
        let micros = used.user_time().num_microseconds() + used.system_time().num_microseconds();
        let stat = std::fs::read_to_string("/proc/stat")?;
        Ok(Usage {
            at: Instant::now(),
            process: Duration::from_micros(micros.unsigned_abs()),
            sender: Cpu::read(&stat, sender)?,
            receiver: Cpu::read(&stat, receiver)?,
            sent: Sent::read(&std::fs::read_to_string("/proc/net/dev")?)?,
        })
    }

    /// Since this moment.
    pub(crate) fn until(&self, end: &Usage) -> Spent {
        Spent {
            seconds: (end.at - self.at).as_secs_f64(),
            process: (end.process.saturating_sub(self.process)).as_secs_f64(),
            sender: self.sender.until(&end.sender),
            receiver: self.receiver.until(&end.receiver),
            sent: Sent {
                bytes: end.sent.bytes - self.sent.bytes,
                packets: end.sent.packets - self.sent.packets,
            },
        }
    }
}

impl Spent {
    /// Seconds of the sender's CPU in which anything ran on it.
    pub(crate) fn sender_busy(&self) -> f64 {
        (self.sender.all - self.sender.idle).max(0.0)
    }

    /// Adds to a line how busy both CPUs were, and how long packets were in the mean, headers included.
    pub(crate) fn add(&self, line: Line) -> Line {
        let percent = |seconds: f64, cpu: &Cpu| 100.0 * seconds / cpu.all.max(f64::MIN_POSITIVE);
        let busy = |cpu: &Cpu| percent(cpu.all - cpu.idle, cpu);
        line.figure("sender_process", 100.0 * self.process / self.seconds, Unit::Percent)
            .figure("sender_core_busy", busy(&self.sender), Unit::Percent)
            .figure("sender_core_softirq", percent(self.sender.softirq, &self.sender), Unit::Percent)
            .figure("receiver_core_busy", busy(&self.receiver), Unit::Percent)
            .figure("receiver_core_softirq", percent(self.receiver.softirq, &self.receiver), Unit::Percent)
            .figure("packet", self.sent.bytes as f64 / self.sent.packets.max(1) as f64, Unit::Bytes)
    }
}

impl Sent {
    fn read(devices: &str) -> Result<Sent> {
        let line =
            devices.lines().find_map(|line| line.trim_start().strip_prefix(INTERFACE)?.strip_prefix(':'));
        let counts: Vec<u64> =
            line.into_iter().flat_map(str::split_whitespace).map_while(|n| n.parse().ok()).collect();
        // Eight counts of what was received, then bytes and packets sent.
        match counts[..] {
            [_, _, _, _, _, _, _, _, bytes, packets, ..] => Ok(Sent { bytes, packets }),
            _ => Err(Error::other(format!("/proc/net/dev has no counts of {INTERFACE}"))),
        }
    }
}

impl Cpu {
    fn read(stat: &str, cpu: usize) -> Result<Cpu> {
        let name = format!("cpu{cpu} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name));
        let line = line.ok_or_else(|| Error::other(format!("/proc/stat knows no CPU {cpu}")))?;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let ticks: Vec<f64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what guests took is in user already.
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks[..] else {
            return Err(Error::other(format!("/proc/stat says '{line}' of CPU {cpu}")));
        };
        Ok(Cpu {
            idle: (idle + iowait) / per_second,
            softirq: softirq / per_second,
            all: (user + nice + system + idle + iowait + irq + softirq + steal) / per_second,
        })
    }

    fn until(&self, end: &Cpu) -> Cpu {
        Cpu { idle: end.idle - self.idle, softirq: end.softirq - self.softirq, all: end.all - self.all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_busy_when_it_neither_idles_nor_waits_for_storage() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 100 0 200 500 100 0 50 50 0 0\nintr 7\n";
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let cpu = Cpu::read(stat, 1).expect("a line");
        assert_eq!(
            (cpu.idle, cpu.softirq, cpu.all),
            (600.0 / per_second, 50.0 / per_second, 1000.0 / per_second)
        );
        assert!(Cpu::read(stat, 2).is_err());
        assert!(Cpu::read("cpu0 1 2 3\n", 0).is_err());
    }

    #[test]
    fn what_was_sent_stands_behind_what_was_received() {
        let devices = "Inter-| Receive | Transmit\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n   eth: 7 1 0 0 0 0 0 0 3028 2 0 0 0 0 0 0\n";
        let sent = Sent::read(devices).expect("counts");
        assert_eq!((sent.bytes, sent.packets), (3028, 2));
        assert!(Sent::read("    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n").is_err());
    }
}
