//! Knobs of connections: one struct for each group of the help, and for each subcommand the groups it takes.
//!
//! What an option means for a connection is said in one place, `settings/connection.rs`; how to add one, in
//! CONTRIBUTING.md.

use std::time::Duration;

use clap::{Args, ValueEnum};

use tsonami::{ControllerKind, Keepalive, UserTimeoutOption};

use crate::units::{
    BitRate, Size, parse_duration, parse_keepalive, parse_positive_duration, parse_user_timeout_option,
};

/// Connections that send.
#[derive(Debug, Default, Args)]
pub(crate) struct SendingArgs {
    #[command(flatten)]
    pub(crate) when: WhenArgs,
    #[command(flatten)]
    pub(crate) segments: SegmentArgs,
    #[command(flatten)]
    pub(crate) buffers: SendBufferArgs,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    #[command(flatten)]
    pub(crate) timers: TimerArgs,
    #[command(flatten)]
    pub(crate) congestion: CongestionArgs,
    #[command(flatten)]
    pub(crate) protocol: ProtocolArgs,
}

/// Connections that receive.
#[derive(Debug, Default, Args)]
pub(crate) struct ReceivingArgs {
    #[command(flatten)]
    pub(crate) segments: SegmentArgs,
    #[command(flatten)]
    pub(crate) buffers: ReceiveBufferArgs,
    #[command(flatten)]
    pub(crate) patience: SilenceArgs,
    #[command(flatten)]
    pub(crate) timers: TimerArgs,
    #[command(flatten)]
    pub(crate) acks: AckArgs,
    #[command(flatten)]
    pub(crate) protocol: ProtocolArgs,
}

/// What decides when bytes leave.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "When to send (Nagle, cork)")]
pub(crate) struct WhenArgs {
    /// Send small segments at once, instead of one per round trip (no Nagle)
    #[arg(short = 'N', long)]
    pub(crate) no_delay: bool,

    /// Hold short segments until more bytes fill them, or one retransmission timeout (200ms at least) is over
    #[arg(long)]
    pub(crate) cork: bool,

    /// Send small writes while the device still holds an earlier burst, instead of gathering them for up to 100us
    #[arg(long)]
    pub(crate) no_autocork: bool,
}

/// How large segments are.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Segments and bursts")]
pub(crate) struct SegmentArgs {
    /// Largest segment's payload, at least 88; lowers what the peer and the device allow
    #[arg(short = 'M', long, value_name = "BYTES")]
    pub(crate) mss: Option<u16>,

    /// What to do about a path whose MTU nobody tells (RFC 4821) [default: blackhole]
    #[arg(long, value_name = "WHEN")]
    pub(crate) mtu_probing: Option<MtuProbingArg>,
}

/// What waits to be acknowledged.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Buffers")]
pub(crate) struct SendBufferArgs {
    /// Memory of each connection that may wait to be acknowledged [default: grows with the congestion
    /// window from 128K up, shrinks while memory is short]
    #[arg(short = 'w', long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) send_buffer: Option<Size>,

    /// The most that a send buffer grows to by itself [default: 4M]
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive, conflicts_with = "send_buffer")]
    pub(crate) send_buffer_max: Option<Size>,

    /// Write no more while this much was never sent: what waits can still be changed [default: no bound]
    #[arg(long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) notsent_lowat: Option<Size>,
}

/// What waits to be read.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Buffers")]
pub(crate) struct ReceiveBufferArgs {
    /// Bytes of each connection that may wait to be read, up to 1G: the window it offers [default: 1M]
    #[arg(short = 'w', long, value_name = "SIZE", value_parser = Size::parse_positive)]
    pub(crate) receive_buffer: Option<Size>,
}

/// How long a sender waits for its peer.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Timers and patience")]
pub(crate) struct PatienceArgs {
    /// Give up when nobody answers for this long: connecting, sending and closing
    /// [default: 10; with --config, the file's connect_timeout and user_timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Give up connecting after this long [default: --timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Give up when what was sent is not acknowledged for this long [default: --timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) user_timeout: Option<Duration>,
}

/// How long a receiver waits for its peer.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Timers and patience")]
pub(crate) struct SilenceArgs {
    /// Give up on a peer that sends neither bytes nor its end for this long, or does not answer
    /// [default: 10; with --config, the file's user_timeout]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// When to send again.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Timers and patience")]
pub(crate) struct TimerArgs {
    /// Retransmission timeout before a round trip is measured [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) initial_rto: Option<Duration>,

