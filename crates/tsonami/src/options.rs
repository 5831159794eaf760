//! What a connection is told at its start.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcp::Rate;
use tcp::conn::cc::ControllerKind;
use tcp::conn::{self, ConnConfig, Linger};

use crate::{Ecn, MtuProbing};

/// Settings of one connection. Whatever is not set has the default of [`tcp::conn::ConnConfig`].
///
/// In TOML lengths of time are text: `"500ms"`, `"10s"`, `"2m"`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectOptions {
    /// Small segments leave at once: no Nagle.
    pub no_delay: bool,
    /// Short segments wait for more bytes, for one retransmission timeout, or 200 ms, at most (`S17`).
    pub cork: bool,
    /// Small sends wait while the device still holds an earlier burst of the connection, 100 µs at most (`S18`).
    pub autocork: bool,
    /// Payload bytes of a segment, at most, and at least 88; never more than the peer and the MTU allow.
    pub mss: Option<u16>,
    /// What is done about a path whose MTU nobody tells (RFC 4821, `S42`): `off`; `blackhole`, when large segments time out
    /// again and again; or `on`, which begins with small ones.
    pub mtu_probing: MtuProbing,
    /// Memory that may wait to be acknowledged, bytes: payload, 64 for each piece, and what buffers hold beside. Without
    /// it the buffer grows with the congestion window, and shrinks while memory is short.
    pub send_buffer: Option<usize>,
    /// The most that a send buffer grows to by itself, bytes.
    pub send_buffer_max: usize,
    /// Bytes never sent that stop the writer, at least 1.
    pub notsent_lowat: Option<usize>,
    /// Bytes that may wait to be read, up to 1 GiB; the window that is offered.
    pub receive_buffer: usize,
    /// How long opening may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the peer may leave bytes unacknowledged.
    #[serde(with = "humantime_serde")]
    pub user_timeout: Duration,
    /// Tell the peer how long that is, and follow what it says of its own (RFC 5482, `S36`). Without it, neither.
    pub user_timeout_option: Option<UserTimeoutOption>,
    /// Ask a peer that is silent whether it is still there, and give it up when it is not (`S47`). Without it, silence may
    /// last for ever.
    pub keepalive: Option<Keepalive>,
    /// The retransmission timeout before the first round trip is measured, from `min_rto` to `max_rto`.
    #[serde(with = "humantime_serde")]
    pub initial_rto: Duration,
    /// The shortest retransmission timeout, from 1 ms to a day.
    #[serde(with = "humantime_serde")]
    pub min_rto: Duration,
    /// The longest retransmission timeout, and the longest time between probes of a closed window; from `min_rto` to a
    /// day.
    #[serde(with = "humantime_serde")]
    pub max_rto: Duration,
    /// How long an ACK may be delayed, below 500 ms.
    #[serde(with = "humantime_serde")]
    pub delayed_ack: Duration,
    /// ACKs of data that are not delayed at first.
    pub quick_acks: u32,
    /// How long what is left at the end may take to be delivered before the connection is reset; zero resets at once.
    /// Without it, as long as `user_timeout` allows.
    #[serde(with = "humantime_serde")]
    pub linger: Option<Duration>,
    /// How long to wait for the peer's end once ours is acknowledged and nobody holds the connection any more.
    #[serde(with = "humantime_serde")]
    pub fin_wait_timeout: Duration,
    /// How long the addresses of a connection that we ended first stay taken.
    #[serde(with = "humantime_serde")]
    pub time_wait: Duration,
    /// The congestion controller, by name: `cubic`, `newreno`, `bbr`, `dctcp` or `fixed:RATE` (`S41`).
    #[serde(with = "as_text")]
    pub congestion: ControllerKind,
    /// The first congestion window, segments.
    pub initial_window: u32,
    /// Spread what the window allows over the round trip (`S25`).
    pub pacing: bool,
    /// Payload leaves no faster than this, bits per second, at least 8000 (`S25`); without it, as fast as windows allow.
    pub max_pacing_rate: Option<u64>,
    /// How much time a paced burst stands for, up to 100 ms; two segments at least (`S22`).
    #[serde(with = "humantime_serde")]
    pub autosize: Duration,
    /// A burst that a window cuts short waits up to a millisecond for an ACK that is due (`S22`).
    pub tso_defer: bool,
    /// Restart the congestion window after a silence (RFC 5681 §4.1, `S26`).
    pub idle_restart: bool,
    /// Explicit Congestion Notification (RFC 3168, `S35`): `off`, `on`, `accurate`, whose ACKs count marks (RFC 9768), or `passive`, which agrees to it and does not ask.
    pub ecn: Ecn,
    /// Offer and accept timestamps (RFC 7323).
    pub timestamps: bool,
    /// Offer and accept selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Offer and accept window scaling (RFC 7323 §2): without it no window exceeds 65535 bytes.
    pub window_scale: bool,
    /// Probe for a lost end of a flight before the retransmission timeout (RFC 8985 §7); needs `sack`.
    pub tail_loss_probe: bool,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        let protocol = ConnConfig::default();
        ConnectOptions {
            no_delay: protocol.no_delay,
            cork: protocol.cork,
            autocork: protocol.autocork,
            mss: protocol.max_mss,
            mtu_probing: protocol.mtu_probing.into(),
            send_buffer: protocol.send_buffer,
            send_buffer_max: protocol.send_buffer_max,
            notsent_lowat: protocol.notsent_lowat,
            receive_buffer: protocol.receive_buffer,
            connect_timeout: protocol.connect_timeout.into(),
            user_timeout: protocol.user_timeout.into(),
            user_timeout_option: protocol.user_timeout_option.map(UserTimeoutOption::from),
            keepalive: protocol.keepalive.map(Keepalive::from),
            initial_rto: protocol.initial_rto.into(),
            min_rto: protocol.min_rto.into(),
            max_rto: protocol.max_rto.into(),
            delayed_ack: protocol.delayed_ack.into(),
            quick_acks: protocol.quick_acks,
            linger: match protocol.linger {
                Linger::Background => None,
                Linger::Bounded(time) => Some(time.into()),
            },
            fin_wait_timeout: protocol.fin_wait_timeout.into(),
            time_wait: protocol.time_wait.into(),
            congestion: protocol.controller,
            initial_window: protocol.initial_window,
            pacing: protocol.pacing,
            max_pacing_rate: protocol.max_pacing_rate.map(Rate::as_bps),
            autosize: protocol.autosize.into(),
            tso_defer: protocol.tso_defer,
            idle_restart: protocol.idle_restart,
            ecn: protocol.ecn.into(),
            timestamps: protocol.timestamps,
            sack: protocol.sack,
            window_scale: protocol.window_scale,
            tail_loss_probe: protocol.tail_loss_probe,
        }
    }
}

