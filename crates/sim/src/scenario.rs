//! What happens in one run, all of it drawn from a seed.

use engine::nic::NicLimits;
use tcp::conn::cc::ControllerKind;
use tcp::conn::{ConnConfig, EcnMode, Keepalive, Linger, MtuProbing, UserTimeoutOption};
use tcp::{Nanos, Rate, Time};

use crate::app::{End, Plan};
use crate::conditions;
use crate::link::frame::LONGEST_ERROR;
use crate::link::{FallBack, LinkConfig, Loss, QueueConfig, Reorder};
use crate::nic::{Faults, NicConfig, Release};
use crate::peer::PeerConfig;
use crate::rng::Rng;

/// A whole run: two hosts, a path between them, and what the applications do.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it was drawn from; printed with every failure.
    pub seed: u64,
    /// The hosts. The first opens most connections.
    pub hosts: [HostPlan; 2],
    /// The path from each host to the other.
    pub paths: [LinkConfig; 2],
    /// The connections.
    pub conns: Vec<ConnPlan>,
}

/// One host.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Its NIC.
    pub nic: NicConfig,
    /// Bits per second at which the NIC puts frames onto the wire.
    pub nic_rate: u64,
    /// Settings of its connections.
    pub conn: ConnConfig,
    /// Time one turn of its loop takes: it sees nothing of the world in between.
    pub loop_time: Nanos,
    /// Memory that the send queues of all its connections may hold.
    pub queued_bytes: Option<u64>,
    /// Its clock is this far ahead.
    pub clock: Nanos,
    /// How it behaves as a receiver, where that is not how our receiver does.
    pub peer: PeerConfig,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnPlan {
    /// When it is opened.
    pub start: Time,
    /// The host that opens it, 0 or 1.
    pub client: usize,
    /// The server's port.
    pub port: u16,
    /// What the opening side does, and the other.
    pub plans: [Plan; 2],
    /// Settings of the opening side, where they are not those of its host.
    pub settings: Option<ConnConfig>,
}

impl Scenario {
    /// Draws a scenario. Loss stays within 5 %, so that everything arrives in the end; transfers are small, so
    /// that thousands of seeds can be run.
    pub fn from_seed(seed: u64) -> Scenario {
        let mut rng = Rng::new(seed);
        let mtu = rng.pick(&[576, 1280, 1500, 1500, 1500, 4000, 9000]);
        let kind = rng.range(0, 9);
        // A tenth of the runs are on a perfect path: there faults of our own cannot hide behind the path's.
        let mut paths = [path(&mut rng, kind == 0), path(&mut rng, kind == 0)];
        let mut hosts = [host(&mut rng, 0, mtu), host(&mut rng, 1, mtu)];
        let budget = rng.log_range(10_000, 500_000);
        let count = rng.pick(&[1, 1, 1, 2, 3, 5]);
        let conns = (0..count).map(|i| connection(&mut rng, i, budget / u64::from(count), &hosts)).collect();
        if kind != 0 {
            let mut rng = Rng::new(seed ^ 0x636f_6e64_6974_696f);
            paths.iter_mut().for_each(|path| conditions::draw(&mut rng, path));
            hosts.iter_mut().for_each(|host| host.peer = conditions::peer(&mut rng));
            for (path, host) in paths.iter().zip(&mut hosts) {
                // Without either nobody gets through. An ICMP error is read from one buffer.
                let told = path.icmp && host.nic.rx_piece >= LONGEST_ERROR;
                if !told && host.conn.mtu_probing == MtuProbing::Off {
                    host.conn.mtu_probing = MtuProbing::BlackHole;
                }
            }
        }
        Scenario { seed, hosts, paths, conns }
    }
}

impl Scenario {
    /// Whether a side of a connection may see a reset: somebody aborts, or lets go with a linger time that may be too
    /// short for what is left.
    pub fn may_reset(&self, index: usize) -> bool {
        let conn = &self.conns[index];
        conn.plans.iter().zip([conn.client, 1 - conn.client]).any(|(plan, host)| match plan.end {
            End::Abort(_) => true,
            End::Release => self.hosts[host].conn.linger != Linger::Background,
            End::WhenSent | End::AfterPeer => false,
        })
    }
}

