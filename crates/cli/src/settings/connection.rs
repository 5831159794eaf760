//! From options of the command line to settings of a connection: what each means is said here and nowhere else.
//!
//! Each group is taken apart by name, so an option that sets nothing does not compile.

use std::ops::RangeInclusive;
use std::time::Duration;

use tsonami::{Config, ConnectOptions, ControllerKind, Ecn, MtuProbing};

use crate::args::{
    AckArgs, CongestionArgs, EcnArg, MtuProbingArg, PatienceArgs, ProtocolArgs, ReceiveBufferArgs,
    ReceivingArgs, SegmentArgs, SendBufferArgs, SendingArgs, SilenceArgs, TimerArgs, WhenArgs,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::units::{Short, Size};

/// How long nobody may answer, unless the options or the configuration file say otherwise: people wait at terminals.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What every connection starts with when neither options nor a file say anything.
pub(crate) fn defaults() -> ConnectOptions {
    ConnectOptions { connect_timeout: TIMEOUT, user_timeout: TIMEOUT, ..ConnectOptions::default() }
}

/// Sets what `tsonami send` was told.
pub(crate) fn set_sending(config: &mut Config, args: &SendingArgs) -> Result<(), Failure> {
    let SendingArgs { when, segments, buffers, patience, timers, congestion, protocol } = args;
    let options = &mut config.connection;
    let WhenArgs { no_delay, cork, no_autocork } = when;
    options.no_delay |= no_delay;
    options.cork |= cork;
    options.autocork &= !no_autocork;
    set_segments(options, segments);
    let SendBufferArgs { send_buffer, send_buffer_max, notsent_lowat } = buffers;
    options.send_buffer = send_buffer.map(bytes).or(options.send_buffer);
    set(&mut options.send_buffer_max, send_buffer_max.map(bytes));
    options.notsent_lowat = notsent_lowat.map(bytes).or(options.notsent_lowat);
    let PatienceArgs { timeout, connect_timeout, user_timeout } = patience;
    set(&mut options.connect_timeout, connect_timeout.or(*timeout));
    set(&mut options.user_timeout, user_timeout.or(*timeout));
    set_timers(options, timers);
    let CongestionArgs {
        congestion: controller,
        initial_window,
        pacing,
        max_pacing_rate,
        autosize,
        no_tso_defer,
        no_idle_restart,
        no_tail_loss_probe,
    } = congestion;
    set(&mut options.congestion, *controller);
    set(&mut options.initial_window, *initial_window);
    options.pacing |= pacing;
    options.max_pacing_rate = max_pacing_rate.map(|rate| rate.0).or(options.max_pacing_rate);
    set(&mut options.autosize, *autosize);
    options.tso_defer &= !no_tso_defer;
    options.idle_restart &= !no_idle_restart;
    options.tail_loss_probe &= !no_tail_loss_probe;
    set_protocol(options, protocol);
    check(options)
}

/// Sets what `tsonami serve` was told.
pub(crate) fn set_receiving(config: &mut Config, args: &ReceivingArgs) -> Result<(), Failure> {
    let ReceivingArgs { segments, buffers, patience, timers, acks, protocol } = args;
    let options = &mut config.connection;
    set_segments(options, segments);
    let ReceiveBufferArgs { receive_buffer } = buffers;
    set(&mut options.receive_buffer, receive_buffer.map(bytes));
    let SilenceArgs { timeout } = patience;
    set(&mut options.connect_timeout, *timeout);
    set(&mut options.user_timeout, *timeout);
    set_timers(options, timers);
    let AckArgs { delayed_ack, quick_acks } = acks;
    set(&mut options.delayed_ack, *delayed_ack);
    set(&mut options.quick_acks, *quick_acks);
    set_protocol(options, protocol);
    check(options)
}

fn set_segments(options: &mut ConnectOptions, args: &SegmentArgs) {
    let SegmentArgs { mss, mtu_probing } = args;
    options.mss = mss.or(options.mss);
    let probing = mtu_probing.map(|probing| match probing {
        MtuProbingArg::Off => MtuProbing::Off,
        MtuProbingArg::Blackhole => MtuProbing::BlackHole,
        MtuProbingArg::On => MtuProbing::On,
    });
    set(&mut options.mtu_probing, probing);
}

fn set_timers(options: &mut ConnectOptions, args: &TimerArgs) {
    let TimerArgs { initial_rto, min_rto, max_rto, keepalive, user_timeout_option } = args;
    set(&mut options.initial_rto, *initial_rto);
    set(&mut options.min_rto, *min_rto);
    set(&mut options.max_rto, *max_rto);
    options.keepalive = keepalive.or(options.keepalive);
    options.user_timeout_option = user_timeout_option.or(options.user_timeout_option);
}

fn set_protocol(options: &mut ConnectOptions, args: &ProtocolArgs) {
    let ProtocolArgs { ecn, no_timestamps, no_sack, no_window_scale } = args;
    let ecn = ecn.map(|ecn| match ecn {
        EcnArg::Off => Ecn::Off,
        EcnArg::On => Ecn::On,
        EcnArg::Accurate => Ecn::Accurate,
        EcnArg::Passive => Ecn::Passive,
    });
    set(&mut options.ecn, ecn);
    options.timestamps &= !no_timestamps;
    options.sack &= !no_sack;
    options.window_scale &= !no_window_scale;
}

fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// The least payload of a segment that makes sense to ask for.
const SMALLEST_MSS: u16 = 88;
/// The largest receive buffer that a window can offer (RFC 7323 §2.3).
const LARGEST_RECEIVE_BUFFER: usize = 1 << 30;
/// Retransmission timeouts.
const RTO: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
/// The shortest times of keepalive.
const SHORTEST_KEEPALIVE: Duration = Duration::from_millis(1);
/// The longest delay of an ACK (RFC 9293, MUST-40: below half a second).
const LONGEST_ACK_DELAY: Duration = Duration::from_millis(499);

/// The lowest rate a connection is paced at, bits per second.
pub(crate) const SLOWEST_RATE: u64 = 8_000;
/// The longest time a paced burst may stand for.
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// Refuses what the protocol would silently replace, from the options and from the file alike.
fn check(o: &mut ConnectOptions) -> Result<(), Failure> {
    let wrong = |what: String, mend: &str| Err(Failure::new(Exit::Usage, what).mend(mend));
    if let Some(mss) = o.mss.filter(|mss| *mss < SMALLEST_MSS) {
        return wrong(format!("an MSS of {mss} is too small: {SMALLEST_MSS} at least"), "--mss 536");
    }
    if !(1..=LARGEST_RECEIVE_BUFFER).contains(&o.receive_buffer) {
        let size = Size(o.receive_buffer as u64);
        return wrong(
            format!("a receive buffer of {size} cannot be offered: 1 byte to 1 GiB"),
            "--receive-buffer 1M",
        );
    }
    if !RTO.contains(&o.min_rto) || !(o.min_rto..=*RTO.end()).contains(&o.max_rto) {
        return wrong(
            format!(
                "retransmission timeouts from {} to {} make no sense: 1 ms to 24 h, the shortest first",
                Short(o.min_rto),
                Short(o.max_rto)
            ),
            "--min-rto 200ms --max-rto 120s",
        );
    }
    if o.initial_rto == ConnectOptions::default().initial_rto {
        // Nobody asked for it: it goes where the bounds are.
        o.initial_rto = o.initial_rto.clamp(o.min_rto, o.max_rto);
    }
    if !(o.min_rto..=o.max_rto).contains(&o.initial_rto) {
        return wrong(
            format!(
                "a first retransmission timeout of {} is not between the shortest, {}, and the longest, {}",
                Short(o.initial_rto),
                Short(o.min_rto),
                Short(o.max_rto)
            ),
            "--initial-rto 1s --min-rto 200ms --max-rto 120s",
        );
    }
    if let Some(k) = o.keepalive
        && (k.idle.min(k.interval) < SHORTEST_KEEPALIVE || k.probes == 0)
    {
        return wrong(
            format!(
                "keepalive after {}, every {}, with {} probes makes no sense: 1 ms and one probe at least",
                Short(k.idle),
                Short(k.interval),
                k.probes
            ),
            "--keepalive 30s,5s,3",
        );
    }
    if let Some(option) = o.user_timeout_option.filter(|option| option.longest < option.shortest) {
        return wrong(
            format!(
                "user timeouts from {} to {} make no sense: the shortest first",
                Short(option.shortest),
                Short(option.longest)
            ),
            "--user-timeout-option adapt,100s,1h",
        );
    }
    if let Some(rate) = o.max_pacing_rate.filter(|rate| *rate < SLOWEST_RATE) {
        return wrong(
            format!("{rate} bit/s is too slow for one connection: {SLOWEST_RATE} bit/s at least"),
            "--max-pacing-rate 1M",
        );
    }
    if let ControllerKind::Fixed(rate) = o.congestion
        && rate.as_bps() < SLOWEST_RATE
    {
        return wrong(
            format!("a fixed rate of {rate} is too slow for one connection: {SLOWEST_RATE} bit/s at least"),
            "-C fixed:1G",
        );
    }
    if o.congestion == ControllerKind::Dctcp && o.ecn == Ecn::Off {
        return wrong("DCTCP without ECN is NewReno".to_owned(), "-C newreno");
    }
    if o.autosize > LONGEST_BURST {
        return wrong(
            format!("bursts of {} are too long: 100 ms at the most", Short(o.autosize)),
            "--autosize 1ms",
        );
    }
    if o.delayed_ack > LONGEST_ACK_DELAY {
        return wrong(
            format!("ACKs delayed by {} come too late: below 500 ms", Short(o.delayed_ack)),
            "--delayed-ack 40ms",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command, DeviceArgs, TuningArgs, WatchArgs};
    use clap::{CommandFactory, Parser};

    /// Settings of a connection that no option of the command line reaches, and why.
    const NOT_AT_A_TERMINAL: [(&str, &str); 3] = [
        ("linger", "send ends a connection when everything is acknowledged, and aborts it otherwise"),
        ("fin_wait_timeout", "the process ends before it is over"),
        ("time_wait", "the process ends before it is over"),
    ];

    /// A value other than the default for each option that takes one.
    fn other_value(id: &str) -> &'static str {
        match id {
            "mss" => "1000",
            "send_buffer" | "send_buffer_max" | "notsent_lowat" | "receive_buffer" => "64K",
            "timeout" | "connect_timeout" | "user_timeout" => "77s",
            "initial_rto" => "300ms",
            "min_rto" => "20ms",
            "max_rto" => "60s",
            "keepalive" => "30s,5s,3",
            "user_timeout_option" => "announce",
            "delayed_ack" => "1ms",
            "max_pacing_rate" => "10M",
            "autosize" => "2ms",
            "congestion" => "fixed:1G",
            "ecn" | "mtu_probing" => "on",
            "quick_acks" | "initial_window" => "3",
            _ => panic!("which value other than the default does {id} take? Say it here"),
        }
    }

    fn parse(words: &[&str]) -> Result<ConnectOptions, Failure> {
        let mut config =
            super::super::config(&DeviceArgs::default(), &TuningArgs::default(), &WatchArgs::default())?;
        match Cli::try_parse_from(words).unwrap().command {
            Command::Send(args) => set_sending(&mut config, &args.connection)?,
            Command::Serve(args) => set_receiving(&mut config, &args.connection)?,
            _ => unreachable!(),
        }
        Ok(config.connection)
    }

    /// The command line of a subcommand without options.
    fn bare(subcommand: &str) -> Vec<&str> {
        match subcommand {
            "send" => vec!["tsonami", "send", "10.77.0.1"],
            other => vec!["tsonami", other],
        }
    }

    /// The options that a subcommand has for connections, and whether each takes a value.
    fn knobs(subcommand: &str) -> Vec<(String, bool)> {
        let groups = match subcommand {
            "send" => SendingArgs::augment_args(clap::Command::new("x")),
            _ => ReceivingArgs::augment_args(clap::Command::new("x")),
        };
        groups
            .get_arguments()
            .map(|arg| (arg.get_id().to_string(), arg.get_action().takes_values()))
            .collect()
    }

    /// The settings that differ, by name.
    fn differences(a: &ConnectOptions, b: &ConnectOptions) -> Vec<String> {
        let (a, b) = (serde_json::to_value(a).unwrap(), serde_json::to_value(b).unwrap());
        let (a, b) = (a.as_object().unwrap(), b.as_object().unwrap());
        a.iter().filter(|(name, value)| b.get(*name) != Some(value)).map(|(name, _)| name.clone()).collect()
    }

    use clap::Args as _;

    #[test]
    fn every_option_changes_its_setting() {
        for subcommand in ["send", "serve"] {
            assert_eq!(parse(&bare(subcommand)).unwrap(), defaults());
            for (id, takes_value) in knobs(subcommand) {
                let option = format!("--{}", id.replace('_', "-"));
                let mut words = bare(subcommand);
                words.push(&option);
                words.extend(takes_value.then(|| other_value(&id)));
                let changed = differences(&parse(&words).unwrap(), &defaults());
                let expected = match id.as_str() {
                    "timeout" => vec!["connect_timeout", "user_timeout"],
                    id => vec![id],
                };
                let positive: Vec<_> = expected.iter().map(|name| name.trim_start_matches("no_")).collect();
                assert!(changed == expected || changed == positive, "{option} changed {changed:?}");
            }
        }
    }

    #[test]
    fn every_setting_has_its_option_or_a_reason() {
        let settings = serde_json::to_value(defaults()).unwrap();
        let options: Vec<String> =
            ["send", "serve"].iter().flat_map(|s| knobs(s)).map(|(id, _)| id).collect();
        for name in settings.as_object().unwrap().keys() {
            let reached = options.iter().any(|id| id == name || *id == format!("no_{name}"));
            let excused = NOT_AT_A_TERMINAL.iter().any(|(excused, _)| excused == name);
            assert!(reached != excused, "{name}: an option {reached}, a reason against one {excused}");
        }
    }

    #[test]
    fn the_options_of_connections_are_in_groups_that_teach() {
        for subcommand in ["send", "serve"] {
            let command = Cli::command();
            let command = command.find_subcommand(subcommand).unwrap();
            for (id, _) in knobs(subcommand) {
                let arg = command.get_arguments().find(|arg| arg.get_id() == id.as_str()).unwrap();
                let heading = arg.get_help_heading().unwrap_or_default();
                let known = [
                    "When to send (Nagle, cork)",
                    "Segments and bursts",
                    "Buffers",
                    "Timers and patience",
                    "Pacing, congestion and loss",
                    "Protocol options",
                ];
                assert!(known.contains(&heading), "{id} stands under '{heading}'");
            }
        }
    }

    #[test]
    fn the_finer_timeouts_win_over_the_common_one() {
        let words = ["tsonami", "send", "10.77.0.1", "--timeout", "5", "--user-timeout", "60"];
        let options = parse(&words).unwrap();
        assert_eq!(
            (options.connect_timeout, options.user_timeout),
            (Duration::from_secs(5), Duration::from_secs(60))
        );
    }

    #[test]
    fn a_first_timeout_nobody_asked_for_goes_where_the_bounds_are() {
        let first =
            |option, value| parse(&["tsonami", "send", "10.77.0.1", option, value]).unwrap().initial_rto;
        assert_eq!(first("--max-rto", "300ms"), Duration::from_millis(300));
        assert_eq!(first("--min-rto", "2s"), Duration::from_secs(2));
    }

    #[test]
    fn what_the_protocol_would_replace_is_refused() {
        for (words, what) in [
            (&["send", "10.77.0.1", "--mss", "87"][..], "MSS of 87"),
            (&["send", "10.77.0.1", "--min-rto", "100us"], "100"),
            (&["send", "10.77.0.1", "--max-rto", "100ms"], "from 200 ms to 100 ms"),
            (&["send", "10.77.0.1", "--max-rto", "25h"], "24 h"),
            (&["send", "10.77.0.1", "--initial-rto", "199ms"], "199 ms is not between"),
            (&["serve", "--keepalive", "10us"], "keepalive after 10"),
            (&["serve", "--keepalive", "10s,1s,0"], "with 0 probes"),
            (&["serve", "--user-timeout-option", "adapt,2h"], "user timeouts from"),
            (&["send", "10.77.0.1", "--max-pacing-rate", "7999"], "7999 bit/s"),
            (&["send", "10.77.0.1", "-C", "fixed:7999"], "a fixed rate of 7999"),
            (&["send", "10.77.0.1", "-C", "dctcp", "--ecn", "off"], "DCTCP without ECN"),
            (&["send", "10.77.0.1", "--autosize", "101ms"], "101 ms"),
            (&["serve", "--delayed-ack", "500ms"], "500 ms"),
            (&["serve", "--receive-buffer", "2G"], "2.00 GiB"),
        ] {
            let failure = parse(&[&["tsonami"], words].concat()).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains(what), "{failure}");
        }
    }
}
