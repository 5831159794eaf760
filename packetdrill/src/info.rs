//! `TCP_INFO`, as far as the protocol knows it.

use tcp::conn::{LossState, State};
use zerocopy::{Immutable, IntoBytes};

use crate::sockets::Socket;
use crate::world::Link;

/// Linux's `struct tcp_info` up to 6.19. Times are microseconds; windows of ours are segments.
#[derive(IntoBytes, Immutable, Default)]
#[repr(C)]
struct TcpInfo {
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    /// Shifts: the peer's in the lower half, ours in the upper one.
    wscales: u8,
    app_limited: u8,
    rto: u32,
    ato: u32,
    snd_mss: u32,
    rcv_mss: u32,
    unacked: u32,
    sacked: u32,
    lost: u32,
    retrans: u32,
    fackets: u32,
    last_data_sent: u32,
    last_ack_sent: u32,
    last_data_recv: u32,
    last_ack_recv: u32,
    pmtu: u32,
    rcv_ssthresh: u32,
    rtt: u32,
    rttvar: u32,
    snd_ssthresh: u32,
    snd_cwnd: u32,
    advmss: u32,
    reordering: u32,
    rcv_rtt: u32,
    rcv_space: u32,
    total_retrans: u32,
    pacing_rate: u64,
    max_pacing_rate: u64,
    bytes_acked: u64,
    bytes_received: u64,
    segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    min_rtt: u32,
    data_segs_in: u32,
    data_segs_out: u32,
    delivery_rate: u64,
    busy_time: u64,
    rwnd_limited: u64,
    sndbuf_limited: u64,
    delivered: u32,
    delivered_ce: u32,
    bytes_sent: u64,
    bytes_retrans: u64,
    dsack_dups: u32,
    reord_seen: u32,
    rcv_ooopack: u32,
    snd_wnd: u32,
    rcv_wnd: u32,
    rehash: u32,
    total_rto: u16,
    total_rto_recoveries: u16,
    total_rto_time: u32,
    received_ce: u32,
    delivered_e1_bytes: u32,
    delivered_e0_bytes: u32,
    delivered_ce_bytes: u32,
    received_e1_bytes: u32,
    received_e0_bytes: u32,
    received_ce_bytes: u32,
    /// Bit fields: mode, options seen, reason of failure, more options.
    accecn: u32,
}

/// What Linux says where a threshold is unknown.
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;

/// RFC 5681's three duplicates, where nothing better is known.
const REORDERING: u32 = 3;

/// Answers `TCP_INFO` of a connection, or of a socket without one.
pub(crate) fn of(socket: &Socket, link: Option<&Link>) -> Vec<u8> {
    let Some(link) = link else {
        let state = if socket.listens().is_some() { State::Listen } else { State::Closed };
        return TcpInfo { state: number(state), ..TcpInfo::default() }.as_bytes().to_vec();
    };
    let stats = link.conn.stats();
    let micros = |n: tcp::Nanos| u32::try_from(n.as_nanos() / 1_000).unwrap_or(u32::MAX);
    let clip = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let mss = u64::from(stats.mss.max(1));
    TcpInfo {
        // What is left in TIME-WAIT is no socket any more.
        state: number(if link.ended { State::Closed } else { link.conn.state() }),
        ca_state: match stats.loss_state {
            LossState::Open => 0,
            LossState::Disorder => 1,
            LossState::Cwr => 2,
            LossState::Recovery => 3,
            LossState::Loss => 4,
        },
        rto: micros(stats.rto),
        snd_mss: stats.mss,
        unacked: clip(link.conn.in_flight().div_ceil(mss)),
        sacked: clip(stats.sacked.div_ceil(mss)),
        // Linux counts what was sent again as lost until it is acknowledged.
        lost: clip((stats.lost + stats.resent).div_ceil(mss)),
        retrans: clip(stats.resent.div_ceil(mss)),
        pmtu: u32::from(socket.cfg.mtu),
        rtt: stats.srtt.map_or(0, micros),
        rttvar: micros(stats.rttvar),
        snd_ssthresh: match stats.ssthresh {
            u64::MAX => INFINITE_SSTHRESH,
            bytes => clip(bytes / mss),
        },
        snd_cwnd: clip(stats.cwnd / mss),
        advmss: advertised_mss(socket),
        reordering: clip(stats.reordering / mss).max(REORDERING),
        total_retrans: clip(stats.segments_retransmitted),
        bytes_acked: stats.bytes_acked,
        bytes_received: stats.bytes_received,
        segs_out: clip(stats.segments_sent),
        segs_in: clip(stats.segments_received),
        notsent_bytes: clip(stats.unsent),
        min_rtt: stats.min_rtt.map_or(u32::MAX, micros),
        bytes_sent: stats.bytes_sent + stats.bytes_retransmitted,
        bytes_retrans: stats.bytes_retransmitted,
        dsack_dups: clip(stats.dsacks),
        reord_seen: clip(stats.reordered),
        total_rto: clip(stats.timeouts).min(u16::MAX.into()) as u16,
        rcv_ooopack: clip(stats.segments_out_of_order),
        snd_wnd: clip(stats.send_window),
        rcv_wnd: clip(stats.receive_window),
        ..TcpInfo::default()
    }
    .as_bytes()
    .to_vec()
}

/// The MSS we announce, as long as options do not shorten it.
pub(crate) fn advertised_mss(socket: &Socket) -> u32 {
    let headers = if socket.is_v6() { 60 } else { 40 };
    let by_mtu = u32::from(socket.cfg.mtu) - headers;
    socket.cfg.max_mss.map_or(by_mtu, |max| by_mtu.min(u32::from(max)))
}

/// Linux's numbers.
fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}
