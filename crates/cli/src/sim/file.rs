//! The scenario file: what it may say, and the simulator's scenario made of it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use sim::{ConnPlan, PeerConfig, Scenario};
use tcp::{Nanos, Time};
use tsonami::ConnectOptions;

use super::path::PathTable;
use super::text::{Bytes, Fault, share};
use crate::exit::Exit;
use crate::failure::Failure;

/// Virtual time after which a scenario without a duration ends whatever is missing.
pub(super) const LONGEST: Duration = Duration::from_secs(600);
/// Connections of one scenario.
const MOST_FLOWS: usize = 1_000;
/// The port of the first.
const FIRST_PORT: u16 = 5_001;

/// A scenario file.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioFile {
    /// The headline of the page.
    pub(super) title: Option<String>,
    /// Where chance begins.
    #[serde(default = "first_seed")]
    pub(super) seed: u64,
    /// Virtual time to run. Without it, until every flow has delivered its bytes.
    #[serde(default, with = "humantime_serde")]
    pub(super) duration: Option<Duration>,
    /// Bytes of the largest IP packet that the hosts' ports take.
    #[serde(default = "ethernet")]
    pub(super) mtu: u16,
    /// From the senders to the receivers.
    pub(super) path: PathTable,
    /// From the receivers to the senders; without it as fast and as long as `path`, and nothing is lost.
    #[serde(rename = "return")]
    pub(super) back: Option<PathTable>,
    /// How receivers behave.
    #[serde(default)]
    pub(super) receiver: ReceiverTable,
    /// The connections.
    pub(super) flow: Vec<FlowTable>,
}

fn first_seed() -> u64 {
    1
}

fn ethernet() -> u16 {
    1_500
}

/// One connection, or some alike.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FlowTable {
    /// How many like this.
    pub(super) count: usize,
    /// When they are opened.
    #[serde(with = "humantime_serde")]
    pub(super) start: Duration,
    /// Time from one of them to the next.
    #[serde(with = "humantime_serde")]
    pub(super) spread: Duration,
    /// What each sends; without it, as much as it can.
    pub(super) bytes: Option<Bytes>,
    /// Settings, with the names of the configuration file.
    pub(super) connection: ConnectOptions,
}

impl Default for FlowTable {
    fn default() -> FlowTable {
        FlowTable {
            count: 1,
            start: Duration::ZERO,
            spread: Duration::ZERO,
            bytes: None,
            connection: ConnectOptions::default(),
        }
    }
}

/// How receivers behave, beyond what settings of a connection do.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReceiverTable {
    stretch: Option<Bytes>,
    #[serde(with = "humantime_serde")]
    stretch_hold: Option<Duration>,
    divide: u32,
    optimistic: Option<Bytes>,
    renege: f64,
    autotune: Option<Bytes>,
    connection: ConnectOptions,
}

impl ReceiverTable {
    fn config(&self) -> Result<PeerConfig, Fault> {
        let bytes = |what: &str, bytes: &Option<Bytes>| {
            bytes.map(|b| u32::try_from(b.0).map_err(|_| Fault::new(what, "is too large", "64K"))).transpose()
        };
        if self.stretch_hold.is_some() && self.stretch.is_none() {
            return Err(Fault::new("receiver.stretch_hold", "needs receiver.stretch", "stretch = \"16K\""));
        }
        let hold = self.stretch_hold.unwrap_or(Duration::from_millis(40));
        Ok(PeerConfig {
            stretch: bytes("receiver.stretch", &self.stretch)?.map(|bytes| (bytes, hold.into())),
            divide: self.divide,
            optimistic: bytes("receiver.optimistic", &self.optimistic)?.unwrap_or(0),
            renege: share("receiver.renege", self.renege)?,
            autotune: bytes("receiver.autotune", &self.autotune)?.map(|bytes| bytes.max(2_000)),
        })
    }
}

