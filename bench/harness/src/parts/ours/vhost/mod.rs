//! P3: a vhost-user wire between two processes. It carries whole TSO frames, and its receiving end copies each into a buffer of
//! its own: that copy is the wire's limit, and the same for all who send over it.

pub(super) mod blast;
pub(super) mod bulk;
pub(super) mod sink;

use std::io::{Error, Read as _, Result};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dpdk::{DeviceSpec, Eal, EalConfig};
use engine::nic::dpdk::{DpdkConfig, DpdkNic};

use crate::line::Line;
use crate::parts::Setting;

/// How long the other process may take to open its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory of each process, MiB: most of it are the receiver's buffers of 64 KiB.
const MEMORY_MIB: u32 = 512;

/// The receiver's address and port.
const SINK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const PORT: u16 = 5001;

/// A port over such a wire.
fn open(device: DeviceSpec, no_huge: bool) -> Result<(Eal, DpdkNic)> {
    let config = EalConfig {
        no_huge,
        memory_mib: Some(MEMORY_MIB),
        devices: vec![device.clone()],
        ..EalConfig::default()
    };
    let eal = Eal::start(config).map_err(Error::other)?;
    // As many buffers to receive into as `tsonami serve` has.
    let config = DpdkConfig::default();
    let nic = DpdkNic::open(&eal, &device, &config).map_err(Error::other)?;
    Ok((eal, nic))
}

/// The process at the receiving end, a [`sink`], which ends with this one.
struct Receiver {
    child: Child,
    socket: PathBuf,
    /// As it could be typed.
    command: String,
    /// Where the socket is.
    _folder: tempfile::TempDir,
}

impl Receiver {
    /// Starts it on its CPU and waits until it listens.
    fn start(setting: &Setting, tcp: bool, no_huge: bool) -> Result<Receiver> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("wire.sock");
        let (cpu, path) = (setting.receiver_cpu.to_string(), socket.display().to_string());
        let mut words = vec!["part", "--receiver-cpu", &cpu, "vhost-sink", "--socket", &path];
        words.extend(tcp.then_some("--tcp"));
        words.extend(no_huge.then_some("--no-huge"));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe()?)
            .args(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let command = format!("tsonami-bench {}", words.join(" "));
        let mut receiver = Receiver { child, socket, command, _folder: folder };
        let began = Instant::now();
        while !receiver.socket.exists() {
            if let Some(status) = receiver.child.try_wait()? {
                return Err(Error::other(format!("the receiver ended ({status}): {}", receiver.command)));
            }
            if began.elapsed() > PATIENCE {
                return Err(Error::other(format!("no socket within {PATIENCE:?}: {}", receiver.command)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(receiver)
    }

    fn device(&self) -> DeviceSpec {
        DeviceSpec::VirtioUser { socket: self.socket.display().to_string() }
    }

    /// Ends its standard input, and returns what it printed when it had everything.
    fn finish(mut self) -> Result<Line> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut said)?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(Error::other(format!("the receiver failed ({status}): {}", self.command)));
        }
        Line::parse(&said)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
