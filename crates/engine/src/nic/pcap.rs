//! Captures in the classic pcap format, with nanoseconds.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::traced::{Direction, FrameSink};

/// Writes Ethernet frames as a pcap file that tcpdump, tshark and wireshark read. The first error of the
/// underlying writer ends the capture, never the traffic: [`finish`](PcapWriter::finish) reports it.
#[derive(Debug)]
pub struct PcapWriter<W: Write> {
    out: W,
    frames: u64,
    error: Option<io::Error>,
}

impl<W: Write> PcapWriter<W> {
    /// Bytes kept of a frame, at most; what tcpdump keeps by default.
    pub const SNAPLEN: u32 = 262_144;

    /// Starts a capture by writing the file's header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes()); // nanosecond time stamps
        header[4..6].copy_from_slice(&2_u16.to_le_bytes()); // version 2.4
        header[6..8].copy_from_slice(&4_u16.to_le_bytes());
        header[16..20].copy_from_slice(&Self::SNAPLEN.to_le_bytes());
        header[20..].copy_from_slice(&1_u32.to_le_bytes()); // Ethernet
        out.write_all(&header)?;
        Ok(PcapWriter { out, frames: 0, error: None })
    }

    /// Appends a frame seen `nanos` nanoseconds after 1970 began.
    pub fn write(&mut self, nanos: u64, pieces: &[&[u8]]) {
        if self.error.is_some() {
            return;
        }
        match self.record(nanos, pieces) {
            Ok(()) => self.frames += 1,
            Err(error) => self.error = Some(error),
        }
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ends the capture and hands the writer back, flushed.
    ///
    /// # Errors
    /// The first error met while writing; frames after it are missing.
    pub fn finish(mut self) -> io::Result<W> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }

    fn record(&mut self, nanos: u64, pieces: &[&[u8]]) -> io::Result<()> {
        let len: usize = pieces.iter().map(|p| p.len()).sum();
        let mut left = len.min(Self::SNAPLEN as usize);
        // The format has 32 bits of seconds, good until 2106.
        let words = [nanos / 1_000_000_000, nanos % 1_000_000_000, left as u64, len as u64];
        for word in words {
            self.out.write_all(&(word as u32).to_le_bytes())?;
        }
        for piece in pieces {
            let part = &piece[..piece.len().min(left)];
            left -= part.len();
            self.out.write_all(part)?;
        }
        Ok(())
    }
}

/// A sink on the machine's clock.
impl<W: Write> FrameSink for PcapWriter<W> {
    fn frame(&mut self, _: Direction, pieces: &[&[u8]]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.write(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), pieces);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_the_header_and_records_of_the_format() {
        let mut pcap = PcapWriter::new(Vec::new()).unwrap();
        pcap.write(5_000_000_007, &[b"abc", b"de"]);
        assert_eq!(pcap.frames(), 1);
        let file = pcap.finish().unwrap();
        assert_eq!(file[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(file[24..40], [5, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&file[40..], b"abcde");
    }

    #[test]
    fn the_first_write_error_is_reported_at_the_end() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                if self.0 < buf.len() {
                    return Err(io::Error::from(io::ErrorKind::StorageFull));
                }
                self.0 -= buf.len();
                Ok(buf.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut pcap = PcapWriter::new(Full(30)).unwrap();
        pcap.write(0, &[b"abc"]);
        pcap.write(0, &[b"abc"]);
        assert_eq!(pcap.frames(), 0);
        assert_eq!(pcap.finish().err().map(|e| e.kind()), Some(io::ErrorKind::StorageFull));
    }
}
