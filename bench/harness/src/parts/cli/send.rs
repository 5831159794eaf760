//! P6b: `tsonami send` to `tsonami serve` over memif, in frames of 1500 bytes, each built as it goes onto the wire.

use clap::Args;
use serde::Deserialize;

use super::{EndsArgs, SERVER, pair};
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;

/// Our program at both ends of memif, in bulk and in frames of 1500 bytes
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    ends: EndsArgs,
    /// Refer to what is sent, instead of copying it
    #[arg(long)]
    zerocopy: bool,
    /// Bytes of a write
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    size: u32,
}

/// What `tsonami send` says.
#[derive(Deserialize)]
struct Sent {
    device: Device,
    elapsed_seconds: f64,
    acknowledged_bytes: u64,
    retransmitted_segments: u64,
    busy_share: f64,
    time: Time,
}

/// Where the connection's time went.
#[derive(Deserialize)]
struct Time {
    /// Until it was open, which is no time of a sender in bulk.
    opening_ns: u64,
}

#[derive(Deserialize)]
struct Device {
    mtu_bytes: u16,
    tso: bool,
}

pub(crate) fn run(setting: &Setting, args: &SendArgs) -> Result<Line, Failure> {
    let zerocopy = if args.zerocopy { " --zerocopy" } else { "" };
    let client = format!("send {SERVER} -t {} -l {} --mtu 1500{zerocopy}", setting.time, args.size);
    let serve = "serve --no-hash --connections 1 --mtu 1500";
    let said = pair::<Sent>(setting, Medium::Memif, args.ends, serve, &client, 1)?;
    let (sent, served) = (&said.client, &said.server);
    if sent.device.tso || sent.device.mtu_bytes != 1500 {
        return Err(Failure::new("this wire is not one of frames of 1500 bytes without TSO"));
    }
    if served.total.received_bytes != sent.acknowledged_bytes {
        return Err(Failure::new(format!(
            "{} bytes were acknowledged and {} arrived",
            sent.acknowledged_bytes, served.total.received_bytes
        )));
    }
    // The loop found hardly any work before the connection was open.
    let busy = sent.busy_share * sent.elapsed_seconds;
    let elapsed = sent.elapsed_seconds - sent.time.opening_ns as f64 / 1e9;
    let line = Line::new(Medium::Memif)
        .bulk(sent.acknowledged_bytes, elapsed, busy)
        .figure("busy", busy / elapsed * 100.0, Unit::Percent)
        .figure("receiver_busy", served.busy_seconds / elapsed * 100.0, Unit::Percent)
        .figure("retransmitted_segments", sent.retransmitted_segments as f64, Unit::Count);
    Ok(said
        .commands(line)
        .note("Both ends ours, each a process with a CPU of its own. CUBIC; frames of 1500 bytes, which the sender copies to shared memory."))
}