impl Scenario {
    /// One connection on a perfect gigabit path with a round trip of 2 ms, whose client sends `bytes` by reference
    /// through a NIC that can do everything and never fails. Tests change what they are about.
    pub fn plain(bytes: u64) -> Scenario {
        let path = LinkConfig { delay: Nanos::from_millis(1), ..LinkConfig::default() };
        let host = |index: u8| HostPlan {
            nic: NicConfig {
                mac: [2, 0, 0, 0, 0, 1 + index],
                limits: NicLimits {
                    mtu: 1_500,
                    header_room: 2_048,
                    tso_max_len: 65_000,
                    tso_max_segments: 64,
                    tso_min_mss: 64,
                    tso_ipv6: false,
                    max_chain: 40,
                    max_chain_per_segment: 8,
                    tx_ip_checksum: true,
                    tx_tcp_checksum: true,
                    tx_ring: 256,
                    tx_batch: 32,
                    link_bps: Some(10_000_000_000),
                },
                release: Release::Prompt,
                reports_completions: true,
                reclaims: true,
                rx_checksum: true,
                rx_ring: 1_024,
                rx_buffers: 100_000,
                rx_piece: 2_048,
                tail_len: 32_768,
                tail_buffers: 1_000_000,
                tx_buffers: 1_000_000,
                faults: Faults::default(),
            },
            nic_rate: 10_000_000_000,
            conn: ConnConfig { time_wait: Nanos::from_secs(1), ..ConnConfig::default() },
            loop_time: Nanos::ZERO,
            queued_bytes: None,
            clock: Nanos::from_secs(1_000),
            peer: PeerConfig::default(),
        };
        let plan = |total| Plan {
            total,
            chunk: (20_000, 20_000),
            zero_copy: 1.0,
            keeps: true,
            more: 0.0,
            timestamp: 0.0,
            changes: 0.0,
            eor: 0.0,
            pause: (0.0, Nanos::ZERO),
            slow_reader: None,
            answers: false,
            end: End::WhenSent,
        };
        let conn = ConnPlan {
            start: Time::ZERO,
            client: 0,
            port: 80,
            plans: [plan(bytes), plan(0)],
            settings: None,
        };
        Scenario { seed: 1, hosts: [host(0), host(1)], paths: [path.clone(), path], conns: vec![conn] }
    }
}

fn path(rng: &mut Rng, perfect: bool) -> LinkConfig {
    let share = |rng: &mut Rng, most: f64| if rng.chance(0.5) { rng.unit() * most } else { 0.0 };
    let clean = LinkConfig {
        rate: rng.log_range(500_000, 10_000_000_000),
        delay: Nanos::from_nanos(rng.log_range(1_000, 100_000_000)),
        queue: QueueConfig::frames(rng.log_range(20, 2_000) as usize),
        ..LinkConfig::default()
    };
    if perfect {
        return clean;
    }
    let outage = rng.chance(0.1).then(|| {
        let from = Time::from_nanos(rng.log_range(1_000_000, 2_000_000_000));
        (from, from + Nanos::from_nanos(rng.log_range(10_000_000, 5_000_000_000)))
    });
    let jitter = Nanos::from_nanos(if rng.chance(0.3) { rng.log_range(1_000, 20_000_000) } else { 0 });
    let loss = Loss::Random { share: share(rng, 0.05), burst: rng.pick(&[1, 1, 1, 3, 8]) };
    let reorder = share(rng, 0.05);
    let fall_back = Nanos::from_nanos(rng.log_range(1_000, 50_000_000));
    LinkConfig {
        jitter,
        loss,
        reorder: Reorder { share: reorder, by: FallBack::Time(fall_back) },
        duplicate: share(rng, 0.05),
        duplicate_within: fall_back,
        corrupt: share(rng, 0.05),
        outage,
        ..clean
    }
}

fn host(rng: &mut Rng, index: u8, mtu: u16) -> HostPlan {
    let nic_rate = rng.pick(&[100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000]);
    let conn = settings(rng, mtu);
    HostPlan {
        nic: nic(rng, index, mtu, nic_rate),
        nic_rate,
        conn,
        loop_time: Nanos::from_nanos(rng.pick(&[0, 0, 0, 500, 20_000, 2_000_000])),
        queued_bytes: rng.chance(0.2).then(|| rng.log_range(10_000, 1_000_000)),
        clock: Nanos::from_nanos(rng.log_range(1, 1 << 50)),
        peer: PeerConfig::default(),
    }
}

