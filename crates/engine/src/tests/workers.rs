//! Several engines that share a port (P8): each a queue of a device that spreads what arrives by its RSS hash.

use dpdk::RssInfo;
use tcp::FourTuple;

use super::*;
use crate::arp::{Arp, Op};
use crate::fake::limits;
use crate::nic::rss::Steering;
use crate::nic::{Nic, RxPiece, Seat, Shared};

const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Workers, the device they share, and a peer with an engine of its own.
struct Crew {
    workers: Vec<Engine<Shared<FakeNic>>>,
    peer: Engine<FakeNic>,
    /// How the device spreads connections, whatever the workers believe.
    device: Steering,
    now: Time,
    got: Vec<Vec<(ConnId, Vec<u8>)>>,
    events: Vec<Vec<(ConnId, EngineEvent)>>,
    peer_got: Vec<(ConnId, Vec<u8>)>,
    resets: u32,
}

fn rss(key: u8) -> RssInfo {
    let key = (0..40_u8).map(|i| i.wrapping_mul(key) ^ 0x6d).collect();
    RssInfo { key, table: (0..128).map(|entry| entry % 2).collect(), ipv4_tcp: true, ipv6_tcp: false }
}

impl Crew {
    /// Two workers on two queues; they believe `told`, and the device goes by `real`.
    fn new(told: &RssInfo, real: &RssInfo) -> Crew {
        let seats = Seat::for_all(Steering::new(Some(told), 2, 2));
        let worker = |seat| Engine::new(Shared::new(FakeNic::new(limits(), 1), seat), config(A)).unwrap();
        Crew {
            workers: seats.into_iter().map(worker).collect(),
            peer: Engine::new(FakeNic::new(limits(), 2), config(B)).unwrap(),
            device: Steering::new(Some(real), 2, 2),
            now: Time::from_nanos(1_000_000_000),
            got: vec![Vec::new(); 2],
            events: vec![Vec::new(); 2],
            peer_got: Vec::new(),
            resets: 0,
        }
    }

    /// One frame from the wire to the queue that the device chooses.
    fn arrive(&mut self, frame: &[u8]) {
        let queue = match tuple(frame) {
            Some(FourTuple { local, remote }) => {
                self.device.queue(&FourTuple { local: remote, remote: local })
            }
            None => 0,
        };
        self.workers[usize::from(queue)].nic_mut().inner_mut().inject(frame);
    }

    fn step(&mut self) {
        for sent in self.peer.nic_mut().take_sent() {
            self.arrive(&with_checksums(sent).bytes);
        }
        for (n, worker) in self.workers.iter_mut().enumerate() {
            worker.poll(self.now);
            while let Some((id, event)) = worker.poll_event() {
                self.events[n].push((id, event));
                while let Some(buf) = worker.read(id) {
                    received(&mut self.got[n], id).extend_from_slice(buf.as_slice());
                }
            }
            for sent in worker.nic_mut().inner_mut().take_sent() {
                self.resets += u32::from(tcp_of(&sent).is_some_and(|tcp| tcp.rst));
                deliver_to(&mut self.peer, &sent);
            }
        }
        self.peer.poll(self.now);
        while let Some((id, _)) = self.peer.poll_event() {
            while let Some(buf) = self.peer.read(id) {
                received(&mut self.peer_got, id).extend_from_slice(buf.as_slice());
            }
        }
        self.now += Nanos::from_micros(20);
    }

    #[track_caller]
    fn run(&mut self, mut done: impl FnMut(&mut Crew) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("not done at {:?}", self.now);
    }

    fn misdirected(&self) -> Vec<u64> {
        self.workers.iter().map(|worker| worker.nic().counters().rx_misdirected).collect()
    }

