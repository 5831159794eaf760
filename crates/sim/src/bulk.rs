//! What a long transfer makes of a seed's path: its goodput in parts of what the path allows, and the cell of conditions
//! it belongs to.
//!
//! Seeds as they are show faults, not speed: their applications pause, their devices refuse, their buffers are small. Here
//! the path, the receiver's habits and the controller are the seed's, and everything else is plain.

use core::fmt;

use tcp::Nanos;
use tcp::conn::cc::ControllerKind;
use tcp::conn::{ConnConfig, ConnStats, EcnMode};

use crate::link::{Discipline, LinkConfig, Loss, Thinning};
use crate::peer::PeerConfig;
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::world::{Failure, World};

/// Bytes of the transfer.
pub const BYTES: u64 = 4_000_000;
/// Payload of a full segment with timestamps, and what it takes of a link.
const MSS: f64 = 1_448.0;
const FULL_FRAME: f64 = 1_514.0 + 24.0;
/// What an ACK takes.
const ACK_FRAME: f64 = 66.0 + 24.0;
/// Segments of the initial window.
const INITIAL_WINDOW: f64 = 10.0;

/// The controllers that can be compared, each with its name.
const CONTROLLERS: [(ControllerKind, &str); 4] = [
    (ControllerKind::Cubic, "cubic"),
    (ControllerKind::NewReno, "newreno"),
    (ControllerKind::Bbr, "bbr"),
    (ControllerKind::Dctcp, "dctcp"),
];

/// One condition: what it is called, and what of it a seed has.
pub type Condition = (&'static str, &'static str);

/// What one seed came to.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Bulk {
    /// The seed.
    pub seed: u64,
    /// Its conditions.
    pub cell: Cell,
    /// The time the path [allows](allowed), as a part of the time it took.
    pub share: f64,
    /// The time that loss [leaves](bounded_by_loss) a controller that answers it, as a part of the time it took; for BBR,
    /// which does not, the same as `share`.
    pub of_law: f64,
    /// How long it took.
    pub took: Nanos,
    /// The sender's statistics at the end.
    pub stats: ConnStats,
}

/// Conditions, coarsely.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    /// Loss, corruption included.
    pub loss: &'static str,
    /// The round trip.
    pub rtt: &'static str,
    /// The bottleneck's queue.
    pub queue: &'static str,
    /// Whether frames overtake each other.
    pub order: &'static str,
    /// What the receiver does, or the return path does to its ACKs.
    pub receiver: &'static str,
    /// The controller.
    pub controller: &'static str,
}

impl Cell {
    /// Each condition with its name.
    pub fn conditions(&self) -> [Condition; 6] {
        [
            ("loss", self.loss),
            ("RTT", self.rtt),
            ("queue", self.queue),
            ("order", self.order),
            ("receiver", self.receiver),
            ("controller", self.controller),
        ]
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.conditions().map(|(_, value)| value);
        f.write_str(&values.join("\t"))
    }
}

/// The scenario of a seed: its path without outages and changes of the route, the habits of its second host, and one
/// connection that sends [`BYTES`].
pub fn scenario(seed: u64) -> Scenario {
    let drawn = Scenario::from_seed(seed);
    let mut scenario = Scenario::plain(BYTES);
    scenario.seed = seed;
    scenario.paths = drawn.paths.map(|path| LinkConfig { outage: None, changes: Vec::new(), ..path });
    scenario.hosts[1].peer = drawn.hosts[1].peer;
    let (controller, _) = Rng::new(seed ^ 0x6275_6c6b).pick(&CONTROLLERS);
    let ecn = if controller == ControllerKind::Dctcp { EcnMode::On } else { drawn.hosts[0].conn.ecn };
    // Neither end's memory is what is measured.
    let conn = ConnConfig {
        controller,
        ecn,
        receive_buffer: 8 << 20,
        // A lost last ACK is repeated from TIME-WAIT, if that lasts longer than the longest retransmission timeout.
        time_wait: Nanos::from_secs(600),
        // Nobody gives up.
        user_timeout: Nanos::from_secs(3_600),
        fin_wait_timeout: Nanos::from_secs(3_600),
        send_buffer_max: 16 << 20,
        ..scenario.hosts[0].conn.clone()
    };
    scenario.hosts.iter_mut().for_each(|host| host.conn = conn.clone());
    scenario.conns[0].plans[0].chunk = (65_536, 65_536);
    scenario
}

