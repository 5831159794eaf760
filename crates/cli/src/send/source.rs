//! What is sent: a pattern, or a file; by copy, or from registered memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tsonami::{BufPool, FillError, LocalEngine, Payload, SendFlags, SendRefusal, TrySendError};

use super::flow::Flow;
use crate::exit::Exit;
use crate::failure::Failure;

/// Different blocks of pattern, so that bytes in the wrong place are not the right bytes by accident.
pub(crate) const BLOCKS: usize = 16;

/// Where bytes come from.
pub(crate) struct Source {
    content: Content,
    /// Bytes of each write.
    write: usize,
    flags: SendFlags,
}

enum Content {
    /// Blocks of pattern, sent by copy, over and over.
    Pattern(Vec<Vec<u8>>),
    /// The same in registered memory, sent by reference.
    PatternInPlace(Vec<Payload>),
    /// A file, read straight into the connection's send buffer.
    File(FileSource),
    /// A file, read into registered memory.
    FileInPlace { file: FileSource, pool: BufPool },
}

/// A file whose size is fixed when the run begins.
pub(crate) struct FileSource {
    file: File,
    name: String,
    pub(crate) size: u64,
}

/// Why a write did not happen.
pub(crate) enum Stop {
    /// Not now: the engine tells when it can take more.
    Full,
    /// No registered buffer is free: some come back as peers acknowledge.
    NoBuffer,
    /// The connection does not take bytes any more; its end is told by an event.
    Closed,
    /// The file failed.
    Failed(Failure),
}

impl FileSource {
    /// Opens `path` and notes its size.
    pub(crate) fn open(path: &Path) -> Result<FileSource, Failure> {
        let name = path.display().to_string();
        let fail =
            |what: &str, e: std::io::Error| Failure::new(Exit::File, format!("cannot {what} '{name}': {e}"));
        let file = File::open(path).map_err(|e| fail("open", e))?;
        let metadata = file.metadata().map_err(|e| fail("look at", e))?;
        if !metadata.is_file() {
            return Err(Failure::new(
                Exit::File,
                format!("'{name}' is no regular file; --file sends it whole, so its size must be known"),
            ));
        }
        Ok(FileSource { file, size: metadata.len(), name })
    }

    /// The same for another worker.
    pub(crate) fn again(&self) -> Result<FileSource, Failure> {
        let file = self.file.try_clone();
        let file = file.map_err(|e| Failure::new(Exit::File, format!("cannot open '{}': {e}", self.name)))?;
        Ok(FileSource { file, size: self.size, name: self.name.clone() })
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Stop> {
        self.file.read_exact_at(buffer, offset).map_err(|e| {
            Stop::Failed(Failure::new(
                Exit::File,
                format!(
                    "cannot read '{}' at byte {offset}: {e} (it had {} bytes at the start)",
                    self.name, self.size
                ),
            ))
        })
    }
}

impl Source {
    /// A pattern, in writes of `write` bytes.
    pub(crate) fn pattern(write: usize) -> Source {
        let blocks = (0..BLOCKS).map(|i| pattern_block(i as u64 + 1, write)).collect();
        Source { content: Content::Pattern(blocks), write, flags: SendFlags::default() }
    }

    /// A pattern in buffers of `pool`, in writes of `write` bytes.
    pub(crate) fn pattern_in_place(pool: &BufPool, write: usize) -> Result<Source, Failure> {
        let blocks = (0..BLOCKS)
            .map_while(|i| {
                let mut buffer = pool.try_alloc()?;
                buffer.spare_mut()[..write].copy_from_slice(&pattern_block(i as u64 + 1, write));
                Some(Payload::from(buffer.freeze(write)))
            })
            .collect::<Vec<_>>();
        if blocks.is_empty() {
            return Err(Failure::new(Exit::Start, "the pool of registered buffers is empty"));
        }
        Ok(Source { content: Content::PatternInPlace(blocks), write, flags: SendFlags::default() })
    }

    /// A file, in writes of `write` bytes.
    pub(crate) fn file(file: FileSource, write: usize) -> Source {
        Source { content: Content::File(file), write, flags: SendFlags::default() }
    }

    /// A file through buffers of `pool`, in writes of `write` bytes.
    pub(crate) fn file_in_place(file: FileSource, pool: BufPool, write: usize) -> Source {
        Source { content: Content::FileInPlace { file, pool }, write, flags: SendFlags::default() }
    }

    /// The same, with each write ending as `flags` say.
    pub(crate) fn with(self, flags: SendFlags) -> Source {
        Source { flags, ..self }
    }