/// Settings of a host's connections. Every field is here: one that `ConnConfig` gains does not compile until it is drawn,
/// or stands with the constants and a reason.
fn settings(rng: &mut Rng, mtu: u16) -> ConnConfig {
    ConnConfig {
        mtu: if rng.chance(0.1) { 9000 } else { mtu },
        max_mss: rng.chance(0.2).then(|| rng.range(88, 2_000) as u16),
        send_buffer: rng.chance(0.5).then(|| rng.log_range(4_000, 1_000_000) as usize),
        send_buffer_max: rng.log_range(4_000, 4_000_000) as usize,
        notsent_lowat: rng.chance(0.2).then(|| rng.log_range(1, 200_000) as usize),
        receive_buffer: rng.log_range(4_000, 1_000_000) as usize,
        no_delay: rng.chance(0.5),
        cork: rng.chance(0.1),
        autocork: rng.chance(0.7),
        timestamps: rng.chance(0.7),
        sack: rng.chance(0.7),
        tail_loss_probe: rng.chance(0.8),
        window_scale: rng.chance(0.8),
        // Out of bounds now and then: brought into them.
        initial_rto: Nanos::from_millis(rng.pick(&[10, 200, 1_000, 1_000, 1_000, 100_000])),
        min_rto: Nanos::from_millis(rng.pick(&[0, 10, 50, 200, 1_000])),
        max_rto: Nanos::from_secs(rng.pick(&[1, 5, 60, 120, 120])),
        delayed_ack: Nanos::from_millis(rng.pick(&[0, 1, 40, 200, 400, 1_000])),
        quick_acks: rng.pick(&[0, 1, 16, 16, 16, 1_000]) as u32,
        initial_window: rng.pick(&[1, 2, 4, 10, 10, 10, 40]) as u32,
        pacing: rng.chance(0.3),
        // Not so slow that the longest transfer takes minutes.
        max_pacing_rate: rng.chance(0.3).then(|| Rate::from_bps(rng.log_range(2_000_000, 20_000_000_000))),
        autosize: Nanos::from_nanos(rng.pick(&[0, 100_000, 1_000_000, 1_000_000, 10_000_000, 1_000_000_000])),
        tso_defer: rng.chance(0.7),
        idle_restart: rng.chance(0.7),
        mtu_probing: match rng.range(0, 3) {
            0 => MtuProbing::Off,
            1 => MtuProbing::On,
            _ => MtuProbing::BlackHole,
        },
        ecn: match rng.range(0, 4) {
            0 => EcnMode::Off,
            1 => EcnMode::On,
            2 | 3 => EcnMode::Accurate,
            _ => EcnMode::Passive,
        },
        linger: match rng.chance(0.2) {
            true => Linger::Bounded(Nanos::from_millis(rng.pick(&[0, 1, 50, 1_000, 3_600_000]))),
            false => Linger::Background,
        },
        keepalive: rng.chance(0.3).then(|| Keepalive {
            idle: Nanos::from_millis(rng.log_range(100, 100_000)),
            interval: Nanos::from_millis(rng.log_range(100, 100_000)),
            probes: u32::MAX,
        }),
        user_timeout_option: rng.chance(0.2).then(|| UserTimeoutOption {
            adapt: rng.chance(0.7),
            // Nobody gives up in these runs either.
            shortest: Nanos::from_secs(3_600),
            longest: Nanos::from_secs(rng.pick(&[0, 3_600, 100_000])),
        }),
        // A lost last ACK is repeated from TIME-WAIT, if that lasts longer than the longest retransmission timeout.
        time_wait: Nanos::from_secs(rng.pick(&[300, 600])),
        // Nobody gives up in these runs: whatever is lost is lost by chance and arrives in the end.
        connect_timeout: Nanos::from_secs(3_600),
        user_timeout: Nanos::from_secs(3_600),
        fin_wait_timeout: Nanos::from_secs(3_600),
        controller: rng.pick(&[
            ControllerKind::Cubic,
            ControllerKind::Cubic,
            ControllerKind::NewReno,
            ControllerKind::Bbr,
            ControllerKind::Dctcp,
            ControllerKind::Fixed(Rate::from_bps(50_000_000)),
        ]),
    }
}

