//! `tsonami rr` and `tsonami crr`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{DeviceArgs, LogArgs, SendingArgs, TuningArgs, WatchArgs, WorkerArgs};
use crate::target::Target;
use crate::units::{Size, parse_duration, parse_positive_duration};

/// Measures how long answers take: requests over connections that stay.
///
/// The other end is 'tsonami serve --answer REQUEST:RESPONSE' or any server that answers each REQUEST bytes with RESPONSE
/// bytes. Without --rate each connection asks again when it is answered (a closed loop). With --rate requests are
/// due at times of their own, and the time of an answer counts from when its request was due, however late it left: what
/// a slow server makes others wait is part of what is measured.
#[derive(Debug, Args)]
#[command(after_help = RR_EXAMPLES)]
pub(crate) struct RrArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,

    /// Requests that may wait for their answers on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536),
          help_heading = "What to ask")]
    pub(crate) pipeline: u32,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Measures connections: each is opened, asks, is answered, and closes.
///
/// The other end is 'tsonami serve --answer REQUEST:RESPONSE', or any server that answers REQUEST bytes with RESPONSE bytes and
/// closes when we do. With --rate connections are due at times of their own, and times count from there.
#[derive(Debug, Args)]
#[command(after_help = CRR_EXAMPLES)]
pub(crate) struct CrrArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,

    /// Who closes first, and so keeps the connection in TIME-WAIT
    #[arg(long, value_name = "WHO", default_value = "us", help_heading = "What to ask")]
    pub(crate) close: CloseArg,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// Who closes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum CloseArg {
    /// We do, once answered: our port stays taken until TIME-WAIT is over
    Us,
    /// The server does, once it has answered (serve --answer … --close)
    Peer,
    /// We reset the connection: no TIME-WAIT anywhere
    Reset,
}

/// Whom to ask, and what.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Whom to ask: an address or a host name, with the port if you like
    #[arg(value_name = "PEER[:PORT]")]
    pub(crate) peer: Target,

    /// The peer's port [default: 5001]
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Bytes of each request
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = Size::parse_positive, help_heading = "What to ask")]
    pub(crate) request: Size,

    /// Bytes of each answer [default: as many as the request has]
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive, help_heading = "What to ask")]
    pub(crate) response: Option<Size>,

    /// Connections at the same time: up to 28232, a local port each, for each address of ours
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16_777_216),
          help_heading = "What to ask")]
    pub(crate) parallel: u32,

    /// Requests per second of all connections together, each due at its time [default: as fast as answers come]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000), help_heading = "What to ask")]
    pub(crate) rate: Option<u64>,
}

/// How long, and what to tell.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// Ask for this long, in seconds unless a unit (ms, s, m, h) follows [default: 10]
    #[arg(short, long, value_name = "TIME", value_parser = parse_positive_duration, help_heading = "When to stop")]
    pub(crate) time: Option<Duration>,

    /// Ask so many times in all, instead of for a time
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..),
          help_heading = "When to stop")]
    pub(crate) requests: Option<u64>,

    /// What is due in this time at the beginning is asked and not counted
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_duration, help_heading = "When to stop")]
    pub(crate) warmup: Duration,

    #[command(flatten)]
    pub(crate) connection: SendingArgs,

    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) workers: WorkerArgs,

    /// Write every latency, a histogram for each second, as an HdrHistogram log (nanoseconds); worker 1 into FILE.1, and so on
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) hdr: Option<PathBuf>,

    /// Print one JSON object instead of text; its keys carry their units
    #[arg(short = 'J', long, help_heading = "Output")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const RR_EXAMPLES: &str = "\
Examples:
  A server in the kernel that sends back what it is sent, and 64 connections that ask it (as root):
    socat TCP-LISTEN:5001,fork,reuseaddr,backlog=128 EXEC:cat &
    tsonami rr 10.77.0.1 -P 64

  Both ends ours, 10 000 requests a second for half a minute:
    tsonami serve --dev vhost:/tmp/wire.sock --addr 10.78.0.1/24 --answer 64:1K
    tsonami rr 10.78.0.1 --dev virtio-user:/tmp/wire.sock --addr 10.78.0.2/24 \\
        --response 1K --rate 10000 -t 30 --warmup 1 --hdr latency.hlog";

const CRR_EXAMPLES: &str = "\
Examples:
  Both ends ours, 32 connections at a time, the server keeps the TIME-WAIT:
    tsonami serve --dev vhost:/tmp/wire.sock --addr 10.78.0.1/24 --answer 64 --close
    tsonami crr 10.78.0.1 --dev virtio-user:/tmp/wire.sock --addr 10.78.0.2/24 -P 32 --close peer";
