//! A process of `tsonami`, gone with this one whatever ends it. What it complains of goes where our own complaints go.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

/// How long an end may take to make its socket.
const PATIENCE: Duration = Duration::from_secs(60);
/// The exit code of who was asked to end by SIGTERM, and did so in order.
const ASKED: i32 = 143;

/// A process that runs.
struct Process {
    child: Child,
    command: String,
}

impl Process {
    /// Starts it, with the same right to its CPU as the kernel's contestants have.
    fn start(program: &Path, words: &str) -> Result<Process, Failure> {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "nice", "-n", "-20"])
            .arg(program)
            .args(words.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Process { child, command: format!("tsonami {words}") })
    }

    /// Everything that it printed, once it has ended. We sleep meanwhile: both CPUs are theirs.
    fn end(&mut self) -> Result<(String, ExitStatus), Failure> {
        let mut said = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut said)?;
        }
        Ok((said, self.child.wait()?))
    }

    /// It ended otherwise than it should have. Why, it has said itself.
    fn failed(&self, status: ExitStatus) -> Failure {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, signal) => format!("by signal {}", signal.unwrap_or_default()),
        };
        Failure::new(format!("it ended {how}, for the reason above: {}", self.command))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end that listens.
pub(super) struct Server(Process);

impl Server {
    /// Starts it, and waits until it has made its socket.
    pub(super) fn start(program: &Path, words: &str, socket: &Path) -> Result<Server, Failure> {
        let mut process = Process::start(program, words)?;
        let began = Instant::now();
        while !socket.exists() {
            if let Some(status) = process.child.try_wait()? {
                return Err(process.failed(status));
            }
            if began.elapsed() > PATIENCE {
                return Err(Failure::new(format!("no socket within {PATIENCE:?}: {}", process.command)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Server(process))
    }

    /// Asks it to end, and returns what it printed.
    pub(super) fn finish(mut self) -> Result<String, Failure> {
        // One that has ended by itself is still ours to fetch, so the number is nobody else's.
        let _ = kill_process(Pid::from_child(&self.0.child), Signal::TERM);
        match self.0.end()? {
            (said, status) if status.success() || status.code() == Some(ASKED) => Ok(said),
            (_, status) => Err(self.0.failed(status)),
        }
    }
}

/// The end that connects, which ends by itself: after its time, or after its own patience with a server that does not answer.
pub(super) struct Client;

impl Client {
    /// Runs it to its end, and returns what it printed.
    pub(super) fn run(program: &Path, words: &str) -> Result<String, Failure> {
        let mut process = Process::start(program, words)?;
        match process.end()? {
            (said, status) if status.success() => Ok(said),
            (_, status) => Err(process.failed(status)),
        }
    }
}