    /// Does one write of `flow`, whole or in part; returns the bytes that were taken.
    pub(crate) fn write(&mut self, engine: &mut LocalEngine, flow: &mut Flow) -> Result<usize, Stop> {
        let length = flow.next_write(self.write);
        let flags = self.flags;
        match &mut self.content {
            Content::Pattern(blocks) => {
                // A write that was taken in part goes on where it stopped: the stream does not depend on luck.
                let (block, from) = place(flow.accepted, self.write, blocks.len());
                let bytes = &blocks[block][from..][..length.min(self.write - from)];
                copy(engine, flow, bytes, flags)
            }
            Content::PatternInPlace(blocks) => {
                let (block, from) = place(flow.accepted, self.write, blocks.len());
                let payload = blocks[block].slice(from..from + length.min(self.write - from));
                reference(engine, flow, payload, flags)
            }
            Content::File(file) => read_in(engine, flow, file, length, flags),
            Content::FileInPlace { file, pool } => {
                // A buffer that was refused waits with its connection, filled.
                if let Some(payload) = flow.refused.take() {
                    return reference(engine, flow, payload, flags);
                }
                let mut buffer = pool.try_alloc().ok_or(Stop::NoBuffer)?;
                file.read(&mut buffer.spare_mut()[..length], flow.accepted)?;
                reference(engine, flow, Payload::from(buffer.freeze(length)), flags)
            }
        }
    }
}

/// Where offset `at` of the stream lies in `count` blocks of `size` bytes that repeat: block, and place in it.
fn place(at: u64, size: usize, count: usize) -> (usize, usize) {
    let size = size as u64;
    ((at / size % count as u64) as usize, (at % size) as usize)
}

fn copy(engine: &mut LocalEngine, flow: &mut Flow, bytes: &[u8], flags: SendFlags) -> Result<usize, Stop> {
    match engine.send_copy(flow.id, bytes, flags) {
        Ok(taken) => {
            flow.accept(&bytes[..taken]);
            Ok(taken)
        }
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Err(Stop::Full),
        Err(_) => Err(Stop::Closed),
    }
}

/// Reads the next `length` bytes of the file into the send buffer, as far as that has room.
fn read_in(
    engine: &mut LocalEngine,
    flow: &mut Flow,
    file: &FileSource,
    length: usize,
    flags: SendFlags,
) -> Result<usize, Stop> {
    let mut left = length;
    while left > 0 {
        let filled = engine.send_with(flow.id, left, |room| {
            file.read(room, flow.accepted)?;
            flow.accept(room);
            Ok((room.len(), if room.len() == left { flags } else { flags.of_a_part() }))
        });
        match filled {
            Ok(n) => left -= n,
            // It comes again with the next call.
            Err(_) if left < length => break,
            Err(FillError::Source(stop)) => return Err(stop),
            Err(FillError::Refused(SendRefusal::Full | SendRefusal::NoBuffers)) => return Err(Stop::Full),
            Err(FillError::Refused(_)) => return Err(Stop::Closed),
        }
    }
    Ok(length - left)
}

fn reference(
    engine: &mut LocalEngine,
    flow: &mut Flow,
    payload: Payload,
    flags: SendFlags,
) -> Result<usize, Stop> {
    let sent = payload.clone();
    match engine.send(flow.id, payload, flags) {
        Ok(_) => {
            flow.accept(&sent);
            Ok(sent.len())
        }
        Err(TrySendError { payload, reason }) if reason.kind() == std::io::ErrorKind::WouldBlock => {
            flow.refused = Some(payload);
            Err(Stop::Full)
        }
        Err(_) => Err(Stop::Closed),
    }
}

/// `length` bytes that look random and are the same every time.
fn pattern_block(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut block = Vec::with_capacity(length + 8);
    while block.len() < length {
        // xorshift64: enough to be neither compressible nor periodic within a block.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block.truncate(length);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_differ_and_repeat_exactly() {
        let blocks: Vec<_> = (1..=BLOCKS as u64).map(|i| pattern_block(i, 100)).collect();
        for (i, a) in blocks.iter().enumerate() {
            assert_eq!(a.len(), 100);
            assert_eq!(*a, pattern_block(i as u64 + 1, 100));
            assert!(blocks[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn a_write_taken_in_part_goes_on_where_it_stopped() {
        assert_eq!(place(0, 100, 16), (0, 0));
        assert_eq!(place(99, 100, 16), (0, 99));
        assert_eq!(place(100, 100, 16), (1, 0));
        assert_eq!(place(1_650, 100, 16), (0, 50));
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileSource::open(folder.path()).err().unwrap();
        assert!(error.what.contains("no regular file"), "{error}");
        let error = FileSource::open(&folder.path().join("missing")).err().unwrap();
        assert_eq!(error.exit, Exit::File);
        assert!(error.what.starts_with("cannot open"), "{error}");
    }
}
