//! Where words go: results to standard output, DPDK's chatter to the log, never mixed.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::{dup2_stdout, stdout};

use crate::exit::Exit;
use crate::failure::Failure;

/// Lines of DPDK's log that an error message quotes, at most.
const QUOTED_LINES: usize = 6;

/// The program's outputs.
///
/// Drivers print to file descriptor 1 as they like, so the real standard output is kept under another number and
/// descriptor 1 is the log from then on.
pub(crate) struct Console {
    out: File,
    /// Where chatter goes: the log file, or memory that errors quote from.
    log: File,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

impl Console {
    /// Takes over descriptor 1. The log goes to `log_file`, or to memory.
    pub(crate) fn open(log_file: Option<&Path>) -> Result<Console, Failure> {
        let out_is_terminal = io::stdout().is_terminal();
        let err_is_terminal = io::stderr().is_terminal();
        let log = match log_file {
            Some(path) => {
                File::options().create(true).truncate(true).read(true).write(true).open(path).map_err(
                    |e| Failure::new(Exit::File, format!("cannot write the log '{}': {e}", path.display())),
                )?
            }
            None => memory_file()
                .map_err(|e| Failure::new(Exit::File, format!("cannot make a log in memory: {e}")))?,
        };
        let take_over = || -> io::Result<File> {
            let out = File::from(stdout().try_clone_to_owned()?);
            dup2_stdout(log.as_fd())?;
            Ok(out)
        };
        let out = take_over()
            .map_err(|e| Failure::new(Exit::File, format!("cannot set standard output aside: {e}")))?;
        Ok(Console { out, log, out_is_terminal, err_is_terminal })
    }

    /// True when a person watches standard error: progress may be drawn there.
    pub(crate) fn interactive(&self) -> bool {
        self.err_is_terminal
    }

    /// True when a person reads standard output.
    pub(crate) fn out_is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Writes to the real standard output. A reader that went away (`| head`) is no error.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = &self.out;
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::File, format!("cannot write to standard output: {e}")))
            }
            _ => Ok(()),
        }
    }

    /// A handle on the log, to be given to EAL and to the tracing subscriber.
    pub(crate) fn log(&self) -> io::Result<File> {
        self.log.try_clone()
    }

    /// The last lines of the log that speak of trouble, for an error message.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let mut text = String::new();
        let mut log = &self.log;
        let read = log.seek(SeekFrom::Start(0)).and_then(|_| log.read_to_string(&mut text));
        if read.is_err() {
            return Vec::new();
        }
        trouble_in(&text)
    }
}

/// Lines of a DPDK log worth quoting: what the harmless start-up chatter leaves, the last few of them.
fn trouble_in(text: &str) -> Vec<String> {
    const HARMLESS: [&str; 12] = [
        "Detected CPU lcores",
        "Detected NUMA nodes",
        "Detected shared linkage",
        "Detected static linkage",
        "Multi-process socket",
        "Selected IOVA mode",
        "VFIO support initialized",
        "Physical addresses are unavailable",
        "No legacy callbacks",
        "Static memory layout is selected",
        "failed to create multiq qdisc",
        "Disabling rte flow support",
    ];
    let mut lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !HARMLESS.iter().any(|h| line.contains(h)))
        .map(str::to_owned)
        .collect();
    lines.dedup();
    lines.split_off(lines.len().saturating_sub(QUOTED_LINES))
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(memfd_create("tsonami-log", MemfdFlags::CLOEXEC)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_quote_trouble_and_leave_chatter_out() {
        let log = "EAL: Detected CPU lcores: 2\nEAL: Detected NUMA nodes: 1\n\nEAL: Selected IOVA mode 'VA'\n\
                   EAL: Cannot get hugepage information.\nEAL: Cannot get hugepage information.\n";
        assert_eq!(trouble_in(log), ["EAL: Cannot get hugepage information."]);
        let long: String = (0..20).map(|i| format!("EAL: trouble {i}\n")).collect();
        let quoted = trouble_in(&long);
        assert_eq!(quoted.len(), QUOTED_LINES);
        assert_eq!(quoted.last().map(String::as_str), Some("EAL: trouble 19"));
    }
}
