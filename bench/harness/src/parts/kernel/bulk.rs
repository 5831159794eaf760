//! Bulk data and small messages in one direction.

use clap::Args;

use super::pair;
use super::receive::ReceiveArgs;
use super::send::Way;
use super::wire::WireArgs;
use crate::failure::Failure;
use crate::line::Line;
use crate::parts::Setting;

/// The kernel's sockets, sending over a veth pair
#[derive(Args, Debug)]
pub(crate) struct BulkArgs {
    #[command(flatten)]
    wire: WireArgs,
    /// How the bytes get into the kernel
    #[arg(long, value_enum, default_value = "write")]
    by: Way,
    /// Bytes of a call
    #[arg(long, default_value_t = 131_072)]
    size: usize,
    /// Send each message at once (TCP_NODELAY)
    #[arg(long)]
    no_delay: bool,
    /// Connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[command(flatten)]
    receive: ReceiveArgs,
}

/// Runs a receiver and a sender.
pub(crate) fn run(setting: &Setting, args: &BulkArgs) -> Result<Line, Failure> {
    if args.size == 0 || args.connections == 0 {
        return Err(Failure::new("nothing to send").mend("--size 131072 --connections 1"));
    }
    let passive = format!("receive {}", if args.receive.copy { "--copy" } else { "" });
    let active = format!(
        "send --by {} --size {} --connections {} --time {} --receiver-cpu {} {}",
        args.by.name(),
        args.size,
        args.connections,
        setting.time,
        setting.receiver_cpu,
        if args.no_delay { "--no-delay" } else { "" }
    );
    let line = pair(setting, &args.wire, &passive, &active)?;
    let reads = if args.receive.copy {
        "The receiver copies into its own memory."
    } else {
        "The receiver discards in the kernel (MSG_TRUNC)."
    };
    Ok(line.note(reads))
}