/// Runs a seed.
///
/// # Errors
/// When the protocol broke a rule, or the transfer never ended.
pub fn measure(seed: u64) -> Result<Bulk, Failure> {
    let scenario = scenario(seed);
    let cell = cell(&scenario);
    let allowed = allowed(&scenario.paths);
    let law = match scenario.hosts[0].conn.controller {
        ControllerKind::Bbr => allowed,
        _ => allowed.max(bounded_by_loss(&scenario.paths)),
    };
    let mut world = World::new(scenario).unobserved();
    world.run()?;
    let result = world.results()[0];
    let took = result.complete.map_or(Nanos::MAX, |at| at.since(result.opened));
    let (share, of_law) = (allowed / took.as_secs_f64(), law / took.as_secs_f64());
    Ok(Bulk { seed, cell, share, of_law, took, stats: result.stats })
}

/// The seconds that the transfer takes of a sender that loses no time: a round trip for the handshake, a window of ten
/// segments that doubles every round trip until it fills the path, and then what the bottleneck passes.
///
/// That is its rate, less what is lost and what others send, and not more than the return path has room to acknowledge
/// with an ACK for two segments.
pub fn allowed([there, back]: &[LinkConfig; 2]) -> f64 {
    let rtt = round_trip(there, back);
    let cross = there.cross.map_or(0.0, |cross| {
        let (on, off) = (cross.on.as_secs_f64(), cross.off.as_secs_f64());
        cross.rate as f64 * on / (on + off).max(f64::MIN_POSITIVE)
    });
    let wire = (there.rate as f64 - cross) * (1.0 - lost(there)) / 8.0 / FULL_FRAME * MSS;
    let acknowledged = back.rate as f64 / 8.0 / ACK_FRAME * 2.0 * MSS;
    let rate = wire.min(acknowledged);
    let (mut seconds, mut left, mut window) = (rtt, BYTES as f64, INITIAL_WINDOW * MSS);
    while window < rate * rtt && left > window {
        (seconds, left, window) = (seconds + rtt, left - window, window * 2.0);
    }
    seconds + left / rate + rtt / 2.0
}

/// The seconds that it takes at the rate to which loss by chance holds a sender that halves its window for each: a
/// segment a round trip, times the root of 3/2 by the share of losses (Mathis et al. 1997). Frames lost together count as
/// one loss.
pub fn bounded_by_loss([there, back]: &[LinkConfig; 2]) -> f64 {
    let (lost, together) = match there.loss {
        Loss::None => (0.0, 1.0),
        Loss::Random { share, burst } => (share, burst as f64),
        Loss::GilbertElliott(model) => (model.share(), (model.loss_bad / model.to_good).max(1.0)),
    };
    let losses = lost / together + there.corrupt;
    BYTES as f64 / MSS * round_trip(there, back) / (1.5 / losses).sqrt()
}

fn round_trip(there: &LinkConfig, back: &LinkConfig) -> f64 {
    let one_way = |path: &LinkConfig| path.delay.as_secs_f64() + path.jitter.as_secs_f64() / 2.0;
    one_way(there) + one_way(back)
}

/// The share of frames that do not arrive whole.
fn lost(path: &LinkConfig) -> f64 {
    let loss = match path.loss {
        Loss::None => 0.0,
        Loss::Random { share, .. } => share,
        Loss::GilbertElliott(model) => model.share(),
    };
    1.0 - (1.0 - loss) * (1.0 - path.corrupt)
}

