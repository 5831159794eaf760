//! `tsonami serve`.

use std::path::PathBuf;

use clap::Args;

use super::{DEFAULT_PORT, DeviceArgs, LogArgs, ReceivingArgs, TuningArgs, WatchArgs, WorkerArgs};
use crate::serve::Lengths;

/// Receives: accepts connections, counts and hashes what arrives.
///
/// Each connection is read to its end and reported with its bytes and their SHA-256. With --answer it is the other end of
/// 'tsonami rr' and 'tsonami crr' instead. Runs until Ctrl-C unless told otherwise.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The port to listen on
    #[arg(short, long, value_name = "PORT", default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// Write what arrives to a file; later connections to PATH.2, PATH.3, ... beside it
    #[arg(long, value_name = "PATH", help_heading = "What to do with it")]
    pub(crate) out: Option<PathBuf>,

    /// Do not hash, only count
    #[arg(long, help_heading = "What to do with it")]
    pub(crate) no_hash: bool,

    /// Answer each REQUEST bytes with RESPONSE bytes, as many unless said otherwise; only totals are told
    #[arg(long, value_name = "REQUEST[:RESPONSE]", conflicts_with_all = ["out", "no_hash"], help_heading = "What to do with it")]
    pub(crate) answer: Option<Lengths>,

    /// Close each connection after one answer, before the peer does
    #[arg(long, requires = "answer", help_heading = "What to do with it")]
    pub(crate) close: bool,

    /// End after one connection
    #[arg(short = '1', long, conflicts_with = "connections", help_heading = "When to stop")]
    pub(crate) once: bool,

    /// End after this many connections
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "When to stop")]
    pub(crate) connections: Option<u64>,

    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65_536),
          help_heading = "How to receive")]
    pub(crate) backlog: u32,

    #[command(flatten)]
    pub(crate) connection: ReceivingArgs,

    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) workers: WorkerArgs,

    /// Print one JSON object per connection and one at the end instead of text
    #[arg(short = 'J', long, help_heading = "Output")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  The far end of a vhost-user wire (start it first; both need hugepages):
    tsonami serve --dev vhost:/tmp/wire.sock --addr 10.78.0.1/24 --once
    tsonami send 10.78.0.1 --dev virtio-user:/tmp/wire.sock --addr 10.78.0.2/24

  From this machine's kernel, over a TAP:
    tsonami serve --out received.bin --once &
    socat -u OPEN:data.bin TCP:10.77.0.2:5001

  Answers of 1 KiB to requests of 64 bytes, for 'tsonami rr --response 1K':
    tsonami serve --answer 64:1K";
