//! What a connection is told at its start.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tcp::conn::ConnConfig;

/// Settings of one connection. Whatever is not set has the default of [`tcp::conn::ConnConfig`].
///
/// In TOML lengths of time are text: `"500ms"`, `"10s"`, `"2m"`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectOptions {
    /// Payload bytes of a segment, at most; never more than the peer and the MTU allow.
    pub mss: Option<u16>,
    /// Bytes that may wait to be acknowledged.
    pub send_buffer: usize,
    /// Bytes that may wait to be read.
    pub receive_buffer: usize,
    /// Small segments leave at once: no Nagle.
    pub no_delay: bool,
    /// How long opening may take.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long the peer may leave bytes unacknowledged.
    #[serde(with = "humantime_serde")]
    pub user_timeout: Duration,
    /// The shortest retransmission timeout.
    #[serde(with = "humantime_serde")]
    pub min_rto: Duration,
    /// How long an ACK may be delayed, below 500 ms.
    #[serde(with = "humantime_serde")]
    pub delayed_ack: Duration,
    /// The first congestion window, segments.
    pub initial_window: u32,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        let protocol = ConnConfig::default();
        ConnectOptions {
            mss: protocol.max_mss,
            send_buffer: protocol.send_buffer,
            receive_buffer: protocol.receive_buffer,
            no_delay: protocol.no_delay,
            connect_timeout: protocol.connect_timeout.into(),
            user_timeout: protocol.user_timeout.into(),
            min_rto: protocol.min_rto.into(),
            delayed_ack: protocol.delayed_ack.into(),
            initial_window: protocol.initial_window,
        }
    }
}

impl ConnectOptions {
    /// The protocol's own form of these, for a port whose packets hold `mtu` bytes.
    pub(crate) fn protocol(&self, mtu: u16) -> ConnConfig {
        ConnConfig {
            mtu,
            max_mss: self.mss,
            send_buffer: self.send_buffer,
            receive_buffer: self.receive_buffer,
            no_delay: self.no_delay,
            connect_timeout: self.connect_timeout.into(),
            user_timeout: self.user_timeout.into(),
            min_rto: self.min_rto.into(),
            delayed_ack: self.delayed_ack.into(),
            initial_window: self.initial_window,
            ..ConnConfig::default()
        }
    }
}
