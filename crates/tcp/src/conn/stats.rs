//! What a connection counts.

use core::fmt;

use super::cc::ControllerKind;
use super::recovery::Phase;
use super::{Connection, TimeShares};
use crate::{Nanos, Payload, Rate};

/// What is being done about losses, by the names Linux gives it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum LossState {
    /// Nothing: everything arrives in order.
    #[default]
    Open,
    /// Something was overtaken, and may be lost.
    Disorder,
    /// The window was reduced for a mark of congestion, less than a window of data ago (`S35`).
    Cwr,
    /// Fast recovery.
    Recovery,
    /// A timeout's recovery.
    Loss,
}

impl fmt::Display for LossState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossState::Open => "open",
            LossState::Disorder => "disorder",
            LossState::Cwr => "cwr",
            LossState::Recovery => "recovery",
            LossState::Loss => "loss",
        })
    }
}

/// Counters and gauges of one connection. Counters only grow; segments are those of the wire, bursts what was
/// handed to the device (`S28`).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnStats {
    /// Payload bytes sent for the first time.
    pub bytes_sent: u64,
    /// Payload bytes acknowledged.
    pub bytes_acked: u64,
    /// Payload bytes sent again.
    pub bytes_retransmitted: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Payload bytes of sends by reference that were copied all the same on their way to the port, first time or again
    /// (`S29`): short ones, and what the port does not take where it is.
    pub bytes_copied_after_all: u64,
    /// Bursts sent that carry payload, first time or again.
    pub bursts: u64,
    /// Segments sent, of every kind.
    pub segments_sent: u64,
    /// Segments sent again, SYN and FIN included; by cause below.
    pub segments_retransmitted: u64,
    /// Segments received; one that the device coalesced counts once.
    pub segments_received: u64,
    /// Segments received that lie outside the window or fail another check of RFC 9293 §3.10.7.4.
    pub segments_unacceptable: u64,
    /// Segments received with bytes beyond a gap.
    pub segments_out_of_order: u64,
    /// Segments received whose timestamp is too old (RFC 7323 §5).
    pub paws_rejected: u64,
    /// Duplicate ACKs received, by the definition of RFC 5681 §2, or with SACK those that report something new.
    pub dup_acks: u64,
    /// Recoveries begun by duplicate ACKs, or by what RACK found lost.
    pub fast_recoveries: u64,
    /// Payload bytes that SACK reported beyond a gap (RFC 2018).
    pub bytes_sacked: u64,
    /// ACKs that say the peer got something twice (RFC 2883).
    pub dsacks: u64,
    /// ACKs of something that was overtaken: it was sent once, and arrived after something sent later (RFC 8985 §6.2).
    pub reordered: u64,
    /// Times the peer dropped what it had reported by SACK (RFC 2018 §8).
    pub reneged: u64,
    /// Fast recoveries that proved needless and were taken back (`S40`).
    pub spurious_recoveries: u64,
    /// Timeouts that did.
    pub spurious_timeouts: u64,
    /// Segments sent again because duplicate ACKs, or SACK and time, said that they were lost.
    pub fast_retransmits: u64,
    /// Segments sent again after a timeout.
    pub timeout_retransmits: u64,
    /// Segments sent again as tail loss probes.
    pub probe_retransmits: u64,
    /// Expirations of the retransmission timer, the SYN's included.
    pub timeouts: u64,
    /// Tail loss probes sent (RFC 8985 §7), new data or old, beyond cwnd where it is full.
    pub tail_probes: u64,
    /// Probes of a closed window sent.
    pub window_probes: u64,
    /// Keepalive probes sent (`S47`).
    pub keepalive_probes: u64,
    /// Small sends that waited for the port to let go of an earlier burst.
    pub autocorks: u64,
    /// Segments of limited transmit sent: beyond cwnd by what RFC 3042 allows.
    pub limited_transmits: u64,
    /// First retransmissions of a recovery that left although the pipe was full (RFC 5681 §3.2 step 3).
    pub recovery_exceptions: u64,
    /// Segments received whose bytes were marked: somebody on the way is congested (RFC 3168).
    pub ecn_marked_segments: u64,
    /// ACKs received that echo a mark.
    pub ecn_echoes: u64,
    /// Packets of ours that the peer says were marked, with Accurate ECN (RFC 9768).
    pub ecn_marks_reported: u64,
    /// Times the congestion window was reduced for them.
    pub ecn_reductions: u64,
    /// Probes of the path MTU sent (`S42`).
    pub mtu_probes: u64,
    /// Of these, lost.
    pub mtu_probes_lost: u64,
    /// Times that small segments took the place of large ones that never arrived.
    pub black_holes: u64,
    /// Challenge ACKs sent (RFC 5961).
    pub challenge_acks: u64,
    /// ICMP errors believed.
    pub icmp_errors: u64,
    /// Times that sends asked for and that are not told, because too many waited (`S1`).
    pub send_times_lost: u64,
    /// Times that a short segment was held for the rest of a send, or by cork, until the time for that was over (`S17`).
    pub corks_expired: u64,
    /// Sends that asked for times and of which the device, asked for its own too, did not tell.
    pub device_times_missed: u64,
    /// Bursts that waited for an ACK to become longer (`S22`).
    pub deferrals: u64,
    /// Times the congestion window was restarted after idling (`S26`).
    pub idle_restarts: u64,

    /// Smoothed round-trip time, `None` before the first sample.
    pub srtt: Option<Nanos>,
    /// Its mean deviation.
    pub rttvar: Nanos,
    /// Smallest round-trip time seen.
    pub min_rtt: Option<Nanos>,
    /// The retransmission timeout now, backed off as it is.
    pub rto: Nanos,
    /// Who steers the congestion window (`S41`).
    pub controller: ControllerKind,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow start threshold, bytes; `u64::MAX` while unknown.
    pub ssthresh: u64,
    /// The peer's window, bytes, scaled.
    pub send_window: u64,
    /// The window we offer, bytes.
    pub receive_window: u64,
    /// Payload bytes of a full segment, after options.
    pub mss: u32,
    /// Bytes of the largest IP packet that is sent (`S42`).
    pub path_mtu: u32,
    /// The rate data is sent at; `None` when nothing but windows and device bounds it (`S25`).
    pub pacing_rate: Option<Rate>,
    /// The newest delivery rate that shows what the path can do, or a faster one that the application limited; `None`
    /// before the first (`S27`).
    pub delivery_rate: Option<Rate>,
    /// It was the application that limited it.
    pub delivery_rate_app_limited: bool,
    /// Both ends agreed on Explicit Congestion Notification (`S35`).
    pub ecn: bool,
    /// In the form of RFC 9768, which counts.
    pub accurate_ecn: bool,
    /// Bytes in the send queue that were never sent.
    pub unsent: u64,
    /// What is being done about losses.
    pub loss_state: LossState,
    /// Bytes in flight that the peer reported by SACK.
    pub sacked: u64,
    /// Bytes in flight believed lost and not sent again yet.
    pub lost: u64,
    /// Bytes in flight that were sent again.
    pub resent: u64,
    /// How far, in bytes, something was overtaken by what was sent later, at most.
    pub reordering: u64,
    /// How long bytes may stay unacknowledged: what was asked for, or adopted from the peer (RFC 5482).
    pub user_timeout: Nanos,
    /// How long the peer says that it lets its bytes stay unacknowledged; `None` while it has not said so.
    pub peer_user_timeout: Option<Nanos>,
    /// Where the time went, until this connection was told the time last.
    pub time: TimeShares,
    /// What the send queue may hold now, bytes of memory: fixed, or tuned by itself (`S4`).
    pub send_buffer: u64,
}

