//! Network namespaces and the processes in them, all gone when the place is dropped or this process ends.

use std::io::{BufRead as _, BufReader, Error, Read as _, Result};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The program that this is.
///
/// # Errors
///
/// Nobody knows where it is, or its path is no UTF-8.
pub fn myself() -> Result<String> {
    let path = std::env::current_exe()?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Error::other(format!("{} is no UTF-8", path.display())))
}

/// A network namespace. It lives as long as the process that holds it, which ends when its standard input does.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// A new one, with its loopback up and without IPv6.
    ///
    /// # Errors
    ///
    /// We are not root, or `unshare`, `sh` or `ip` is not there.
    pub fn new() -> Result<Namespace> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = [0; 6];
        let said = holder.stdout.as_mut().map(|out| out.read_exact(&mut ready));
        if !matches!(said, Some(Ok(()))) || &ready != b"ready\n" {
            let _ = holder.wait(); // Whatever it says, it is over.
            return Err(Error::other("no network namespace: be root"));
        }
        let namespace = Namespace { holder };
        namespace.set("ipv6/conf/all/disable_ipv6", "1")?;
        Ok(namespace)
    }

    /// The process that holds it, by which `ip link` names it.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A program inside, which dies with us.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.pid().to_string(),
            "--net",
            "--",
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
        ]);
        command.arg(program);
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    ///
    /// It cannot be started or fails; the error has what it said.
    pub fn run(&self, words: &str) -> Result<()> {
        let mut parts = words.split_whitespace();
        self.output(words, self.command(parts.next().unwrap_or_default()).args(parts))
    }

    /// Sets a sysctl below `net`.
    ///
    /// # Errors
    ///
    /// There is no such sysctl, or it does not take the value.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let script = r#"echo "$2" > "/proc/sys/net/$1""#;
        self.output(name, self.command("sh").args(["-c", script, "sh", name, value]))
    }

    /// Has one CPU do the kernel's receive work for an interface (receive packet steering), whichever CPU the frames come from.
    ///
    /// # Errors
    ///
    /// There is no such interface, or the kernel has no packet steering.
    pub fn steer(&self, interface: &str, cpu: usize) -> Result<()> {
        // What /sys shows of interfaces is of the namespace in which it was mounted.
        let script = r#"mount -t sysfs sysfs /sys && echo "$2" > "/sys/class/net/$1/queues/rx-0/rps_cpus""#;
        let mask = mask(cpu);
        let words = ["--mount", "--", "sh", "-c", script, "sh", interface, &mask];
        self.output("receive packet steering", self.command("unshare").args(words))
    }

    fn output(&self, what: &str, command: &mut Command) -> Result<()> {
        let out = command.stdin(Stdio::null()).output()?;
        if out.status.success() {
            return Ok(());
        }
        Err(Error::other(format!("{what}: {}", String::from_utf8_lossy(&out.stderr).trim())))
    }

    /// Starts a program inside, with more right to a CPU than others, but not a real-time one.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(&self, program: &str, words: &str) -> Result<Process> {
        let mut command = self.command("chrt");
        command.args(["--other", "0", "nice", "-n", "-20", program]);
        command.args(words.split_whitespace());
        Process::start(program, command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The set of this CPU alone, as the kernel reads it: groups of 32 in hexadecimal, the last ones first.
fn mask(cpu: usize) -> String {
    format!("{:x}{}", 1_u32 << (cpu % 32), ",00000000".repeat(cpu / 32))
}

/// A process that ends when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    fn start(name: &str, mut command: Command) -> Result<Process> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (to, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                // Nobody listens any more, or nothing more comes.
                let _ = BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| to.send(line));
            });
        }
        Ok(Process { name: name.to_owned(), child, lines })
    }

    /// The next line it prints, which must come in time. `alive` is asked all the while.
    ///
    /// # Errors
    ///
    /// What `alive` says, or that nothing more came.
    pub fn line(&self, limit: Duration, mut alive: impl FnMut() -> Result<()>) -> Result<String> {
        let began = Instant::now();
        loop {
            alive()?;
            match self.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Timeout) if began.elapsed() < limit => {}
                Err(why) => return Err(Error::other(format!("{} says nothing more ({why})", self.name))),
            }
        }
    }

    /// Everything more that it prints, until it closes its output, which must be in time.
    ///
    /// # Errors
    ///
    /// It goes on for longer.
    pub fn rest(&self, limit: Duration) -> Result<String> {
        let (began, mut text) = (Instant::now(), String::new());
        loop {
            match self.lines.recv_timeout(limit.saturating_sub(began.elapsed())) {
                Ok(line) => text = text + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => return Ok(text),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::other(format!("{} did not end within {limit:.1?}", self.name)));
                }
            }
        }
    }

    /// Gives it a CPU, and this real-time priority there. Not from its start: DPDK's start waits awake for threads of its own,
    /// which then get no turn.
    ///
    /// # Errors
    ///
    /// It has ended, or we are not root.
    pub fn settle(&self, cpu: usize, priority: u8) -> Result<()> {
        adjust(&["taskset", "--cpu-list", "--pid", &cpu.to_string()], self.child.id())?;
        prefer(self.child.id(), priority)
    }

    /// Asks it to end.
    pub fn end(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM); // It may have ended by itself.
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives a process this real-time priority.
///
/// # Errors
///
/// There is no such process, or we are not root.
pub fn prefer(pid: u32, priority: u8) -> Result<()> {
    adjust(&["chrt", "--fifo", "--pid", &priority.to_string()], pid)
}

fn adjust(words: &[&str], pid: u32) -> Result<()> {
    let Some((program, options)) = words.split_first() else { return Ok(()) };
    let out = Command::new(program).args(options).arg(pid.to_string()).output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::other(format!("{program}: {}", String::from_utf8_lossy(&out.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_a_bit_in_groups_of_32() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(33), "2,00000000");
        assert_eq!(mask(64), "1,00000000,00000000");
    }
}
