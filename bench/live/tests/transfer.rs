//! Bytes through loss: our TCP over a TAP, the simulator's link in real time, and a kernel that receives.

#[path = "../../../crates/dpdk/tests/common/namespace.rs"]
mod namespace;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use tsonami::{Config, ConnStats, LocalEngine, SendFlags, Wait, WaitStrategy};

use self::namespace::enter_namespace;

const RECEIVER: &str = "10.79.0.2:5001";
/// How long anything may take that is not under test itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much to send, bytes: `TSONAMI_TEST_LINK_MIB`, or 4 MiB.
fn volume() -> usize {
    let mib = std::env::var("TSONAMI_TEST_LINK_MIB")
        .map_or(4, |text| text.parse::<usize>().expect("TSONAMI_TEST_LINK_MIB is a number"));
    mib << 20
}

#[test]
fn s36_s43_what_a_link_loses_arrives_all_the_same_and_is_counted() {
    enter_namespace("s36_s43_what_a_link_loses_arrives_all_the_same_and_is_counted");
    set("ipv6/conf/all/disable_ipv6", "1");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = folder.path().join("wire.pcap");
    let capture = capture.to_str().expect("the temporary folder has a plain name");
    // All programs before DPDK starts: one that is started meanwhile fails at times.
    run("ip tuntap add dev ts0 mode tap multi_queue");
    run("ip link set ts0 up");
    let receiver = Receiver::new();
    let mut link = Link::start(capture);

    let mut config = Config::new("tap:ts0", "10.79.0.3/24".parse().expect("an address"));
    config.wait = WaitStrategy::Park;
    config.check_tx = true;
    // Several timeouts in a row are part of it.
    config.connection.user_timeout = PATIENCE;
    let mut engine = LocalEngine::builder(config).build_local().expect("DPDK starts");
    let (sent, stats) = transfer(&mut engine, volume());
    engine.shutdown(PATIENCE).expect("it ends in order");

    let (bytes, received) = receiver.end();
    assert_eq!(bytes, volume());
    assert!(received == sent, "what arrived is not what was sent");
    let report = link.end();
    assert_eq!(report["sender_side"]["unread"], 0, "the link read every frame");
    let lost = report["to_receiver"]["lost"].as_u64().expect("a count");
    assert!(lost > 0, "the link lost something: {report}");

    // Three who counted: our TCP, the link, and tshark over what the link recorded.
    let flow = &report["flows"][0];
    assert_eq!(flow["retransmitted_bytes"], stats.bytes_retransmitted, "{flow} {stats:?}");
    assert_eq!(captured(capture), (volume() as u64 + stats.bytes_retransmitted, stats.bytes_retransmitted));
}

/// Sends so many bytes over one connection; returns their hash and what it counted.
fn transfer(engine: &mut LocalEngine, bytes: usize) -> (Vec<u8>, ConnStats) {
    let patient = Wait::at_most(PATIENCE);
    let peer: SocketAddr = RECEIVER.parse().expect("an address");
    let id = engine.connect_wait(peer, None, &patient).expect("the kernel listens");
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    for n in 0..bytes / block.len() {
        for (at, byte) in block.iter_mut().enumerate() {
            *byte = ((n * 65_537 + at) as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        }
        hash.update(&block);
        let mut left = &block[..];
        while !left.is_empty() {
            let taken = engine.send_wait(id, left, SendFlags::default(), &patient).expect("it goes on");
            left = &left[taken..];
        }
    }
    engine.finish_wait(id, &Wait::at_most(PATIENCE)).expect("all is acknowledged");
    let stats = engine.stats(id).expect("the connection is ours");
    engine.release(id);
    (hash.finalize().to_vec(), stats)
}

/// Payload bytes in a capture, and those of them that were sent before, as tshark reads it.
fn captured(capture: &str) -> (u64, u64) {
    let fields = ["-T", "fields", "-E", "separator=,", "-e", "tcp.seq", "-e", "tcp.len"];
    let out = Command::new("tshark")
        .args(["-r", capture, "-n", "-Y", "tcp.dstport == 5001 && tcp.len > 0"])
        .args(["-o", "tcp.desegment_tcp_streams:FALSE"])
        .args(fields)
        .output()
        .expect("tshark runs");
    let text = String::from_utf8(out.stdout).expect("numbers");
    let (mut all, mut again, mut highest) = (0, 0, 1);
    for line in text.lines() {
        let (seq, len) = line.split_once(',').expect("two fields");
        let (seq, len): (u64, u64) = (seq.parse().expect("tcp.seq"), len.parse().expect("tcp.len"));
        all += len;
        again += highest.min(seq + len).saturating_sub(seq);
        highest = highest.max(seq + len);
    }
    (all, again)
}

/// The link, with its losses, between `ts0` and `rcv`.
struct Link(Child);

impl Link {
    fn start(capture: &str) -> Link {
        let options = "--rate 200000000 --rtt-us 20000 --queue 330 --loss 0.01 --seed 1 --pcap";
        let mut link = Command::new(env!("CARGO_BIN_EXE_tsonami-live"))
            .args(["link", "ts0", "rcv"])
            .args(options.split(' '))
            .arg(capture)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the link runs");
        let mut up = [0; 3];
        link.stdout.as_mut().expect("piped").read_exact(&mut up).expect("it says that it is up");
        assert_eq!(&up, b"up\n");
        Link(link)
    }

    /// What it has to report.
    fn end(&mut self) -> serde_json::Value {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).expect("it still runs");
        let out = BufReader::new(self.0.stdout.take().expect("piped"));
        let last = out.lines().last().expect("a report").expect("text");
        serde_json::from_str(&last).expect("JSON")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A receiver in the kernel, in a namespace of its own, at the other end of `rcv`.
struct Receiver(JoinHandle<(usize, Vec<u8>)>);

impl Receiver {
    fn new() -> Receiver {
        let (here, there) = mpsc::channel();
        let outside = std::process::id();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("we are root in here");
            set("ipv6/conf/all/disable_ipv6", "1");
            // The other end goes to where the rest of the process is.
            run(&format!("ip link add eth type veth peer name rcv netns {outside}"));
            run("ethtool -K eth tx off tso off gro off");
            run("ip address add 10.79.0.2/24 dev eth");
            run("ip link set eth up");
            let listener = TcpListener::bind(RECEIVER).expect("the address is there");
            here.send(()).expect("somebody waits");
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
            loop {
                let n = stream.read(&mut buffer).expect("no reset");
                if n == 0 {
                    return (bytes, hash.finalize().to_vec());
                }
                hash.update(&buffer[..n]);
                bytes += n;
            }
        });
        there.recv_timeout(PATIENCE).expect("it listens");
        run("ethtool -K rcv tx off tso off gro off");
        run("ip link set rcv up");
        Receiver(thread)
    }

    /// What it read, and the hash of it.
    fn end(self) -> (usize, Vec<u8>) {
        self.0.join().expect("it read to the end")
    }
}

fn set(name: &str, value: &str) {
    // Of the namespace of the thread that writes.
    std::fs::write(format!("/proc/sys/net/{name}"), value).expect("we are root in here");
}

fn run(words: &str) {
    let mut parts = words.split_whitespace();
    let program = parts.next().expect("a program");
    let out = Command::new(program).args(parts).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
}
