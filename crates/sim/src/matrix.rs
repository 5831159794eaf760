//! The matrix: what each controller makes of loss, round-trip time and buffer, as a table that reads the same every time.
//!
//! Time is virtual and chance is seeded, so a cell changes only when the protocol, or the simulator, does. What is
//! snapshotted shows in review.

use core::fmt;

use tcp::conn::ConnConfig;
use tcp::conn::cc::ControllerKind;
use tcp::{Nanos, Time};

use crate::fairness::fairness;
use crate::link::{Loss, QueueConfig};
use crate::scenario::{ConnPlan, Scenario};
use crate::world::{Failure, World};

/// Bits per second of the bottleneck.
const RATE: u64 = 20_000_000;

/// One cell: a path, and who sends through it.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Cell {
    /// The congestion controller.
    pub controller: ControllerKind,
    /// The share of data frames that is lost at random.
    pub loss: f64,
    /// The round trip without a queue.
    pub rtt: Nanos,
    /// What the bottleneck's queue holds, in bandwidth-delay products; three frames at least.
    pub buffer: f64,
}

/// What was measured in a cell.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Row {
    /// The cell.
    pub cell: Cell,
    /// Bits per second that one connection delivers to the application, from its opening.
    pub goodput: f64,
    /// Its bytes sent again, as a share of all it sent.
    pub again: f64,
    /// The mean wait of its frames at the bottleneck.
    pub wait: Nanos,
    /// Its retransmission timeouts.
    pub timeouts: u64,
    /// Jain's index of two connections that began a second apart, over the later half of the time.
    pub fairness: f64,
}

/// The columns of [`Row`]'s text.
pub const HEAD: &str =
    "controller\tloss %\tRTT ms\tbuffer BDP\tgoodput Mbit/s\tsent again %\tqueue ms\ttimeouts\tfairness";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { controller, loss, rtt, buffer } = self.cell;
        write!(
            f,
            "{controller}\t{}\t{}\t{buffer}\t{:.2}\t{:.2}\t{:.2}\t{}\t{:.3}",
            loss * 100.0,
            rtt.as_nanos() as f64 / 1e6,
            self.goodput / 1e6,
            self.again * 100.0,
            self.wait.as_nanos() as f64 / 1e6,
            self.timeouts,
            self.fairness,
        )
    }
}

/// Every cell of these values, controller by controller.
pub fn cells<'a>(
    controllers: &'a [ControllerKind],
    losses: &'a [f64],
    rtts: &'a [Nanos],
    buffers: &'a [f64],
) -> impl Iterator<Item = Cell> + 'a {
    let of = move |&controller| {
        losses.iter().flat_map(move |&loss| {
            rtts.iter().flat_map(move |&rtt| {
                buffers.iter().map(move |&buffer| Cell { controller, loss, rtt, buffer })
            })
        })
    };
    controllers.iter().flat_map(of)
}

/// The cells whose snapshot is under review: few enough for every run of the tests.
pub fn review(controllers: &[ControllerKind]) -> impl Iterator<Item = Cell> + '_ {
    const RTTS: [Nanos; 2] = [Nanos::from_millis(10), Nanos::from_millis(50)];
    cells(controllers, &[0.0, 0.001, 0.01], &RTTS, &[0.1, 1.0, 4.0])
}

impl Cell {
    /// The controllers that take no argument, which are those that can be compared.
    pub fn controllers() -> Vec<ControllerKind> {
        ControllerKind::NAMES.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// How long a run takes in virtual time: long enough for a hundred round trips, ten seconds at least.
    pub fn duration(&self) -> Nanos {
        Nanos::from_secs(10) + self.rtt * 100
    }

    /// The scenario of so many connections that begin a second apart and never end.
    pub fn scenario(&self, connections: u16) -> Scenario {
        let mut scenario = Scenario::plain(u64::MAX / 4);
        let bdp = RATE as f64 / 8.0 * self.rtt.as_secs_f64();
        for path in &mut scenario.paths {
            (path.rate, path.delay) = (RATE, self.rtt / 2);
        }
        scenario.paths[0].queue = QueueConfig::bytes(((bdp * self.buffer) as usize).max(3 * 1_514));
        scenario.paths[0].loss = Loss::random(self.loss);
        // Neither end's memory is what is measured.
        let conn = ConnConfig {
            controller: self.controller,
            receive_buffer: 8 << 20,
            send_buffer_max: 16 << 20,
            ..scenario.hosts[0].conn.clone()
        };
        scenario.hosts.iter_mut().for_each(|host| host.conn = conn.clone());
        scenario.conns[0].plans[0].chunk = (65_536, 65_536);
        let first = scenario.conns[0].clone();
        let nth = |n: u16| ConnPlan {
            port: 80 + n,
            start: Time::ZERO + Nanos::from_secs(n.into()),
            ..first.clone()
        };
        scenario.conns = (0..connections).map(nth).collect();
        scenario
    }

    /// Runs the cell.
    ///
    /// # Errors
    /// When the protocol broke a rule.
    pub fn measure(&self) -> Result<Row, Failure> {
        let end = Time::ZERO + self.duration();
        let mut alone = World::new(self.scenario(1)).unobserved();
        alone.run_until(end)?;
        let (result, waits) = (alone.results()[0], alone.paths().next().copied().unwrap_or_default());
        let sent = result.stats.bytes_sent + result.stats.bytes_retransmitted;

        let shares = self.shares(2, self.duration() / 2, self.duration())?;
        Ok(Row {
            cell: *self,
            goodput: result.received as f64 * 8.0 / self.duration().as_secs_f64(),
            again: result.stats.bytes_retransmitted as f64 / sent.max(1) as f64,
            wait: waits.waited / waits.sent.max(1),
            timeouts: result.stats.timeouts,
            fairness: fairness(shares.into_iter()),
        })
    }

    /// Bytes that each of so many connections delivers from one moment to another.
    ///
    /// # Errors
    /// When the protocol broke a rule.
    pub fn shares(&self, connections: u16, from: Nanos, to: Nanos) -> Result<Vec<f64>, Failure> {
        let mut world = World::new(self.scenario(connections)).unobserved();
        world.run_until(Time::ZERO + from)?;
        let before: Vec<u64> = world.results().iter().map(|r| r.received).collect();
        world.run_until(Time::ZERO + to)?;
        Ok(world.results().iter().zip(before).map(|(r, before)| (r.received - before) as f64).collect())
    }
}