    /// Opens connections from both workers by turns, and sends data over each, both ways.
    #[track_caller]
    fn exchange(&mut self, connections: usize) {
        self.peer.listen(SocketAddr::from((B, PORT)), 128, cfg()).unwrap();
        let ids: Vec<_> = (0..connections)
            .map(|n| {
                let to = SocketAddr::from((B, PORT));
                (n % 2, self.workers[n % 2].connect(self.now, to, &cfg()).unwrap())
            })
            .collect();
        self.run(|crew| {
            ids.iter().all(|(n, id)| crew.events[*n].contains(&(*id, EngineEvent::Conn(Event::Connected))))
        });
        for (at, (n, id)) in ids.iter().enumerate() {
            let data = pattern(at as u64, 20_000);
            assert_eq!(self.workers[*n].send_copy(*id, &data, SendFlags::default()), Ok(data.len()));
        }
        self.run(|crew| {
            crew.peer_got.iter().map(|(_, got)| got.len()).sum::<usize>() == connections * 20_000
        });
        let mut sent: Vec<_> = (0..connections).map(|at| pattern(at as u64, 20_000)).collect();
        let mut got: Vec<_> = self.peer_got.iter().map(|(_, got)| got.clone()).collect();
        sent.sort();
        got.sort();
        assert!(sent == got, "every byte, in order, once");
    }
}

fn received(got: &mut Vec<(ConnId, Vec<u8>)>, id: ConnId) -> &mut Vec<u8> {
    let at = got.iter().position(|(i, _)| *i == id).unwrap_or_else(|| {
        got.push((id, Vec::new()));
        got.len() - 1
    });
    &mut got[at].1
}

fn deliver_to(to: &mut Engine<FakeNic>, sent: &Sent) {
    let verdict = |by_device| if by_device { RxChecksum::Good } else { RxChecksum::Unknown };
    let (ip, l4) = (verdict(sent.meta.ip_checksum), verdict(sent.meta.tcp_checksum));
    to.nic_mut().inject_as(&[&sent.bytes], ip, l4);
}

/// Fills in what the sender's device would have.
fn with_checksums(mut sent: Sent) -> Sent {
    if let Some(tcp) = tcp_of(&sent) {
        let ip = etherparse::Ipv4HeaderSlice::from_slice(&sent.bytes[14..]).unwrap();
        let sum = tcp.calc_checksum_ipv4(&ip.to_header(), &payload_of(&sent)).unwrap();
        let ip_sum = ip.to_header().calc_header_checksum();
        sent.bytes[50..52].copy_from_slice(&sum.to_be_bytes());
        sent.bytes[24..26].copy_from_slice(&ip_sum.to_be_bytes());
    }
    sent
}

fn tuple(frame: &[u8]) -> Option<FourTuple> {
    let is_tcp = frame[12..14] == [8, 0] && frame[23] == 6;
    let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap();
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    is_tcp
        .then(|| FourTuple { local: (address(26), port(34)).into(), remote: (address(30), port(36)).into() })
}

#[test]
fn p8_with_rss_every_frame_arrives_at_its_worker() {
    let mut crew = Crew::new(&rss(7), &rss(7));
    crew.exchange(16);
    assert_eq!(crew.misdirected(), [0, 0]);
    for worker in &crew.workers {
        assert_eq!(worker.counters().connections_opened, 8);
        assert!(worker.counters().rx_segments >= 16, "it has connections of its own");
        let report = worker.nic().report().unwrap();
        assert!(report.landed >= 32 && report.astray == 0 && !report.is_wrong(), "{report}");
    }
    assert_eq!(crew.resets, 0);
}

#[test]
fn p8_with_a_wrong_key_the_probe_says_so_and_every_byte_arrives_all_the_same() {
    let mut crew = Crew::new(&rss(7), &rss(11));
    crew.exchange(16);
    assert!(crew.misdirected().iter().all(|count| *count > 4), "{:?}", crew.misdirected());
    let report = crew.workers[0].nic().report().unwrap();
    assert!(report.is_wrong() && report.landed > 0, "{report:?}");
    let said = report.to_string();
    assert!(said.contains("does not spread connections by the hash key"), "{said}");
    assert_eq!(crew.resets, 0, "nobody answers for another worker");
    let over: u64 = crew.workers.iter().map(|w| w.nic().counters().rx_taken_over).sum();
    assert!(over >= crew.misdirected().iter().sum(), "nothing was lost on the way");
}

