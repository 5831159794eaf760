//! The wire between a sender and a kernel that receives: two virtual Ethernet pairs, and we in between, who see every
//! frame and decide when the peer's arrive. So nothing depends on how fast anybody is.

use std::collections::VecDeque;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, setsockopt,
    socket, sockopt,
};

use crate::link::Sample;
use crate::stand_in::{self, Answer, Offer, StandIn};

/// The sender's address, and the peer's.
pub(crate) const SENDER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// The sender's interface, in its own namespace.
pub(crate) const SENDER_INTERFACE: &str = "ts-sender";

/// The shortest retransmission timeout of both senders, unless a scenario has its own. Longer than any step takes on a busy machine: what a timer sends is then
/// never taken for what a step sent.
pub(crate) const MIN_RTO: Duration = Duration::from_millis(500);

/// What a kernel does by default and we leave out, or do by options that the other side would have to have too.
const SYSCTLS: [(&str, &str); 13] = [
    ("tcp_congestion_control", "reno"),
    ("tcp_timestamps", "0"),
    ("tcp_sack", "0"),
    ("tcp_ecn", "0"),
    ("tcp_fastopen", "0"),
    ("tcp_autocorking", "0"),
    ("tcp_slow_start_after_idle", "0"),
    ("tcp_no_metrics_save", "1"),
    // Every segment that is out of place is answered at once.
    ("tcp_invalid_ratelimit", "0"),
    // A write is taken whole.
    ("tcp_wmem", "4096 1048576 4194304"),
    // No window that grows while it is used.
    ("tcp_moderate_rcvbuf", "0"),
    ("tcp_rmem", "4096 131072 6291456"),
    // Segments of paths that carry nothing longer: with headers 1200 bytes, as RFC 8899 has it (BASE_PLPMTU).
    ("tcp_base_mss", "1160"),
];

/// A segment of the sender, relative to the initial sequence numbers, as packetdrill writes it.
pub(crate) type Line = String;

#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
    /// Our ends of the pairs.
    ends: [LinkAddr; 2],
    sender: File,
    peer: File,
    /// The sender's port, once its SYN was seen.
    port: Option<u16>,
    iss: Option<u32>,
    irs: Option<u32>,
    /// The sender's highest sequence number so far, and one more.
    next: Option<u32>,
    /// What the peer sent and the sender did not get yet.
    held: VecDeque<Vec<u8>>,
    holding: bool,
    muted: bool,
    /// In the peer's place.
    stand_in: Option<StandIn>,
    /// What the sender sent since it was taken last, and when the last of it came.
    sent: Vec<Line>,
    sent_at: Option<Instant>,
    pub(crate) counts: Counts,
}

/// Frames that passed.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Counts {
    /// Of every kind.
    pub(crate) from_sender: u64,
    pub(crate) to_sender: u64,
    /// Of this connection.
    pub(crate) segments_from_sender: u64,
    pub(crate) segments_to_sender: u64,
    pub(crate) segments_from_peer: u64,
    pub(crate) segments_to_peer: u64,
}

const SENDER_SIDE: usize = 0;
const PEER_SIDE: usize = 1;

