//! A contestant's process, and everything that it starts: gone when its turn is over.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use live::place::myself;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::failure::Failure;

/// A part that runs, in a process group of its own.
pub(super) struct Child {
    child: std::process::Child,
    stdout: PathBuf,
    stderr: PathBuf,
    /// For sockets and the like; removed with everything in it.
    _scratch: TempDir,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// In order; this is what it printed.
    Printed(String),
    Failed(String),
    /// By us, since somebody asked us to stop.
    Stopped,
}

/// How often it is looked after. Looking costs a system call, so a busy machine is not disturbed.
const LOOK: Duration = Duration::from_millis(50);
/// Between asking a group to end and making it.
const GRACE: Duration = Duration::from_secs(3);
/// Bytes of complaints that a record keeps.
const COMPLAINT: usize = 2_000;

impl Child {
    /// Starts this program again with these words. What it prints goes to files of this name in the folder.
    pub(super) fn start(words: &[String], logs: &Path, name: &str) -> Result<Child, Failure> {
        std::fs::create_dir_all(logs)?;
        let (stdout, stderr) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.err")));
        let scratch = tempfile::Builder::new().prefix("tsonami-bench.").tempdir()?;
        // Should we be killed, it is too; should we stop, its whole group is.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", &myself()?])
            .args(words)
            .env("TMPDIR", scratch.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()?;
        Ok(Child { child, stdout, stderr, _scratch: scratch })
    }

    /// Waits until it ends, for so long, or until we are asked to stop.
    pub(super) fn wait(mut self, limit: Duration, stop: &AtomicBool) -> Result<End, Failure> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            if began.elapsed() > limit {
                return Ok(End::Failed(format!("it did not end within {limit:.0?}{}", self.complaint())));
            }
            std::thread::sleep(LOOK);
        };
        if status.success() {
            return Ok(End::Printed(std::fs::read_to_string(&self.stdout)?));
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".to_owned(),
        };
        Ok(End::Failed(format!("{how}{}", self.complaint())))
    }

    /// The end of what it wrote to standard error, after a colon.
    fn complaint(&self) -> String {
        let mut text = Vec::new();
        // Without it there is nothing to say.
        let _ = File::open(&self.stderr).and_then(|mut file| file.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(COMPLAINT)..]).trim().to_owned();
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        // Either fails only when nobody is left.
        let _ = kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < GRACE {
            std::thread::sleep(LOOK / 10);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}