impl ConnStats {
    /// What is kept here: the counters and the largest reordering. Gauges are asked of the parts of a connection.
    pub(super) fn each(&mut self) -> [&mut u64; 45] {
        // All of them by name: a counter that is added and forgotten here does not compile.
        macro_rules! kept {
            ($($kept:ident),* $(,)? ; asked: $($asked:ident),* $(,)?) => {{
                let ConnStats { $($kept,)* $($asked: _),* } = self;
                [$($kept),*]
            }};
        }
        kept! {
            bytes_sent,
            bytes_acked,
            bytes_retransmitted,
            bytes_received,
            bytes_copied_after_all,
            bursts,
            segments_sent,
            segments_retransmitted,
            segments_received,
            segments_unacceptable,
            segments_out_of_order,
            paws_rejected,
            dup_acks,
            fast_recoveries,
            bytes_sacked,
            dsacks,
            reordered,
            reneged,
            spurious_recoveries,
            spurious_timeouts,
            fast_retransmits,
            timeout_retransmits,
            probe_retransmits,
            timeouts,
            tail_probes,
            window_probes,
            keepalive_probes,
            autocorks,
            limited_transmits,
            recovery_exceptions,
            ecn_marked_segments,
            ecn_echoes,
            ecn_marks_reported,
            ecn_reductions,
            mtu_probes,
            mtu_probes_lost,
            black_holes,
            challenge_acks,
            icmp_errors,
            send_times_lost,
            corks_expired,
            device_times_missed,
            deferrals,
            idle_restarts,
            reordering,
            ;
            asked:
            srtt,
            rttvar,
            min_rtt,
            rto,
            controller,
            cwnd,
            ssthresh,
            send_window,
            receive_window,
            mss,
            path_mtu,
            pacing_rate,
            delivery_rate,
            delivery_rate_app_limited,
            ecn,
            accurate_ecn,
            unsent,
            loss_state,
            sacked,
            lost,
            resent,
            user_timeout,
            peer_user_timeout,
            time,
            send_buffer,
        }
    }
}

