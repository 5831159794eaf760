//! `tsonami send`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DeviceArgs, LogArgs, SendingArgs, TuningArgs, WatchArgs, WorkerArgs};
use crate::target::Target;
use crate::units::{BitRate, Size, parse_duration, parse_positive_duration};

/// Sends bytes to any TCP receiver, and says how it went.
///
/// The receiver can be socat, nc, 'tsonami serve' or your own server: whatever reads what it is sent. (iperf3's
/// control protocol is not spoken.) Without --dev a TAP is made whose other end is this machine's kernel, at
/// 10.77.0.1; we are 10.77.0.2.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SendArgs {
    /// Whom to send to: an address or a host name, with the port if you like
    #[arg(value_name = "PEER[:PORT]")]
    pub(crate) peer: Target,

    /// The peer's port [default: 5001]
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Send for this long, in seconds unless a unit (ms, s, m, h) follows [default: 10]
    #[arg(short, long, value_name = "TIME", value_parser = parse_positive_duration, help_heading = "What to send")]
    pub(crate) time: Option<Duration>,

    /// Send this many bytes in all, shared by the connections, instead of for a time; e.g. 512M, 10GiB
    #[arg(short = 'n', long, value_name = "SIZE", value_parser = Size::parse_positive, conflicts_with = "time",
          help_heading = "What to send")]
    pub(crate) bytes: Option<Size>,

    /// Send this file, whole, over each connection
    #[arg(long, value_name = "PATH", conflicts_with_all = ["time", "bytes"], help_heading = "What to send")]
    pub(crate) file: Option<PathBuf>,

    /// Send at this rate, in bits of payload per second of all connections together; e.g. 10M, 2.5G
    /// [default: as fast as windows and the device allow]
    #[arg(short, long, value_name = "RATE", help_heading = "What to send")]
    pub(crate) bitrate: Option<BitRate>,

    /// Connections at the same time: up to 28232, a local port each, for each address of ours
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16_777_216),
          help_heading = "What to send")]
    pub(crate) parallel: u32,

    /// Bytes of each write, up to 16M, with --zerocopy 1M
    #[arg(short, long, value_name = "SIZE", value_parser = Size::parse_positive, default_value = "128K",
          help_heading = "How to write")]
    pub(crate) length: Size,

    /// Write from registered memory, without a copy
    #[arg(short = 'Z', long, help_heading = "How to write")]
    pub(crate) zerocopy: bool,

    /// End a record with each write: no segment holds bytes of two
    #[arg(long, help_heading = "How to write")]
    pub(crate) eor: bool,

    #[command(flatten)]
    pub(crate) connection: SendingArgs,

    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) workers: WorkerArgs,

    /// Time between interval lines; 0 for none [default: 1 on a terminal, none elsewhere]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, help_heading = "Output")]
    pub(crate) interval: Option<Duration>,

    /// Print one JSON object instead of text; its keys carry their units
    #[arg(short = 'J', long, help_heading = "Output")]
    pub(crate) json: bool,

    /// Hash what each connection sends (SHA-256), to compare with the receiver's
    #[arg(long, help_heading = "Output")]
    pub(crate) sha256: bool,

    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

const EXAMPLES: &str = "\
Examples:
  A receiver in the kernel, and ten seconds of data to it over a TAP (as root):
    socat -u TCP-LISTEN:5001,fork,reuseaddr OPEN:/dev/null &
    tsonami send 10.77.0.1

  The same as an ordinary user, in namespaces of your own:
    unshare -Urn sh -c 'socat -u TCP-LISTEN:5001 OPEN:/dev/null & tsonami send 10.77.0.1'

  A file, over four connections, from a network card bound to DPDK:
    tsonami send 192.0.2.7:9000 --file data.bin -P 4 --dev pci:0000:3b:00.0 \\
        --addr 192.0.2.1/24

  512 MiB with a capture, every frame checked, results as JSON:
    tsonami send 10.77.0.1 -n 512M --pcap run.pcap --check-tx -J

'tsonami doctor' tells what is missing; 'tsonami --help' lists the exit codes.";
