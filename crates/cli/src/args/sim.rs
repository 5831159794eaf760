//! `tsonami sim`.

use std::path::PathBuf;

use clap::Args;

/// Runs a scenario in a simulated network: real senders and receivers, a path made of numbers, a virtual clock.
///
/// It writes a page with plots (time-sequence, congestion window, round-trip time, queue) and a capture of what passed the
/// senders' port.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimArgs {
    /// What to simulate: a TOML file; config/scenarios has examples that explain every key
    #[arg(value_name = "SCENARIO.toml")]
    pub(crate) scenario: PathBuf,

    /// Draw what happens by chance from this number instead of the scenario's
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// Write PATH.html and PATH.pcap [default: the scenario's name, in the current folder]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,

    /// Print one JSON object instead of text; its keys carry their units
    #[arg(short = 'J', long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  Two connections that share a bottleneck; then open two-flows.html:
    tsonami sim config/scenarios/two-flows.toml

  The same losses at other places, five times, and only the numbers:
    for seed in 1 2 3 4 5; do tsonami sim wifi.toml --seed $seed -J; done

A scenario in its shortest form, ten seconds of one connection over 20 Mbit/s:
    duration = \"10s\"
    [path]
    rate = \"20M\"
    delay = \"10ms\"
    [[flow]]

No device and no rights are needed, and the same scenario gives the same result on every
machine. The page has plots of sequence numbers, congestion window, round-trip time and queue;
the capture is what passed the senders' port. Exit code 8: the protocol broke a rule, and the
message has the seed; 'tsonami --help' has the others.";