/// The cell of a scenario.
fn cell(scenario: &Scenario) -> Cell {
    let [there, back] = &scenario.paths;
    let bursts = match there.loss {
        Loss::None => false,
        Loss::Random { share, burst } => share > 0.0 && burst > 1,
        Loss::GilbertElliott(_) => true,
    };
    let loss = match (lost(there), bursts) {
        (0.0, _) => "none",
        (..0.02, false) => "below 2 %",
        (_, false) => "2 to 10 %",
        (..0.02, true) => "below 2 %, bursts",
        (_, true) => "2 to 10 %, bursts",
    };
    let rtt = round_trip(there, back);
    let held = there.queue.bytes.min(there.queue.frames.saturating_mul(1_514)) as f64;
    let queue = match there.queue.discipline {
        Discipline::TailDrop if held < 0.5 * rtt * there.rate as f64 / 8.0 => "below BDP/2",
        Discipline::TailDrop => "longer",
        _ => "AQM",
    };
    Cell {
        loss,
        rtt: match rtt {
            ..0.002 => "below 2 ms",
            ..0.03 => "2 to 30 ms",
            _ => "30 ms and more",
        },
        queue,
        order: if there.reorder.share > 0.0 { "overtaken" } else { "kept" },
        receiver: receiver(&scenario.hosts[1].peer, back),
        controller: CONTROLLERS
            .iter()
            .find(|(kind, _)| *kind == scenario.hosts[0].conn.controller)
            .map_or("another", |(_, name)| name),
    }
}

fn receiver(peer: &PeerConfig, back: &LinkConfig) -> &'static str {
    let habits = [
        (peer.stretch.is_some(), "stretched ACKs"),
        (peer.divide > 1, "divided ACKs"),
        (peer.renege > 0.0, "reneging"),
        (peer.autotune.is_some(), "growing window"),
        (back.thinning == Thinning::Filter, "thinned ACKs"),
    ];
    let mut has = habits.into_iter().filter(|(has, _)| *has).map(|(_, name)| name);
    match (has.next(), has.next()) {
        (None, _) => "plain",
        (Some(one), None) => one,
        _ => "several",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_allows_is_worked_out_by_hand() {
        // 1538 bytes of wire a millisecond, 1448 of them payload, and hardly any round trip: the rate alone counts.
        let path = LinkConfig { rate: 12_304_000, ..LinkConfig::default() };
        let alone = allowed(&[path.clone(), path.clone()]);
        assert!((alone - 4_000.0 / 1_448.0).abs() < 1e-9, "{alone}");
        // Half of it is lost.
        let lossy = LinkConfig { loss: Loss::random(0.5), ..path.clone() };
        assert!((allowed(&[lossy, path.clone()]) - 2.0 * alone).abs() < 1e-9);
        // No rate to speak of, a second of delay: 10, 20, ... 1280 segments in eight rounds, the rest behind them.
        let far = LinkConfig { rate: u64::MAX, delay: Nanos::from_millis(500), ..LinkConfig::default() };
        assert!((allowed(&[far.clone(), far]) - 9.5).abs() < 1e-3);
        // At 1.5 % and 100 ms ten segments a round trip, 100 a second.
        let mathis = LinkConfig { loss: Loss::random(0.015), delay: Nanos::from_millis(50), ..path };
        let seconds = bounded_by_loss(&[mathis.clone(), mathis]);
        assert!((seconds - 4_000_000.0 / 1_448.0 / 100.0).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn a_perfect_path_is_used_well_by_each_controller() {
        let mut seen = Vec::new();
        for seed in (0..2_000).filter(|&seed| lost(&scenario(seed).paths[0]) == 0.0) {
            let bulk = scenario(seed);
            let (name, path) = (cell(&bulk).controller, &bulk.paths[0]);
            let easy = path.rate < 50_000_000 && path.cross.is_none() && cell(&bulk).queue == "longer";
            if easy && cell(&bulk).receiver == "plain" && !seen.contains(&name) {
                seen.push(name);
                let bulk = measure(seed).expect("the transfer ends");
                assert!((0.8..1.02).contains(&bulk.share), "{bulk:?}");
            }
        }
        assert_eq!(seen.len(), 4);
    }
}