    /// Shortest retransmission timeout, at least 1ms [default: 200ms]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) min_rto: Option<Duration>,

    /// Longest retransmission timeout, and time between probes of a closed window, up to 24h [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = parse_positive_duration)]
    pub(crate) max_rto: Option<Duration>,

    /// Probe a peer that was silent for IDLE, every INTERVAL [default: 75s], and give it up
    /// when so many PROBES [default: 9] have no answer; without it, silence may last for ever
    #[arg(long, value_name = "IDLE[,INTERVAL[,PROBES]]", value_parser = parse_keepalive)]
    pub(crate) keepalive: Option<Keepalive>,

    /// Tell the peer how long it may leave bytes unacknowledged (RFC 5482): announce; or adapt, which follows a peer
    /// that waits longer, between SHORTEST [default: 100s] and LONGEST [default: 1h]
    #[arg(long, value_name = "announce|adapt[,SHORTEST[,LONGEST]]", value_parser = parse_user_timeout_option)]
    pub(crate) user_timeout_option: Option<UserTimeoutOption>,
}

/// When to acknowledge.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Timers and patience")]
pub(crate) struct AckArgs {
    /// Longest delay of an acknowledgement, below 500ms; 0: none is delayed [default: 40ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) delayed_ack: Option<Duration>,

    /// Acknowledgements that are not delayed at first [default: 16]
    #[arg(long, value_name = "N")]
    pub(crate) quick_acks: Option<u32>,
}

/// How much the network is given at a time, and what is done about loss.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Pacing, congestion and loss")]
pub(crate) struct CongestionArgs {
    /// Congestion controller: cubic, newreno, bbr, dctcp, or fixed:RATE for links of your own [default: cubic]
    #[arg(short = 'C', long, value_name = "NAME")]
    pub(crate) congestion: Option<ControllerKind>,

    /// First congestion window, in segments [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) initial_window: Option<u32>,

    /// Spread what the window allows over the round trip, instead of sending it at once
    #[arg(long)]
    pub(crate) pacing: bool,

    /// Send no faster than this on each connection, in bits of payload per second; e.g. 10M, 2.5G
    #[arg(long, value_name = "RATE")]
    pub(crate) max_pacing_rate: Option<BitRate>,

    /// Time that a paced burst stands for, up to 100ms; two segments at least [default: 1ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) autosize: Option<Duration>,

    /// Send what a window leaves room for at once, instead of waiting up to 1ms for an ACK that is due
    #[arg(long)]
    pub(crate) no_tso_defer: bool,

    /// Keep the congestion window over a silence, instead of restarting it (RFC 5681)
    #[arg(long)]
    pub(crate) no_idle_restart: bool,

    /// Do not probe for a lost end of a flight: wait for the retransmission timeout
    #[arg(long)]
    pub(crate) no_tail_loss_probe: bool,
}

/// What is offered in the handshake.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Protocol options")]
pub(crate) struct ProtocolArgs {
    /// Explicit Congestion Notification (RFC 3168) [default: passive]
    #[arg(long, value_name = "WHEN")]
    pub(crate) ecn: Option<EcnArg>,

    /// Neither offer nor accept timestamps (RFC 7323)
    #[arg(long)]
    pub(crate) no_timestamps: bool,

    /// Neither offer nor accept selective acknowledgements (RFC 2018)
    #[arg(long)]
    pub(crate) no_sack: bool,

    /// Neither offer nor accept window scaling (RFC 7323): windows end at 64 KiB
    #[arg(long)]
    pub(crate) no_window_scale: bool,
}

/// `--ecn`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum EcnArg {
    /// Neither ask for it nor agree to it
    Off,
    /// Ask for it
    On,
    /// Ask for Accurate ECN (RFC 9768), whose ACKs count marks; agree to either form
    Accurate,
    /// Agree when the peer, who connects, asks
    Passive,
}

/// `--mtu-probing`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum MtuProbingArg {
    /// Nothing
    Off,
    /// Smaller segments where large ones time out three times, and probes for larger ones from there
    Blackhole,
    /// Small segments at first, and probes for larger ones
    On,
}