impl ConnectOptions {
    /// The protocol's own form of these, for a port whose packets hold `mtu` bytes.
    ///
    /// Both sides are spelt out: neither a field that `ConnConfig` gains nor one of ours can be forgotten here. Those that
    /// are no option say why.
    pub fn protocol(&self, mtu: u16) -> ConnConfig {
        let ConnectOptions {
            no_delay,
            cork,
            autocork,
            mss,
            mtu_probing,
            send_buffer,
            send_buffer_max,
            notsent_lowat,
            receive_buffer,
            connect_timeout,
            user_timeout,
            user_timeout_option,
            keepalive,
            initial_rto,
            min_rto,
            max_rto,
            delayed_ack,
            quick_acks,
            linger,
            fin_wait_timeout,
            time_wait,
            congestion,
            initial_window,
            pacing,
            max_pacing_rate,
            autosize,
            tso_defer,
            idle_restart,
            ecn,
            timestamps,
            sack,
            window_scale,
            tail_loss_probe,
        } = *self;
        ConnConfig {
            // The port's: see `Config::mtu`.
            mtu,
            no_delay,
            cork,
            autocork,
            max_mss: mss,
            mtu_probing: mtu_probing.protocol(),
            send_buffer,
            send_buffer_max,
            notsent_lowat,
            receive_buffer,
            connect_timeout: connect_timeout.into(),
            user_timeout: user_timeout.into(),
            user_timeout_option: user_timeout_option.map(UserTimeoutOption::protocol),
            keepalive: keepalive.map(Keepalive::protocol),
            initial_rto: initial_rto.into(),
            min_rto: min_rto.into(),
            max_rto: max_rto.into(),
            delayed_ack: delayed_ack.into(),
            quick_acks,
            linger: linger.map_or(Linger::Background, |time| Linger::Bounded(time.into())),
            fin_wait_timeout: fin_wait_timeout.into(),
            time_wait: time_wait.into(),
            controller: congestion,
            initial_window,
            pacing,
            max_pacing_rate: max_pacing_rate.map(Rate::from_bps),
            autosize: autosize.into(),
            tso_defer,
            idle_restart,
            ecn: ecn.protocol(),
            timestamps,
            sack,
            window_scale,
            tail_loss_probe,
        }
    }
}