impl<P: Payload> Connection<P> {
    /// Counters and gauges.
    pub fn stats(&self) -> ConnStats {
        ConnStats {
            srtt: self.rtt.srtt(),
            rttvar: self.rtt.rttvar(),
            min_rtt: self.rtt.min(),
            rto: self.rtt.rto(),
            controller: self.cfg.controller,
            cwnd: self.cwnd(),
            ssthresh: self.cc.ssthresh(),
            send_window: self.window.wnd(),
            receive_window: self.rcv_wnd(),
            mss: self.mss(),
            path_mtu: self.path.mtu.into(),
            send_times_lost: self.send_times.lost(),
            device_times_missed: self.send_times.untimed(),
            pacing_rate: self.pacing_rate(),
            delivery_rate: self.delivery.best().map(|sample| sample.rate()),
            delivery_rate_app_limited: self.delivery.best().is_some_and(|sample| sample.app_limited),
            ecn: self.ecn.is_agreed(),
            accurate_ecn: self.ecn.is_accurate(),
            unsent: self.queue.end().since(self.queue.nxt()),
            loss_state: self.loss_state(),
            sacked: self.flight.sacked(),
            lost: self.flight.lost(),
            resent: self.flight.resent(),
            user_timeout: self.cfg.user_timeout,
            peer_user_timeout: self.announced.peers(),
            time: self.time_shares_so_far(),
            send_buffer: self.send_buffer.limit(),
            ..self.counts
        }
    }

    /// Payload that sends refer to was copied on its way to the port all the same (`S29`).
    pub fn on_copied_after_all(&mut self, bytes: u64) {
        self.counts.bytes_copied_after_all += bytes;
    }

    fn loss_state(&self) -> LossState {
        match self.recovery.phase() {
            Phase::Fast { .. } => LossState::Recovery,
            Phase::Loss { .. } => LossState::Loss,
            Phase::Open if self.snd_una() < self.ecn.answered() => LossState::Cwr,
            Phase::Open if self.flight.sacked() > 0 || self.recovery.credit() > 0 => LossState::Disorder,
            Phase::Open => LossState::Open,
        }
    }
}
