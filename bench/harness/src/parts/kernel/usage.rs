//! What the CPUs did meanwhile: this process's time, and what the kernel says of whole CPUs.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::line::{Line, Unit};

/// Seconds of a CPU, from `/proc/stat`, which counts by ticks.
#[derive(Clone, Copy, Default, Debug)]
struct Cpu {
    /// With what waits for storage.
    idle: f64,
    softirq: f64,
    all: f64,
}

/// A moment.
#[derive(Debug)]
pub(crate) struct Usage {
    at: Instant,
    process: Duration,
    sender: Cpu,
    receiver: Cpu,
}

/// From one moment to another.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    /// CPU time of this process, seconds, with interrupts and softirqs that ran in its place.
    pub(crate) process: f64,
    sender: Cpu,
    receiver: Cpu,
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
        })
    }

    /// Since this moment.
    pub(crate) fn until(&self, end: &Usage) -> Spent {
        Spent {
            seconds: (end.at - self.at).as_secs_f64(),
            process: (end.process.saturating_sub(self.process)).as_secs_f64(),
            sender: self.sender.until(&end.sender),
            receiver: self.receiver.until(&end.receiver),
        }
    }
}

impl Spent {
    /// Seconds of the sender's CPU in which anything ran on it.
    pub(crate) fn sender_busy(&self) -> f64 {
        (self.sender.all - self.sender.idle).max(0.0)
    }

    /// Adds to a line how busy both CPUs were.
    pub(crate) fn add(&self, line: Line) -> Line {
        let percent = |seconds: f64, cpu: &Cpu| 100.0 * seconds / cpu.all.max(f64::MIN_POSITIVE);
        let busy = |cpu: &Cpu| percent(cpu.all - cpu.idle, cpu);
        line.figure("sender_process", 100.0 * self.process / self.seconds, Unit::Percent)
            .figure("sender_core_busy", busy(&self.sender), Unit::Percent)
            .figure("sender_core_softirq", percent(self.sender.softirq, &self.sender), Unit::Percent)
            .figure("receiver_core_busy", busy(&self.receiver), Unit::Percent)
            .figure("receiver_core_softirq", percent(self.receiver.softirq, &self.receiver), Unit::Percent)
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
}