impl Wire {
    /// Makes the wire inside the calling thread's namespace, its ends named with `tag`. `kernel`: the sender is a kernel.
    pub(crate) fn new(tag: &str, kernel: bool) -> Wire {
        let [sender, peer] = [namespace(), namespace()];
        for (side, namespace, name) in [("s", &sender, SENDER_INTERFACE), ("p", &peer, "ts-peer")] {
            let end = format!("ts-{tag}{side}");
            let there = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
            run(&format!("ip link add {end} type veth peer name {name} netns {there}"));
            run(&format!("ip link set {end} up"));
        }
        inside(&sender, || prepare(SENDER_INTERFACE, kernel.then_some(SENDER), MIN_RTO));
        inside(&peer, || prepare("ts-peer", Some(PEER), MIN_RTO));
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
            .expect("a packet socket");
        // However long we have no turn, no frame is lost; as an ordinary user, for as long as users may.
        let room = 16 << 20;
        setsockopt(&socket, sockopt::RcvBufForce, &room)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &room))
            .expect("SO_RCVBUF");
        let ends = ["s", "p"].map(|side| link(&format!("ts-{tag}{side}")));
        Wire {
            socket,
            ends,
            sender,
            peer,
            port: None,
            iss: None,
            irs: None,
            next: None,
            held: VecDeque::new(),
            holding: false,
            muted: false,
            stand_in: None,
            sent: Vec::new(),
            sent_at: None,
            counts: Counts::default(),
        }
    }

    /// Takes the calling thread to where the sender lives.
    pub(crate) fn enter(&self) {
        setns(&self.sender, CloneFlags::CLONE_NEWNET).expect("the namespace is ours");
    }

    /// A listener of the peer; `buffer` is the receive buffer its connections have.
    pub(crate) fn listen(&self, buffer: Option<usize>) -> TcpListener {
        inside(&self.peer, || crate::linux::listen(SocketAddrV4::new(PEER, 0), buffer))
    }

    /// A new connection: everything passes until it is open. `offer`: with a peer that is a script.
    pub(crate) fn begin(&mut self, offer: Option<Offer>) {
        let Counts { from_sender, to_sender, .. } = self.counts;
        self.counts = Counts { from_sender, to_sender, ..Counts::default() };
        (self.port, self.iss, self.irs, self.next) = (None, None, offer.map(|_| stand_in::ISS), None);
        self.stand_in = offer.map(StandIn::new);
        (self.holding, self.muted) = (false, false);
        self.held.clear();
        self.sent.clear();
    }

    /// It is open: from now on the peer's segments wait for [`deliver`](Wire::deliver).
    pub(crate) fn opened(&mut self) {
        self.holding = true;
        self.sent.clear();
    }

    /// The peer is gone: nothing of it arrives any more.
    pub(crate) fn mute(&mut self) {
        self.muted = true;
        self.held.clear();
    }

    pub(crate) fn take_sent(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// The next segment of the peer that is to arrive, if one is held: pure ACKs that a later one repeats are left out,
    /// since how many a kernel sends depends on its mood.
    pub(crate) fn deliver(&mut self) -> bool {
        while let Some(frame) = self.held.pop_front() {
            let needless = matches!(segment(&frame), Some(s) if s.occupies == 0) && !self.held.is_empty();
            if !needless {
                self.pass_to_sender(&frame, true);
                return true;
            }
        }
        false
    }

    /// The scripted peer knows that the connection is open; anybody else finds out by itself.
    pub(crate) fn stand_in_is_open(&self) -> bool {
        self.stand_in.as_ref().is_none_or(StandIn::is_open)
    }

    /// The scripted peer sends this.
    pub(crate) fn answer(&mut self, answer: Answer) {
        let frame = self.stand_in.as_ref().expect("a script").answer(answer);
        self.pass_to_sender(&frame, true);
    }

    /// A router says that the newest segment was too long for the next link.
    pub(crate) fn too_long(&mut self, mtu: u16) {
        let frame = self.stand_in.as_ref().expect("a script").too_long(mtu);
        self.pass_to_sender(&frame, false);
    }

    /// Says this in place of what the sender sent.
    pub(crate) fn say(&mut self, lines: Vec<Line>) {
        self.sent = lines;
    }

    /// Says something of the sender's last segment.
    pub(crate) fn remark(&mut self, remark: &str) {
        if let Some(line) = self.sent.last_mut() {
            line.push_str(remark);
        }
    }

    /// What came through the scripted peer's link.
    pub(crate) fn flow(&self) -> &[Sample] {
        self.stand_in.as_ref().map_or(&[], StandIn::flow)
    }

    /// When the sender's last segment came.
    pub(crate) fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }

    /// Waits a little for a frame.
    pub(crate) fn wait(&self) {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(1u8)).expect("a socket can be polled");
    }

    /// Moves what is there; false when nothing was.
    pub(crate) fn pump(&mut self) -> bool {
        let mut buffer = [0; 2048];
        let mut moved = false;
        while let Some(frame) = self.stand_in.as_mut().and_then(StandIn::due) {
            self.pass_to_sender(&frame, true);
        }
        loop {
            let (len, from) = match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((len, Some(from))) => (len, from),
                Ok((_, None)) | Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return moved,
                Err(e) => panic!("the wire is cut: {e}"),
            };
            let outgoing = i32::from(from.pkttype()) == i32::from(libc::PACKET_OUTGOING);
            let side = self.ends.iter().position(|end| end.ifindex() == from.ifindex());
            match side.filter(|_| !outgoing) {
                Some(SENDER_SIDE) => self.on_sender_frame(&buffer[..len]),
                Some(_) => self.on_peer_frame(&buffer[..len]),
                None => continue,
            }
            moved = true;
        }
    }

    fn on_sender_frame(&mut self, frame: &[u8]) {
        self.counts.from_sender += 1;
        if let Some(segment) = segment(frame) {
            if segment.flags == "S" {
                self.port.get_or_insert(segment.from);
            }
            if self.port != Some(segment.from) {
                // Of a connection that is over.
                return;
            }
            let iss = *self.iss.get_or_insert(segment.seq);
            self.counts.segments_from_sender += 1;
            self.counts.segments_to_peer += 1;
            // A bare ACK at SND.NXT says only that the peer's bytes have arrived; when it does is the receiver's affair.
            let next = segment.seq.wrapping_add(segment.occupies);
            let bare = segment.flags == "." && segment.occupies == 0 && Some(segment.seq) == self.next;
            if !bare {
                self.sent.push(segment.line(iss, self.irs.unwrap_or(segment.ack)));
                self.sent_at = Some(Instant::now());
            }
            if self.next.is_none_or(|highest| next.wrapping_sub(highest) as i32 > 0) {
                self.next = Some(next);
            }
            if let Some(stand_in) = &mut self.stand_in {
                return stand_in.on_frame(frame);
            }
        }
        self.send(PEER_SIDE, frame);
    }

    fn on_peer_frame(&mut self, frame: &[u8]) {
        let Some(segment) = segment(frame) else { return self.pass_to_sender(frame, false) };
        if self.port != Some(segment.to) {
            return;
        }
        self.irs.get_or_insert(segment.seq);
        self.counts.segments_from_peer += 1;
        if self.holding && !self.muted {
            self.held.push_back(frame.to_vec());
        } else if !self.muted {
            self.pass_to_sender(frame, true);
        }
    }

    fn pass_to_sender(&mut self, frame: &[u8], segment: bool) {
        self.counts.to_sender += 1;
        self.counts.segments_to_sender += u64::from(segment);
        self.send(SENDER_SIDE, frame);
    }

    fn send(&self, side: usize, frame: &[u8]) {
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.ends[side], MsgFlags::empty());
        assert_eq!(sent, Ok(frame.len()), "a frame is sent whole");
    }
}

