//! The command line: what each subcommand takes, and the help that teaches it.

mod connection;
mod device;
mod devices;
mod doctor;
mod output;
mod rr;
mod send;
mod serve;
mod sim;
mod workers;

use clap::{Parser, Subcommand};

pub(crate) use connection::{
    AckArgs, CongestionArgs, EcnArg, MtuProbingArg, PatienceArgs, ProtocolArgs, ReceiveBufferArgs,
    ReceivingArgs, SegmentArgs, SendBufferArgs, SendingArgs, SilenceArgs, TimerArgs, WhenArgs,
};
pub(crate) use device::{DeviceArgs, HugepagesArg, MemoryArgs, SpecArg, TuningArgs, WaitArg};
pub(crate) use devices::DevicesArgs;
pub(crate) use doctor::DoctorArgs;
pub(crate) use output::{LogArgs, WatchArgs};
pub(crate) use rr::{AskArgs, CloseArg, CommonArgs, CrrArgs, RrArgs};
pub(crate) use send::SendArgs;
pub(crate) use serve::ServeArgs;
pub(crate) use sim::SimArgs;
pub(crate) use workers::WorkerArgs;

/// The port that is used when none is given, by `send` and `serve` alike.
pub(crate) const DEFAULT_PORT: u16 = 5001;

/// A TCP sender in userspace, over DPDK.
///
/// tsonami speaks TCP itself and hands a network port of its own bursts of many segments at once, with checksums
/// and segmentation left to the device where it offers them. The other end is any TCP receiver.
#[derive(Debug, Parser)]
#[command(name = "tsonami", version, propagate_version = true, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send bytes to any TCP receiver, and say how it went
    Send(Box<SendArgs>),
    /// Receive: accept connections, count and hash what arrives, or answer it
    Serve(Box<ServeArgs>),
    /// Measure how long answers take, over connections that stay
    Rr(Box<RrArgs>),
    /// Measure connections: open, ask, be answered, close
    Crr(Box<CrrArgs>),
    /// Show what a device can do: driver, offloads, limits, queues
    Devices(Box<DevicesArgs>),
    /// Look at this machine and say what is missing, with the command that mends it
    Doctor(DoctorArgs),
    /// Run a network that exists on paper only, in virtual time, and plot what happened
    Sim(SimArgs),
}

/// Kept in step with `exit::Exit`; a test compares the two.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  everything was sent and acknowledged (doctor: send can work)
    1  an input or output file failed
    2  the command line or the configuration file is wrong
    3  the device or EAL could not start: try 'tsonami doctor'
    4  the peer refused the connection
    5  the peer cannot be reached (no ARP answer, no route, ICMP)
    6  nobody answered in time
    7  the peer reset the connection
    8  the device failed while running, or a check on it did
  130  interrupted by Ctrl-C; 143: by SIGTERM";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