#[test]
fn p8_peers_are_accepted_by_the_worker_whose_queue_they_arrive_at() {
    let mut crew = Crew::new(&rss(7), &rss(7));
    for worker in &mut crew.workers {
        worker.listen(SocketAddr::from((A, PORT)), 128, cfg()).unwrap();
    }
    let now = crew.now;
    let to = SocketAddr::from((A, PORT));
    let ids: Vec<_> = (0..32).map(|_| crew.peer.connect(now, to, &cfg()).unwrap()).collect();
    let mut sends: Vec<_> = ids.into_iter().enumerate().collect();
    crew.run(|crew| {
        // Each as soon as it is connected.
        sends.retain(|(at, id)| {
            crew.peer.send_copy(*id, &pattern(*at as u64, 3000), SendFlags::default()).is_err()
        });
        sends.is_empty()
    });
    crew.run(|crew| crew.got.iter().flatten().map(|(_, got)| got.len()).sum::<usize>() == 32 * 3000);
    let accepted: Vec<_> = crew.workers.iter().map(|w| w.counters().connections_accepted).collect();
    assert_eq!(accepted.iter().sum::<u64>(), 32);
    assert!(accepted.iter().all(|count| *count > 5), "{accepted:?}");
    assert_eq!((crew.misdirected(), crew.resets), (vec![0, 0], 0));
}

#[test]
fn p8_a_segment_for_nobody_draws_one_reset_wherever_it_arrives() {
    for key in [7, 11] {
        let mut crew = Crew::new(&rss(7), &rss(key));
        crew.exchange(2);
        let now = crew.now;
        // What the peer has and we do not: one of our ports that nobody uses.
        let id = crew.peer.connect(now, SocketAddr::from((A, 9)), &cfg()).unwrap();
        crew.run(|crew| crew.resets > 0);
        for _ in 0..100 {
            crew.step();
        }
        assert_eq!(crew.resets, 1);
        assert!(crew.peer.state(id).is_none_or(|state| state == tcp::conn::State::Closed));
    }
}