/// What a frame with a TCP segment says.
struct Segment {
    from: u16,
    to: u16,
    seq: u32,
    ack: u32,
    flags: String,
    len: u32,
    /// Sequence numbers that it takes.
    occupies: u32,
}

impl Segment {
    fn line(&self, iss: u32, irs: u32) -> Line {
        let first = self.seq.wrapping_sub(iss);
        let mut line = format!("{} {first}:{}({})", self.flags, first.wrapping_add(self.len), self.len);
        if self.flags.contains('.') {
            line += &format!(" ack {}", self.ack.wrapping_sub(irs));
        }
        line
    }
}

fn segment(frame: &[u8]) -> Option<Segment> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
        return None;
    };
    let letters = [
        ('S', tcp.syn()),
        ('F', tcp.fin()),
        ('R', tcp.rst()),
        ('P', tcp.psh()),
        ('U', tcp.urg()),
        ('.', tcp.ack()),
    ];
    let len = tcp.payload().len() as u32;
    Some(Segment {
        from: tcp.source_port(),
        to: tcp.destination_port(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: letters.iter().filter(|(_, set)| *set).map(|(letter, _)| letter).collect(),
        len,
        occupies: len + u32::from(tcp.syn()) + u32::from(tcp.fin()) + u32::from(tcp.rst()),
    })
}

/// A new network namespace, which lives as long as the file is open or something in it is.
fn namespace() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("we are root in here");
        File::open("/proc/thread-self/ns/net").expect("a file stands for it")
    };
    std::thread::scope(|scope| scope.spawn(make).join().expect("it was made"))
}

/// Does something inside a namespace.
fn inside<T: Send>(namespace: &File, what: impl FnOnce() -> T + Send) -> T {
    let there = || {
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("the namespace is ours");
        what()
    };
    std::thread::scope(|scope| scope.spawn(there).join().expect("it went well inside"))
}

/// Gives the calling thread's namespace its settings, and this interface its address, if it gets one.
fn prepare(interface: &str, address: Option<Ipv4Addr>, min_rto: Duration) {
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").expect("IPv6 can be turned off");
    for (name, value) in SYSCTLS {
        set(name, value);
    }
    // Frames as they are on a real wire: whole checksums, one segment each. The last word keeps TCP itself from making
    // longer ones, to be cut above the driver.
    run(&format!("ethtool -K {interface} tx off tso off gso off gro off"));
    run(&format!("ip link set {interface} gso_max_segs 1 up"));
    if let Some(address) = address {
        run(&format!("ip address add {address}/24 dev {interface}"));
        route(interface, address, min_rto);
    }
}

/// The way of the calling thread's namespace to the other, with the shortest retransmission timeout of who uses it. What
/// was learned of the path before is forgotten.
pub(crate) fn route(interface: &str, address: Ipv4Addr, min_rto: Duration) {
    let rto = min_rto.as_millis();
    run(&format!("ip route replace 10.78.0.0/24 dev {interface} src {address} rto_min {rto}ms quickack 1"));
    run("ip route flush cache");
}

/// A setting of the calling thread's namespace.
pub(crate) fn set(name: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv4/{name}");
    std::fs::write(&path, value).unwrap_or_else(|e| panic!("{path} cannot be set to {value}: {e}"));
}

fn link(name: &str) -> LinkAddr {
    let all = nix::ifaddrs::getifaddrs().expect("interfaces can be listed");
    let found = all.filter(|i| i.interface_name == name).find_map(|i| i.address?.as_link_addr().copied());
    found.unwrap_or_else(|| panic!("there is no {name}"))
}

fn run(words: &str) {
    let mut parts = words.split_whitespace();
    let program = parts.next().expect("a program");
    let out = Command::new(program).args(parts).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{words}: {}", String::from_utf8_lossy(&out.stderr));
}
