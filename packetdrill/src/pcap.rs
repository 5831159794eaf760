//! A recording of every packet, for other judges: pcap with microseconds, link type RAW (bare IP).

use std::fs::File;
use std::io::{self, Write};

use tcp::Time;

const MAGIC: u32 = 0xa1b2_c3d4;
const LINKTYPE_RAW: u32 = 101;

/// An open recording.
#[derive(Debug)]
pub(crate) struct Pcap {
    out: File,
}

impl Pcap {
    /// Begins a recording at `path`.
    pub(crate) fn create(path: &str) -> io::Result<Pcap> {
        let mut out = File::create(path)?;
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC.to_ne_bytes());
        header.extend([2u16, 4].map(u16::to_ne_bytes).concat());
        // Time zone, accuracy, longest packet, link type.
        header.extend([0, 0, 65_535, LINKTYPE_RAW].map(u32::to_ne_bytes).concat());
        out.write_all(&header)?;
        Ok(Pcap { out })
    }

    /// Adds one packet. One write each, so that a script that fails leaves everything behind.
    pub(crate) fn record(&mut self, at: Time, packet: &[u8]) -> io::Result<()> {
        let micros = at.as_nanos() / 1_000;
        let len = packet.len() as u32;
        let head = [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, len, len];
        self.out.write_all(&[&head.map(u32::to_ne_bytes).concat()[..], packet].concat())
    }
}