#[test]
fn p8_arp_is_known_to_all_and_answered_by_one() {
    let mut crew = Crew::new(&rss(7), &rss(7));
    let ask = Arp { op: Op::Request, sender_mac: MAC_B, sender_ip: B, target_mac: [0; 6], target_ip: A };
    let mut frame = [[0xff; 6], MAC_B].concat();
    frame.extend([8, 6]);
    frame.extend(ask.to_bytes());
    crew.arrive(&frame);
    for worker in &mut crew.workers {
        worker.poll(crew.now);
    }
    let answers: Vec<_> =
        crew.workers.iter_mut().map(|w| w.nic_mut().inner_mut().take_sent().len()).collect();
    assert_eq!(answers, [1, 0]);
    // Each knows where the peer is, and need not ask.
    for worker in &mut crew.workers {
        assert_eq!(worker.counters().rx_arp, 1);
        worker.connect(crew.now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
        worker.poll(crew.now);
        let sent = worker.nic_mut().inner_mut().take_sent();
        assert!(sent.len() == 1 && tcp_of(&sent[0]).unwrap().syn, "a SYN, not a question");
    }
}

#[test]
fn p8_local_ports_are_those_that_arrive_at_the_worker() {
    let crew = &mut Crew::new(&rss(7), &rss(7));
    let to = SocketAddr::from((B, PORT));
    for (n, worker) in crew.workers.iter_mut().enumerate() {
        for _ in 0..100 {
            let id = worker.connect(crew.now, to, &cfg()).unwrap();
            let tuple = worker.tuple(id).unwrap();
            assert_eq!(usize::from(crew.device.queue(&tuple)), n);
        }
    }
    // A given port may be another's.
    let refused = (1..100).filter(|port| {
        let made = crew.workers[0].connect_from(crew.now, Some(*port), to, &cfg());
        matches!(made, Err(crate::ConnectError::Endpoint(tcp::endpoint::ConnectError::Unusable(_))))
    });
    assert!((20..80).contains(&refused.count()));
}

/// A connection of the worker `owner`.
fn tuple_of(owner: u16, steering: &Steering) -> FourTuple {
    let of = |port| FourTuple { local: (A, port).into(), remote: (B, PORT).into() };
    (1000..).map(of).find(|tuple| steering.owner(tuple) == owner).unwrap()
}

#[test]
fn what_is_handed_over_is_whole_frames_in_order_and_a_full_ring_drops_and_counts() {
    let steering = Steering::new(None, 1, 2);
    let mut seats = Seat::for_all(steering.clone());
    let (second, first) = (seats.pop().unwrap(), seats.pop().unwrap());
    let mut from = Shared::new(FakeNic::new(limits(), 1), first);
    let mut to = Shared::new(FakeNic::new(limits(), 1), second);
    let (tuple, data) = (tuple_of(1, &steering), pattern(9, 3000));
    let pieces: Vec<_> = data.chunks(1000).map(|chunk| from.inner().buf(chunk)).collect();
    let last = pieces.len() - 1;
    let frame: Vec<RxPiece<Buf>> = pieces
        .into_iter()
        .enumerate()
        .map(|(i, buf)| RxPiece {
            buf,
            more: i < last,
            ip_checksum: RxChecksum::Good,
            l4_checksum: RxChecksum::Unknown,
        })
        .collect();
    // The ring has 1024 places: 341 frames of three pieces.
    for _ in 0..400 {
        assert!(from.pass_on(&tuple, &frame));
    }
    let counters = from.counters();
    assert_eq!((counters.rx_misdirected, counters.drop_handover_full), (400, 59));
    let mut frames = 0;
    // Room for three frames and a piece: the fourth waits, whole.
    let mut out = Vec::with_capacity(10);
    while to.rx_burst(&mut out) > 0 {
        assert!(out.len().is_multiple_of(3) && out.len() <= 10, "{}", out.len());
        for frame in out.chunks(3) {
            assert_eq!(frame.iter().map(|piece| piece.more).collect::<Vec<_>>(), [true, true, false]);
            assert!(frame.iter().flat_map(|piece| piece.buf.as_slice()).eq(&data));
            frames += 1;
        }
        out.clear();
    }
    assert_eq!((frames, to.counters().rx_taken_over), (341, 3 * 341));
    // It is the owner's now.
    assert!(to.owns(&tuple) && !to.pass_on(&tuple, &frame) && !from.owns(&tuple));
    drop(frame);
    assert_eq!(from.inner().live.get(), 0, "nothing is left in the ring");
}

#[test]
fn rings_that_hold_more_than_a_burst_are_emptied_whosever_they_are() {
    let steering = Steering::new(None, 2, 3);
    let mut workers: Vec<_> = Seat::for_all(steering.clone())
        .into_iter()
        .map(|seat| Shared::new(FakeNic::new(limits(), 1), seat))
        .collect();
    let tuple = tuple_of(2, &steering);
    let mut to = workers.pop().unwrap();
    for (n, from) in workers.iter_mut().enumerate() {
        let buf = from.inner().buf(&[n as u8]);
        let good = RxChecksum::Good;
        let frame = [RxPiece { buf, more: false, ip_checksum: good, l4_checksum: good }];
        (0..20).for_each(|_| assert!(from.pass_on(&tuple, &frame)));
    }
    // Of whom each burst is, until no more comes.
    let (mut out, mut whose) = (Vec::with_capacity(4), Vec::new());
    while to.rx_burst(&mut out) > 0 {
        whose.extend(out.drain(..).map(|piece| piece.buf.as_slice()[0]));
        assert!(whose.len() <= 40);
    }
    assert_eq!(whose.len(), 40, "{whose:?}");
    assert!(whose[..10].contains(&0) && whose[..10].contains(&1), "by turns: {whose:?}");
}

#[test]
fn what_a_worker_has_lies_in_cache_lines_of_its_own() {
    // Two lines: neighbours are fetched in pairs.
    assert!(align_of::<Seat<Buf>>() >= 128);
    assert!(size_of::<Seat<Buf>>().is_multiple_of(128));
}
