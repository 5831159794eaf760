//! When marks of congestion are used.

use serde::{Deserialize, Serialize};
use tcp::conn::EcnMode;

/// Whether a connection uses Explicit Congestion Notification (RFC 3168, RFC 9768).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecn {
    /// Neither asks for it nor agrees to it.
    Off,
    /// Asks for it, and agrees to it.
    On,
    /// Asks for Accurate ECN (RFC 9768), whose ACKs count marks, and agrees to either form.
    Accurate,
    /// Agrees to it when the peer, who connects, asks for it.
    Passive,
}

impl From<EcnMode> for Ecn {
    fn from(mode: EcnMode) -> Ecn {
        match mode {
            EcnMode::Off => Ecn::Off,
            EcnMode::On => Ecn::On,
            EcnMode::Accurate => Ecn::Accurate,
            EcnMode::Passive => Ecn::Passive,
        }
    }
}

impl Ecn {
    pub(crate) fn protocol(self) -> EcnMode {
        match self {
            Ecn::Off => EcnMode::Off,
            Ecn::On => EcnMode::On,
            Ecn::Accurate => EcnMode::Accurate,
            Ecn::Passive => EcnMode::Passive,
        }
    }
}
