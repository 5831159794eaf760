//! Everything the loop counts: one plain struct per core, written only by that core.

use tcp::endpoint::{DropReason, EndpointCounters};

/// Declares the counters: each field's text is its documentation and the help that users see.
macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// Counts since the engine started; each only ever grows.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $(#[doc = $help] pub $name: u64,)*
        }

        impl Counters {
            /// Every counter as (name, value, help), in the order of the fields, so that no count is forgotten on
            /// its way to the user.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, &'static str)> + '_ {
                [$((stringify!($name), self.$name, $help),)*].into_iter()
            }
        }
    };
}

counters! {
    iterations_busy: "Iterations of the loop that did work.",
    iterations_idle: "Iterations that found nothing to do.",
    cycles_rx_busy: "Cycles spent receiving and processing segments, in iterations that did work.",
    cycles_app_busy: "Cycles the application spent between iterations in which it used the engine.",
    cycles_timer_busy: "Cycles spent on timers, in iterations that did work.",
    cycles_tx_busy: "Cycles spent building and sending frames, in iterations that did work.",
    cycles_completion_busy: "Cycles spent returning buffers, in iterations that did work.",
    cycles_rx_idle: "Cycles spent polling for frames, in iterations that found nothing.",
    cycles_app_idle: "Cycles between iterations in which the application did not use the engine.",
    cycles_timer_idle: "Cycles spent looking for timers, in iterations that found nothing.",
    cycles_tx_idle: "Cycles spent looking for something to send, in iterations that found nothing.",
    cycles_completion_idle: "Cycles spent looking for buffers to return, in iterations that found nothing.",

    rx_frames: "Frames received.",
    rx_bytes: "Bytes of them, Ethernet headers included.",
    rx_segments: "TCP segments handed to connections and listeners.",
    rx_payload_bytes: "TCP payload bytes of them.",
    rx_acks_outrun: "ACKs received that the next one of the same burst made superfluous: never looked at.",
    rx_arp: "ARP packets received.",
    rx_echo_requests: "ICMP echo requests received.",
    rx_icmp_errors: "ICMP errors received that quote one of our connections.",
    rx_ignored_multicast: "Frames received for a group, or for all stations, of no concern here: noise of every network.",

    drop_runt: "Frames dropped: shorter than an Ethernet header.",
    drop_source_mac: "Frames dropped: the source is no station's Ethernet address, or our own.",
    drop_not_our_mac: "Frames dropped: addressed to another station.",
    drop_ethertype: "Frames dropped: neither IPv4 nor ARP.",
    drop_ipv6: "Frames dropped: IPv6, which is not spoken yet.",
    drop_vlan: "Frames dropped: tagged with a VLAN.",
    drop_arp_malformed: "ARP packets dropped: truncated, or not for IPv4 over Ethernet.",
    drop_ip_malformed: "IPv4 packets dropped: truncated, or a header field makes no sense.",
    drop_ip_checksum: "IPv4 packets dropped: wrong header checksum.",
    drop_ip_fragment: "IPv4 packets dropped: fragments.",
    drop_ip_not_ours: "IPv4 packets dropped: addressed to another host.",
    drop_ip_source: "IPv4 packets dropped: the source is no host's address, or our own.",
    drop_ip_protocol: "IPv4 packets dropped: neither TCP nor ICMP.",
    drop_tcp_malformed: "TCP segments dropped: truncated, or the data offset makes no sense.",
    drop_tcp_checksum: "TCP segments dropped: wrong checksum.",
    drop_tcp_unmatched: "TCP segments dropped: for no connection and no listener, and no reset is due.",
    drop_icmp_malformed: "ICMP messages dropped: truncated.",
    drop_icmp_checksum: "ICMP messages dropped: wrong checksum.",
    drop_icmp_other: "ICMP messages dropped: of a type that concerns nobody here.",
    drop_icmp_unmatched: "ICMP errors dropped: they quote no connection of ours.",
    drop_split_headers: "Frames dropped: the device put their headers into several buffers.",
    drop_no_slot: "Connections refused: every slot is taken.",

    tx_frames: "Frames the port took.",
    tx_bytes: "Bytes of them before segmentation by the device, Ethernet headers included.",
    tx_bursts: "Bursts with payload sent; one burst is one TSO frame, or several frames where the port has no TSO.",
    tx_tso_bursts: "Bursts sent as TSO frames.",
    tx_tso_bytes: "Payload bytes of them.",
    tx_segments: "Wire segments sent, after segmentation.",
    tx_payload_bytes: "Payload bytes sent, retransmissions included.",
    tx_acks: "Segments sent without payload, SYN, FIN or RST.",
    tx_syns: "SYN and SYN,ACK segments sent.",
    tx_resets: "RST segments sent.",
    tx_window_probes: "Probes of a closed window sent.",
    tx_keepalive_probes: "Keepalive probes sent.",
    tx_retransmitted_segments: "Wire segments sent again.",
    tx_retransmitted_bytes: "Payload bytes sent again.",
    tx_echo_replies: "ICMP echo replies sent.",

    tx_ring_full: "Times the port took less than was offered: ring full, or link down.",
    tx_refused_bursts: "Bursts that were not sent for that reason, and proposed again.",
    tx_rejected_frames: "Frames the driver rejected for good; rebuilt linear, one segment each.",
    tx_rejected_plain: "Frames rejected even so.",
    tx_no_header: "Times no header buffer was free.",
    tx_reserve_used: "Header buffers taken from the reserve, for ACKs and retransmissions.",
    tx_no_buffers: "Times no buffer was free to refer to payload.",
    tx_too_many_references: "Times a payload had as many references as its count can hold.",
    tx_soft_segmented: "Bursts segmented here, because the port does not segment them.",
    tx_linearised: "Bursts copied together, because their chain was longer than the port takes.",
    tx_payload_copied: "Bursts whose small payload was copied behind the header.",
    tx_streamed_bytes: "Bytes of copying sends that were copied past the cache (S13).",
    tx_checksums_copying: "Frames whose TCP checksum was computed here, in the pass that copied their payload (S12).",
    tx_checksums_reading: "Frames whose TCP checksum was computed here, in a pass over payload that was not copied (S12).",
    tx_budget_limited: "Times a connection waited for its earlier bursts to leave the port (S24).",
    tx_queue_limited: "Times a connection waited for room in the port's queue (S24).",
    tx_retransmissions_held: "Retransmissions that waited because the port still held the original (S43).",
    tx_reclaims: "Times the port was asked to let go of finished frames though nothing was to be sent: buffers were waited for.",
    tx_times: "Bursts whose time the port told, for sends that asked (S33).",
    tx_times_missed: "Bursts whose time it was to tell and did not: another's was awaited, or none came.",
    tx_nudges: "Frames of no meaning sent since the port lets go of finished ones only while it sends (S29).",
    tx_replies_dropped: "Resets, echo and ARP replies not sent: no buffer, or the port took no more.",
    copied_bytes: "Bytes that sends put into buffers of the connection's own: all but those by reference.",
    copied_after_all: "Payload bytes of sends by reference that were copied all the same on their way to the port (S29): short ones, and what the port does not take where it is.",
    tail_exhausted: "Copying sends that found no buffer to copy into.",

    memory_pressure_entered: "Times memory for sending became short (S5): send buffers shrink until it ends.",
    memory_pressure_left: "Times that was over.",
    memory_full: "Times it was so short that only connections with nothing queued got any.",
    memory_waits: "Sends that had to wait for memory.",
    mbuf_pressure_entered: "Times header buffers became too few to keep a reserve: new data waits.",
    mbuf_pressure_left: "Times that was over.",

    timers_fired: "Timers that were due.",
    timers_moved: "Timer entries that moved down a level or were armed again for a later deadline.",
    timers_bounded: "Iterations in which more timers were due than one iteration may handle.",

    connections_opened: "Connections opened by us.",
    connections_accepted: "Connections accepted from peers.",
    connections_closed: "Connections whose slot was freed.",
    connections_folded: "Times a connection at rest was folded, since there were more than the working set holds.",
    connections_unfolded: "Times one had something to do again.",
    connections_stuck: "Connections given up because the port refused all their frames for too long.",

    arp_requests_sent: "ARP requests sent.",
    arp_replies_sent: "ARP replies sent.",
    arp_resolved: "Neighbours whose address was learned or confirmed.",
    arp_failed: "Neighbours that did not answer.",
    arp_changed: "Neighbours that changed their Ethernet address.",
    arp_conflicts: "ARP packets of another station that claims our address.",
}

