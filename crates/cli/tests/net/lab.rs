//! A place to test in: a network namespace, files, and processes that end with the test.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The kernel's address, on its side of the TAP.
pub(crate) const KERNEL: &str = "10.77.0.1";
/// Addresses beyond a router: its own, and a receiver's.
pub(crate) const ROUTER: &str = "10.78.0.1";
pub(crate) const FAR: &str = "10.78.0.2";
/// Where receivers listen.
pub(crate) const PORT: u16 = 5001;
/// The TAP's name.
pub(crate) const TAP: &str = "ts0";
/// How long anything may take that is not under test itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How much to send, bytes: `TSONAMI_TEST_MIB`, or 24 MiB.
pub(crate) fn volume() -> u64 {
    let mib = std::env::var("TSONAMI_TEST_MIB")
        .map_or(24, |text| text.parse().expect("TSONAMI_TEST_MIB is a number"));
    mib << 20
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A network namespace and a folder; both are gone when it is dropped, or when the test is killed: the namespace
/// lives as long as the process that holds it, and that one ends when its standard input does.
pub(crate) struct Lab {
    holder: Child,
    _stdin: ChildStdin,
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        Lab::held_by(unshare)
    }

    /// Another namespace, behind a router: this lab's kernel, with an interface `ts-far` of MTU `mtu` towards it. Packets of
    /// 1500 bytes pass the other way.
    pub(crate) fn behind_a_router(&self, mtu: u16) -> Lab {
        let far = Lab::held_by(self.command("unshare"));
        let pid = far.holder.id();
        let script = format!(
            "echo 1 > /proc/sys/net/ipv4/ip_forward && \
             ip link add ts-far mtu {mtu} type veth peer name ts-near mtu 1500 netns {pid} && \
             ip address add {ROUTER}/24 dev ts-far && ip link set ts-far up"
        );
        self.spawn("sh", ["-c", &script]).ends_with(0, PATIENCE);
        far.run(&format!("ip address add {FAR}/24 dev ts-near"));
        far.run("ip link set ts-near up");
        far.run(&format!("ip route add default via {ROUTER}"));
        far
    }

    /// The namespace of a process that `unshare` becomes, which lives until its standard input ends.
    fn held_by(mut unshare: Command) -> Lab {
        let mut holder = unshare
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) runs");
        let mut ready = [0; 6];
        let said = holder.stdout.as_mut().expect("piped").read_exact(&mut ready);
        assert!(
            said.is_ok() && &ready == b"ready\n",
            "no network namespace: be root, or allow user namespaces"
        );
        let stdin = holder.stdin.take().expect("piped");
        Lab { holder, _stdin: stdin, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path in this lab's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that will run inside the namespace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net"]);
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Starts a program inside the namespace.
    pub(crate) fn spawn<S: AsRef<std::ffi::OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Process {
        let mut command = self.command(program);
        command.args(args);
        Process::spawn(program, command)
    }

    /// Runs a program inside the namespace to its successful end and returns what it printed.
    pub(crate) fn run(&self, words: &str) -> String {
        let mut words = words.split_whitespace();
        let mut process = self.spawn(words.next().expect("a program"), words);
        process.ends_with(0, PATIENCE).stdout
    }

    /// Starts the Python receiver; returns when it listens.
    pub(crate) fn receiver(&self, mode: &str, connections: u32) -> Process {
        self.receiver_at(mode, PORT, connections)
    }

    /// The same at another port.
    pub(crate) fn receiver_at(&self, mode: &str, port: u16, connections: u32) -> Process {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/net/receiver.py");
        let args = ["-u", script, mode, &port.to_string(), &connections.to_string()];
        let process = self.spawn("/usr/bin/python3", args);
        process.says("listening", PATIENCE);
        process
    }

    /// Starts a peer that is this many milliseconds away and whose ACKs are this many microseconds apart, at every
    /// address that ends in .9; returns when it listens.
    pub(crate) fn distant(&self, milliseconds: u32, microseconds: u32) -> Process {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/net/distant.py");
        let args = ["-u", script, &milliseconds.to_string(), &microseconds.to_string()];
        let process = self.spawn("/usr/bin/python3", args);
        process.says("listening", PATIENCE);
        process
    }

    /// Starts socat on a kernel socket; returns when it listens. It says the SHA-256 of each connection. Its own
    /// backlog of 5 is too short for 8 connections at once: Linux then answers with SYN cookies, and with a reset to
    /// data that overtakes the accept.
    pub(crate) fn socat(&self) -> Process {
        let listen = format!("TCP-LISTEN:{PORT},reuseaddr,fork,backlog=64");
        let process = self.spawn("socat", ["-d", "-d", "-u", &listen, "SYSTEM:sha256sum >&2"]);
        process.says("listening on", PATIENCE);
        process
    }

    /// Starts `tsonami send` over a TAP of its own, with these further words.
    pub(crate) fn send(&self, words: &str) -> Process {
        self.send_over(&format!("tap:{TAP},host={KERNEL}/24"), words)
    }

    /// Starts `tsonami send` over this device, with these further words.
    pub(crate) fn send_over(&self, device: &str, words: &str) -> Process {
        let fixed = ["send", "--dev", device, "--addr", "10.77.0.2/24"];
        self.spawn(env!("CARGO_BIN_EXE_tsonami"), fixed.into_iter().chain(words.split_whitespace()))
    }

    /// Makes a pair of virtual Ethernet interfaces, `ts-veth0` for us and `ts-veth1` for the kernel with its address.
    pub(crate) fn veth(&self) {
        self.run("ip link add ts-veth0 type veth peer name ts-veth1");
        self.run(&format!("ip address add {KERNEL}/24 dev ts-veth1"));
        self.run("ip link set ts-veth0 up");
        self.run("ip link set ts-veth1 up");
    }

    /// Starts `tsonami serve` over a TAP of its own, with these further words; returns when it listens.
    pub(crate) fn serve(&self, words: &str) -> Process {
        let device = format!("tap:{TAP},host={KERNEL}/24");
        let fixed = ["serve", "--dev", &device];
        let process =
            self.spawn(env!("CARGO_BIN_EXE_tsonami"), fixed.into_iter().chain(words.split_whitespace()));
        process.says("listening on", PATIENCE);
        process
    }

    /// A file of random bytes, and its SHA-256.
    pub(crate) fn random_file(&self, bytes: u64) -> (PathBuf, String) {
        let path = self.path("data");
        let mut source = std::fs::File::open("/dev/urandom").expect("random bytes").take(bytes);
        let mut file = std::fs::File::create(&path).expect("a file in our folder");
        std::io::copy(&mut source, &mut file).expect("room in the temporary folder");
        let hash = self.run(&format!("sha256sum {}", path.display()));
        (path, hash[..64].to_owned())
    }

    /// A counter of the kernel's TCP in this namespace, e.g. `TcpInCsumErrors`.
    pub(crate) fn kernel_counter(&self, name: &str) -> u64 {
        let table = self.run(&format!("nstat -asz {name}"));
        let line = table.lines().find(|line| line.starts_with(name)).expect("the counter exists");
        line.split_whitespace().nth(1).expect("a value").parse().expect("a number")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What a process said and how it ended.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
    ended: bool,
}

/// A process that ends with the test, and whose words and end can be waited for.
pub(crate) struct Process {
    name: String,
    pid: Pid,
    outcome: Arc<(Mutex<Outcome>, Condvar)>,
    started: Instant,
}

impl Process {
    pub(crate) fn spawn(name: &str, mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let pid = Pid::from_child(&child);
        let outcome = Arc::new((Mutex::new(Outcome::default()), Condvar::new()));
        let readers = [
            listen(child.stdout.take().expect("piped"), Arc::clone(&outcome), |o| &mut o.stdout),
            listen(child.stderr.take().expect("piped"), Arc::clone(&outcome), |o| &mut o.stderr),
        ];
        let at_end = Arc::clone(&outcome);
        std::thread::spawn(move || {
            let status = child.wait().ok().as_ref().and_then(ExitStatus::code);
            for reader in readers {
                let _ = reader.join(); // A reader that panicked has nothing more to add.
            }
            let mut outcome = at_end.0.lock().expect("no reader panicked");
            outcome.code = status;
            outcome.ended = true;
            at_end.1.notify_all();
        });
        Process { name: name.to_owned(), pid, outcome, started: Instant::now() }
    }

    /// Waits until `done` holds; false when the time is over first.
    fn wait(&self, limit: Duration, mut done: impl FnMut(&Outcome) -> bool) -> bool {
        let outcome = self.outcome.0.lock().expect("no reader panicked");
        let (_outcome, over) =
            self.outcome.1.wait_timeout_while(outcome, limit, |o| !done(o)).expect("no reader panicked");
        !over.timed_out()
    }

    /// What it has said so far.
    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome.0.lock().expect("no reader panicked").clone()
    }

    /// Waits until it has said this, on either stream.
    pub(crate) fn says(&self, words: &str, limit: Duration) {
        self.says_times(1, words, limit);
    }

    /// Waits until it has said this so many times.
    pub(crate) fn says_times(&self, times: usize, words: &str, limit: Duration) {
        // Text comes in whole lines, so each is searched once.
        let (mut seen, mut count) = ([0; 2], 0);
        self.wait(limit, |o| {
            for (text, seen) in [&o.stdout, &o.stderr].into_iter().zip(&mut seen) {
                count += text[*seen..].matches(words).count();
                *seen = text.len();
            }
            count >= times || o.ended
        });
        assert!(
            count >= times,
            "{} did not say '{words}' {times} times in {limit:?}{}",
            self.name,
            self.report()
        );
    }

    /// Waits until it has said nothing new for this long.
    pub(crate) fn falls_silent_for(&self, time: Duration, limit: Duration) {
        let began = Instant::now();
        loop {
            let before = self.outcome().stdout.len();
            if !self.wait(time, |o| o.stdout.len() > before) {
                return;
            }
            assert!(began.elapsed() < limit, "{} goes on{}", self.name, self.report());
        }
    }

    /// Waits for its end, which must come within `limit` of its start and with this exit code.
    pub(crate) fn ends_with(&mut self, code: i32, limit: Duration) -> Outcome {
        let left = limit.saturating_sub(self.started.elapsed());
        assert!(self.wait(left, |o| o.ended), "{} does not end in {limit:?}{}", self.name, self.report());
        let outcome = self.outcome();
        assert_eq!(outcome.code, Some(code), "exit code of {}{}", self.name, self.report());
        outcome
    }

    /// Sends it a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let outcome = self.outcome.0.lock().expect("no reader panicked");
        if !outcome.ended {
            let _ = kill_process(self.pid, signal); // It may just have ended.
        }
    }

    fn report(&self) -> String {
        let Outcome { stdout, stderr, code, ended } = self.outcome();
        let mut text = String::from("\n");
        let state = if ended { format!("ended with {code:?}") } else { "is running".to_owned() };
        writeln!(
            text,
            "{} {state} after {:?}; it said\n{stdout}\n{stderr}",
            self.name,
            self.started.elapsed()
        )
        .expect("strings take everything");
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(5), |o| o.ended);
    }
}

/// Collects what a stream says, line by line.
fn listen(
    stream: impl Read + Send + 'static,
    outcome: Arc<(Mutex<Outcome>, Condvar)>,
    field: fn(&mut Outcome) -> &mut String,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
            let mut said = outcome.0.lock().expect("no reader panicked");
            field(&mut said).push_str(&String::from_utf8_lossy(&line));
            line.clear();
            outcome.1.notify_all();
        }
    })
}