impl ScenarioFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<ScenarioFile, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::new(Exit::Usage, format!("cannot read '{}': {e}", path.display()))
                .mend("tsonami sim config/scenarios/two-flows.toml")
        })?;
        toml::from_str(&text).map_err(|e| {
            let what = format!("'{}' is no scenario: {}", path.display(), e.to_string().trim_end());
            Failure::new(Exit::Usage, what).mend("every key there is: config/scenarios/every-key.toml")
        })
    }

    /// The simulator's scenario.
    pub(super) fn scenario(&self, path: &Path) -> Result<Scenario, Failure> {
        self.build().map_err(|fault| {
            Failure::new(Exit::Usage, format!("'{}': {}", path.display(), fault.what)).mend(fault.mend)
        })
    }

    /// The flows one by one, in the order of the file.
    pub(super) fn flows(&self) -> impl Iterator<Item = &FlowTable> {
        self.flow.iter().flat_map(|flow| std::iter::repeat_n(flow, flow.count))
    }

    fn build(&self) -> Result<Scenario, Fault> {
        let count = self.flows().count();
        if !(1..=MOST_FLOWS).contains(&count) {
            let what = format!("holds {count} flows, of 1 to {MOST_FLOWS}");
            return Err(Fault::new("flow", &what, "[[flow]]"));
        }
        if self.duration.is_none() && self.flow.iter().any(|flow| flow.bytes.is_none()) {
            let what = "nothing ends the run: a flow without bytes sends for ever";
            return Err(Fault::new("duration", what, "duration = \"10s\""));
        }
        if self.duration.is_some_and(|duration| duration > Duration::from_secs(3_600)) {
            return Err(Fault::new("duration", "is more than an hour", "duration = \"60s\""));
        }
        if !(576..=9_000).contains(&self.mtu) {
            return Err(Fault::new("mtu", "is not within 576 and 9000", "mtu = 1500"));
        }
        let forward = self.path.config("path", None)?;
        let back = match &self.back {
            Some(back) => back.config("return", Some(&self.path))?,
            None => {
                sim::LinkConfig { rate: forward.rate, delay: forward.delay, ..sim::LinkConfig::default() }
            }
        };
        let mut scenario = Scenario::plain(0);
        scenario.seed = self.seed;
        scenario.paths = [forward, back];
        for host in &mut scenario.hosts {
            host.nic.limits.mtu = self.mtu;
        }
        scenario.hosts[1].conn = self.receiver.connection.protocol(self.mtu);
        scenario.hosts[1].peer = self.receiver.config()?;
        let first = scenario.conns[0].clone();
        scenario.conns.clear();
        for flow in &self.flow {
            for k in 0..flow.count {
                let mut conn = ConnPlan {
                    start: Time::ZERO + Nanos::from(flow.start) + Nanos::from(flow.spread) * k as u64,
                    port: FIRST_PORT + scenario.conns.len() as u16,
                    settings: Some(flow.connection.protocol(self.mtu)),
                    ..first.clone()
                };
                conn.plans[0].total = flow.bytes.map_or(u64::MAX / 4, |bytes| bytes.0);
                conn.plans[0].chunk = (65_536, 65_536);
                scenario.conns.push(conn);
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ScenarioFile {
        toml::from_str(text).unwrap_or_else(|e| panic!("{e}"))
    }

    const SHORT: &str = "duration = '10s'\n[path]\nrate = '20M'\ndelay = '10ms'\n[[flow]]\n";

    #[test]
    fn the_shortest_scenario_is_one_flow_there_and_acks_back() {
        let scenario = parse(SHORT).build().map_err(|f| f.what).unwrap();
        assert_eq!(scenario.conns.len(), 1);
        assert_eq!([scenario.paths[0].rate, scenario.paths[1].rate], [20_000_000; 2]);
        assert_eq!([scenario.paths[0].delay, scenario.paths[1].delay], [Nanos::from_millis(10); 2]);
    }

    #[test]
    fn flows_are_counted_and_spread() {
        let text =
            format!("{SHORT}count = 3\nstart = '1s'\nspread = '100ms'\nconnection = {{ no_delay = true }}");
        let scenario = parse(&text).build().map_err(|f| f.what).unwrap();
        let starts: Vec<u64> = scenario.conns.iter().map(|conn| conn.start.as_millis()).collect();
        assert_eq!(starts, [1_000, 1_100, 1_200]);
        assert!(scenario.conns.iter().all(|conn| conn.settings.as_ref().is_some_and(|s| s.no_delay)));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_what_would() {
        for (text, what, mend) in [
            (SHORT.replace("duration = '10s'", ""), "nothing ends the run", "duration = \"10s\""),
            (SHORT.replace("[[flow]]", "[[flow]]\ncount = 0"), "holds 0 flows", "[[flow]]"),
            (format!("mtu = 100\n{SHORT}"), "mtu is not within", "mtu = 1500"),
            (SHORT.replace("'10s'", "'2h'"), "more than an hour", "60s"),
            (format!("{SHORT}[receiver]\nrenege = 1.5"), "receiver.renege", "0.01"),
            (format!("{SHORT}[receiver]\nstretch_hold = '1ms'"), "needs receiver.stretch", "stretch ="),
        ] {
            let fault = parse(&text).build().expect_err(&text);
            assert!(fault.what.contains(what) && fault.mend.contains(mend), "{}: {}", fault.what, fault.mend);
        }
    }

    #[test]
    fn every_example_is_a_scenario() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios");
        let mut found = 0;
        for entry in std::fs::read_dir(&folder).expect("the examples") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                let file = ScenarioFile::read(&path).unwrap_or_else(|e| panic!("{e}"));
                file.scenario(&path).unwrap_or_else(|e| panic!("{e}"));
                found += 1;
            }
        }
        assert!(found >= 5, "{found}");
    }
}