impl Counters {
    /// Cycles of iterations that did work, and of the application's part between them.
    pub fn busy_cycles(&self) -> u64 {
        self.cycles_rx_busy
            + self.cycles_app_busy
            + self.cycles_timer_busy
            + self.cycles_tx_busy
            + self.cycles_completion_busy
    }

    /// Cycles of iterations that found nothing.
    pub fn idle_cycles(&self) -> u64 {
        self.cycles_rx_idle
            + self.cycles_app_idle
            + self.cycles_timer_idle
            + self.cycles_tx_idle
            + self.cycles_completion_idle
    }

    /// Frames dropped on receive, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.iter().filter(|(name, _, _)| name.starts_with("drop_")).map(|(_, value, _)| value).sum()
    }
}

/// The endpoint's counters in the same form.
pub(crate) fn of_endpoint(c: &EndpointCounters) -> impl Iterator<Item = (&'static str, u64, &'static str)> {
    let EndpointCounters {
        active_opens,
        passive_opens,
        drops: _,
        resets,
        time_wait_fins,
        time_wait_acks,
        time_wait_reused,
        time_wait_evicted,
    } = *c;
    [
        ("tcp_active_opens", active_opens, "Connections opened actively."),
        ("tcp_passive_opens", passive_opens, "Connections opened for a SYN to a listener."),
        ("tcp_resets", resets, "Resets answered to segments that belong to nobody."),
        ("tcp_time_wait_fins", time_wait_fins, "Late FINs acknowledged in TIME-WAIT."),
        ("tcp_time_wait_acks", time_wait_acks, "Other ACKs sent in TIME-WAIT."),
        ("tcp_time_wait_reused", time_wait_reused, "Tuples in TIME-WAIT taken over by a new connection."),
        ("tcp_time_wait_evicted", time_wait_evicted, "TIME-WAITs ended early because the table was full."),
        (
            "tcp_drop_bad_address",
            c.dropped(DropReason::BadAddress),
            "Unmatched segments dropped: impossible address.",
        ),
        ("tcp_drop_reset", c.dropped(DropReason::Reset), "Unmatched segments dropped: resets."),
        (
            "tcp_drop_nonsense",
            c.dropped(DropReason::Nonsense),
            "Unmatched segments dropped: control bits without sense.",
        ),
        (
            "tcp_drop_backlog_full",
            c.dropped(DropReason::BacklogFull),
            "SYNs dropped: the listener's backlog was full.",
        ),
        (
            "tcp_drop_rate_limited",
            c.dropped(DropReason::RateLimited),
            "Unmatched segments dropped: too many answers this second.",
        ),
        (
            "tcp_drop_time_wait",
            c.dropped(DropReason::TimeWait),
            "Segments dropped in TIME-WAIT: nothing to answer.",
        ),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_reaches_the_user_once_with_help() {
        let c = Counters { drop_runt: 3, drop_vlan: 4, tx_frames: 5, ..Counters::default() };
        let mut names: Vec<_> = c.iter().map(|(name, _, _)| name).collect();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Counters>());
        assert!(c.iter().all(|(_, _, help)| help.ends_with('.')));
        assert_eq!(c.dropped(), 7);
    }

    #[test]
    fn every_reason_of_the_endpoint_reaches_the_user() {
        let mut c = EndpointCounters::default();
        for (i, n) in c.drops.iter_mut().enumerate() {
            *n = 1000 + i as u64;
        }
        let shown: Vec<u64> = of_endpoint(&c).map(|(_, v, _)| v).filter(|v| *v >= 1000).collect();
        assert_eq!(shown.len(), DropReason::COUNT);
    }
}
