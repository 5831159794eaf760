//! Where words go: results to standard output, DPDK's chatter to the log, never mixed.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::stdio::{dup2_stdout, stderr, stdout};
use tracing_subscriber::filter::LevelFilter;

use crate::args::LogArgs;
use crate::exit::Exit;
use crate::failure::Failure;

/// The program's outputs.
///
/// Drivers print to file descriptor 1 as they like, so the real standard output is kept under another number and
/// descriptor 1 leads to the log from then on.
pub(crate) struct Console {
    out: File,
    /// Where DPDK's log goes, and what it prints beside it.
    chatter: File,
    err_is_terminal: bool,
    talkative: bool,
}

impl Console {
    /// Takes over descriptor 1 and sets up our own log.
    ///
    /// Without options both logs go nowhere; `-v` shows ours on standard error, `-vv` DPDK's too; `--log` collects
    /// both in a file instead.
    pub(crate) fn open(args: &LogArgs) -> Result<Console, Failure> {
        let err_is_terminal = io::stderr().is_terminal();
        let log = args.log.as_deref().map(create_log).transpose()?;
        let setup = || -> io::Result<Console> {
            let out = File::from(stdout().try_clone_to_owned()?);
            let chatter = match &log {
                Some(log) => log.try_clone()?,
                None if args.verbose >= 2 => File::from(stderr().try_clone_to_owned()?),
                None => File::options().write(true).open("/dev/null")?,
            };
            dup2_stdout(chatter.as_fd())?;
            start_tracing(log.as_ref().map(File::try_clone).transpose()?, args.verbose);
            Ok(Console { out, chatter, err_is_terminal, talkative: args.verbose >= 2 })
        };
        setup().map_err(|e| Failure::new(Exit::File, format!("cannot set standard output aside: {e}")))
    }

    /// True when a person watches standard error: progress may be drawn there.
    pub(crate) fn interactive(&self) -> bool {
        self.err_is_terminal
    }

    /// True when DPDK is to tell everything.
    pub(crate) fn talkative(&self) -> bool {
        self.talkative
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

    /// Writes an object as JSON over several lines, as [`print`](Console::print) writes text.
    pub(crate) fn print_json(&self, object: &impl serde::Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(object)
            .map_err(|e| Failure::new(Exit::File, format!("cannot write JSON: {e}")))?;
        self.print(&format!("{json}\n"))
    }

    /// Where DPDK's log goes.
    pub(crate) fn chatter(&self) -> Result<File, Failure> {
        self.chatter
            .try_clone()
            .map_err(|e| Failure::new(Exit::File, format!("cannot open the log twice: {e}")))
    }
}

fn create_log(path: &Path) -> Result<File, Failure> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| Failure::new(Exit::File, format!("cannot write the log '{}': {e}", path.display())))
}

/// Our own log: to the file if there is one, to standard error with `-v`.
fn start_tracing(file: Option<File>, verbose: u8) {
    let level = match (verbose, &file) {
        (0, None) => return,
        (0 | 1, _) => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    match file {
        Some(file) => builder.with_ansi(false).with_writer(std::sync::Mutex::new(file)).init(),
        None => builder.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init(),
    }
}
