//! What is done about a path whose MTU nobody tells.

use serde::{Deserialize, Serialize};
use tcp::conn;

/// What is done about a path whose MTU nobody tells (RFC 4821).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MtuProbing {
    /// Nothing.
    Off,
    /// Small segments take the place of large ones that time out three times, and grow again by probes.
    BlackHole,
    /// Segments are small at first, and grow by probes.
    On,
}

impl From<conn::MtuProbing> for MtuProbing {
    fn from(probing: conn::MtuProbing) -> MtuProbing {
        match probing {
            conn::MtuProbing::Off => MtuProbing::Off,
            conn::MtuProbing::BlackHole => MtuProbing::BlackHole,
            conn::MtuProbing::On => MtuProbing::On,
        }
    }
}

impl MtuProbing {
    pub(crate) fn protocol(self) -> conn::MtuProbing {
        match self {
            MtuProbing::Off => conn::MtuProbing::Off,
            MtuProbing::BlackHole => conn::MtuProbing::BlackHole,
            MtuProbing::On => conn::MtuProbing::On,
        }
    }
}
