//! Where received bytes go: a hash, a file, or nowhere.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;

/// Takes what one connection receives.
pub(super) struct Sink {
    bytes: u64,
    hash: Option<Sha256>,
    file: Option<(File, PathBuf)>,
}

impl Sink {
    /// A sink for connection `number`, counted from 1. The first writes to `out` itself, later ones beside it.
    pub(super) fn open(out: Option<&Path>, number: u64, hash: bool) -> Result<Sink, Failure> {
        let file = match out {
            Some(out) => {
                let path = path_of(out, number);
                let file = File::create(&path).map_err(|e| {
                    Failure::new(Exit::File, format!("cannot write '{}': {e}", path.display()))
                })?;
                Some((file, path))
            }
            None => None,
        };
        Ok(Sink { bytes: 0, hash: hash.then(Sha256::new), file })
    }

    /// Whether `out` can be written, asked before anybody connects; what it holds stays.
    pub(super) fn try_out(out: &Path) -> Result<(), Failure> {
        let tried = File::options().write(true).create(true).truncate(false).open(out);
        tried
            .map(drop)
            .map_err(|e| Failure::new(Exit::File, format!("cannot write '{}': {e}", out.display())))
    }

    /// Takes bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        if let Some((file, path)) = &mut self.file {
            file.write_all(bytes)
                .map_err(|e| Failure::new(Exit::File, format!("cannot write '{}': {e}", path.display())))?;
        }
        Ok(())
    }

    /// How many bytes came, and their hash in hexadecimal.
    pub(super) fn finish(self) -> (u64, Option<String>) {
        (self.bytes, self.hash.map(|hash| crate::hex(&hash.finalize())))
    }
}

fn path_of(out: &Path, number: u64) -> PathBuf {
    if number <= 1 {
        return out.to_owned();
    }
    let mut path = out.as_os_str().to_owned();
    path.push(format!(".{number}"));
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_hashed_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.bin");
        for number in [1, 2] {
            let mut sink = Sink::open(Some(&out), number, true).unwrap();
            sink.take(b"a").unwrap();
            sink.take(b"bc").unwrap();
            let (bytes, sha256) = sink.finish();
            assert_eq!(bytes, 3);
            // FIPS 180-2, appendix B.1.
            let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
            assert_eq!(sha256.as_deref(), Some(known));
        }
        assert_eq!(std::fs::read(&out).unwrap(), b"abc");
        assert_eq!(std::fs::read(folder.path().join("out.bin.2")).unwrap(), b"abc");
    }

    #[test]
    fn without_a_hash_and_a_file_bytes_are_only_counted() {
        let mut sink = Sink::open(None, 1, false).unwrap();
        sink.take(&[0; 10]).unwrap();
        assert_eq!(sink.finish(), (10, None));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let failure = Sink::open(Some(Path::new("/nonexistent/x")), 1, true).err().unwrap();
        assert_eq!(failure.exit, Exit::File);
        assert!(failure.what.contains("/nonexistent/x"));
    }
}