fn nic(rng: &mut Rng, index: u8, mtu: u16, rate: u64) -> NicConfig {
    let tso = rng.chance(0.75);
    let max_chain = rng.pick(&[1, 2, 3, 8, 17, 40, 255]);
    let tail_len = rng.log_range(100, 65_536) as usize;
    let linear = max_chain == 1 || tail_len < usize::from(mtu);
    let tx_tcp_checksum = tso || rng.chance(0.5);
    let limits = NicLimits {
        mtu,
        // A whole packet must fit a header buffer or one buffer behind it, or nothing could be linearised.
        header_room: rng.pick(&[256, 2_048, 2_048, 10_000]).max(if linear { mtu + 100 } else { 0 }),
        tso_max_len: if tso { rng.pick(&[4_000, 20_000, 65_000, 65_000, 65_535]) } else { 0 },
        tso_max_segments: rng.pick(&[2, 8, 64, 512]),
        tso_min_mss: rng.pick(&[1, 64, 256, 1_000]),
        tso_ipv6: false,
        max_chain,
        max_chain_per_segment: rng.pick(&[2, 4, 8, 255]).min(max_chain),
        tx_ip_checksum: rng.chance(0.7),
        tx_tcp_checksum,
        tx_ring: rng.pick(&[4, 32, 256, 1_024]) as u16,
        tx_batch: rng.pick(&[1, 8, 32, 64]) as u16,
        link_bps: rng.chance(0.5).then_some(rate),
    };
    let faulty = rng.chance(0.3);
    let fault = |rng: &mut Rng, most: f64| if faulty && rng.chance(0.5) { rng.unit() * most } else { 0.0 };
    let release = match rng.range(0, 4) {
        0 => Release::Batches(rng.range(2, 32) as usize),
        1 => Release::After(Nanos::from_nanos(rng.log_range(1_000, 2_000_000_000))),
        2 => Release::WhenFull,
        _ => Release::Prompt,
    };
    // A device may keep finished frames until others push them out: with fewer buffers than that nobody could go on.
    let keeps = matches!(release, Release::Batches(_) | Release::WhenFull);
    NicConfig {
        mac: [2, 0, 0, 0, 0, 1 + index],
        release,
        reports_completions: rng.chance(0.5),
        reclaims: rng.chance(0.5),
        rx_checksum: rng.chance(0.5),
        rx_ring: rng.pick(&[16, 256, 1_024]),
        rx_buffers: 100_000,
        rx_piece: rng.pick(&[140, 700, 2_048, 2_048, 10_000]).max(usize::from(mtu) / 16),
        tail_len,
        // A few segments' worth at least: with less runs take for ever.
        tail_buffers: if keeps {
            1_000_000
        } else {
            rng.pick(&[4, 16, 100, 1_000_000]).max(20_000 / tail_len)
        },
        tx_buffers: 1_000_000,
        faults: Faults {
            ring_full: fault(rng, 0.3),
            torn: fault(rng, 0.1),
            reject: fault(rng, 0.05),
            no_header: fault(rng, 0.2),
            no_buffers: fault(rng, 0.1),
            too_many_references: fault(rng, 0.05),
            no_tail: fault(rng, 0.3),
        },
        limits,
    }
}

fn connection(rng: &mut Rng, index: u32, budget: u64, hosts: &[HostPlan; 2]) -> ConnPlan {
    let client = usize::from(rng.chance(0.2));
    let most = |host: usize| hosts[host].conn.send_buffer.unwrap_or(hosts[host].conn.send_buffer_max);
    let mut plans = [plan(rng, budget, most(client)), plan(rng, 0, most(1 - client))];
    match rng.range(0, 9) {
        // The server talks too, or instead.
        0..=1 => plans[1].total = rng.range(1, budget),
        2 => plans.swap(0, 1),
        3 => {
            plans[1].answers = true;
            plans[1].end = End::AfterPeer;
            plans[0].end = End::WhenSent;
        }
        4 if rng.chance(0.5) => {
            let side = rng.range(0, 1) as usize;
            plans[side].end = End::Abort(rng.range(0, budget));
        }
        5 => {
            plans[0].end = End::Release;
            plans[1].end = rng.pick(&[End::WhenSent, End::AfterPeer]);
        }
        _ => {}
    }
    // Somebody has to finish first.
    if plans.iter().all(|p| p.end == End::AfterPeer) {
        plans[0].end = End::WhenSent;
    }
    // No more than some thousand writes each.
    let totals = [plans[0].total, plans[1].total];
    for (i, plan) in plans.iter_mut().enumerate() {
        let total = if plan.answers { totals[1 - i] } else { totals[i] };
        let least = (total / 5_000) as usize;
        plan.chunk = (plan.chunk.0.max(least), plan.chunk.1.max(least));
    }
    let start = if index == 0 { Time::ZERO } else { Time::from_nanos(rng.log_range(1, 1_000_000_000)) };
    ConnPlan { start, client, port: 80 + index as u16, plans, settings: None }
}

fn plan(rng: &mut Rng, total: u64, send_buffer: usize) -> Plan {
    let largest = (rng.log_range(1, 100_000) as usize).max(total as usize / 2_000).min(send_buffer);
    Plan {
        total,
        chunk: (rng.range(1, largest as u64) as usize, largest),
        zero_copy: rng.pick(&[0.0, 0.0, 0.5, 1.0]),
        keeps: rng.chance(0.5),
        more: rng.pick(&[0.0, 0.0, 0.5]),
        timestamp: rng.pick(&[0.0, 0.0, 0.3]),
        changes: rng.pick(&[0.0, 0.0, 0.02, 0.2]),
        eor: rng.pick(&[0.0, 0.0, 0.3]),
        pause: match rng.chance(0.3) {
            true => (rng.unit() * 0.1, Nanos::from_nanos(rng.log_range(1_000, 1_000_000_000))),
            false => (0.0, Nanos::from_nanos(1)),
        },
        slow_reader: rng
            .chance(0.2)
            .then(|| (rng.range(1, 20) as usize, Nanos::from_nanos(rng.log_range(10_000, 100_000_000)))),
        answers: false,
        end: rng.pick(&[End::WhenSent, End::WhenSent, End::AfterPeer]),
    }
}