/// What is written as it is typed.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// When to ask a peer that is silent whether it is still there (RFC 9293 §3.8.4).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// Silence before the first probe, from 1 ms. The standard asks for two hours unless the application knows better.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Time from a probe without answer to the next, from 1 ms.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Probes in a row that stay without answer before the connection is given up, from 1.
    pub probes: u32,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        conn::Keepalive::default().into()
    }
}

impl From<conn::Keepalive> for Keepalive {
    fn from(conn::Keepalive { idle, interval, probes }: conn::Keepalive) -> Keepalive {
        Keepalive { idle: idle.into(), interval: interval.into(), probes }
    }
}

impl Keepalive {
    pub(crate) fn protocol(self) -> conn::Keepalive {
        let Keepalive { idle, interval, probes } = self;
        conn::Keepalive { idle: idle.into(), interval: interval.into(), probes }
    }
}

/// The User Timeout option (RFC 5482).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserTimeoutOption {
    /// Follow a peer that waits longer than we do. Without it our timeout is announced and the peer's only noted.
    pub adapt: bool,
    /// The shortest timeout that following yields.
    #[serde(with = "humantime_serde")]
    pub shortest: Duration,
    /// The longest.
    #[serde(with = "humantime_serde")]
    pub longest: Duration,
}

impl Default for UserTimeoutOption {
    fn default() -> UserTimeoutOption {
        conn::UserTimeoutOption::default().into()
    }
}

impl From<conn::UserTimeoutOption> for UserTimeoutOption {
    fn from(option: conn::UserTimeoutOption) -> UserTimeoutOption {
        let conn::UserTimeoutOption { adapt, shortest, longest } = option;
        UserTimeoutOption { adapt, shortest: shortest.into(), longest: longest.into() }
    }
}

impl UserTimeoutOption {
    pub(crate) fn protocol(self) -> conn::UserTimeoutOption {
        let UserTimeoutOption { adapt, shortest, longest } = self;
        conn::UserTimeoutOption { adapt, shortest: shortest.into(), longest: longest.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_not_set_are_those_of_the_protocol() {
        assert_eq!(ConnectOptions::default().protocol(1500), ConnConfig::default());
    }

    #[test]
    fn s41_a_controller_is_chosen_by_its_name() {
        for name in ControllerKind::NAMES {
            let name = name.replace("rate", "1G");
            let options: ConnectOptions = toml::from_str(&format!("congestion = '{name}'")).unwrap();
            assert_eq!(options.protocol(1500).controller.to_string(), name);
        }
        let error = toml::from_str::<ConnectOptions>("congestion = 'vegas'").unwrap_err().to_string();
        assert!(error.contains("'vegas'") && error.contains("newreno"), "{error}");
    }

    #[test]
    fn s47_keepalive_reaches_the_protocol() {
        let text = "keepalive = { idle = '10s', probes = 3 }";
        let options: ConnectOptions = toml::from_str(text).unwrap();
        let expected =
            conn::Keepalive { idle: tcp::Nanos::from_secs(10), probes: 3, ..conn::Keepalive::default() };
        assert_eq!(options.protocol(1500).keepalive, Some(expected));
    }

    #[test]
    fn s36_the_user_timeout_option_reaches_the_protocol() {
        let text = "user_timeout_option = { adapt = false, longest = '20m' }";
        let options: ConnectOptions = toml::from_str(text).unwrap();
        let longest = tcp::Nanos::from_secs(1_200);
        let expected =
            conn::UserTimeoutOption { adapt: false, longest, ..conn::UserTimeoutOption::default() };
        assert_eq!(options.protocol(1500).user_timeout_option, Some(expected));
    }
}
