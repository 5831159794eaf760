//! What a connection counted, for the JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tsonami::ConnStats;

/// Every count and gauge of a connection by its name, which carries its unit; those that are not known are left out.
///
/// The counts are taken apart by name: one that the protocol gains does not compile until it is here.
pub(crate) fn named(stats: &ConnStats) -> BTreeMap<&'static str, Value> {
    let ConnStats {
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
        challenge_acks,
        icmp_errors,
        mtu_probes,
        mtu_probes_lost,
        black_holes,
        path_mtu,
        ecn_marked_segments,
        ecn_echoes,
        ecn_marks_reported,
        ecn_reductions,
        ecn,
        accurate_ecn,
        send_times_lost,
        corks_expired,
        device_times_missed,
        deferrals,
        idle_restarts,
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
        pacing_rate,
        delivery_rate,
        delivery_rate_app_limited,
        unsent,
        loss_state,
        sacked,
        lost,
        resent,
        reordering,
        send_buffer,
        user_timeout,
        peer_user_timeout,
        // Told by the summary itself.
        time: _,
    } = *stats;
    let micros = |time| Value::from(Duration::from(time).as_nanos() as f64 / 1e3);
    let count = |n: u64| Some(Value::from(n));
    [
        ("sent_bytes", count(bytes_sent)),
        ("acknowledged_bytes", count(bytes_acked)),
        ("retransmitted_bytes", count(bytes_retransmitted)),
        ("received_bytes", count(bytes_received)),
        ("copied_after_all_bytes", count(bytes_copied_after_all)),
        ("bursts", count(bursts)),
        ("sent_segments", count(segments_sent)),
        ("retransmitted_segments", count(segments_retransmitted)),
        ("received_segments", count(segments_received)),
        ("unacceptable_segments", count(segments_unacceptable)),
        ("out_of_order_segments", count(segments_out_of_order)),
        ("paws_rejected_segments", count(paws_rejected)),
        ("duplicate_acks", count(dup_acks)),
        ("fast_recoveries", count(fast_recoveries)),
        ("sacked_bytes", count(bytes_sacked)),
        ("needless_retransmissions_reported", count(dsacks)),
        ("reorderings", count(reordered)),
        ("sack_reneges", count(reneged)),
        ("spurious_recoveries", count(spurious_recoveries)),
        ("spurious_timeouts", count(spurious_timeouts)),
        ("fast_retransmitted_segments", count(fast_retransmits)),
        ("timeout_retransmitted_segments", count(timeout_retransmits)),
        ("probe_retransmitted_segments", count(probe_retransmits)),
        ("retransmission_timeouts", count(timeouts)),
        ("tail_probes", count(tail_probes)),
        ("window_probes", count(window_probes)),
        ("keepalive_probes", count(keepalive_probes)),
        ("autocorks", count(autocorks)),
        ("limited_transmits", count(limited_transmits)),
        ("recovery_exceptions", count(recovery_exceptions)),
        ("challenge_acks", count(challenge_acks)),
        ("icmp_errors", count(icmp_errors)),
        ("mtu_probes", count(mtu_probes)),
        ("mtu_probes_lost", count(mtu_probes_lost)),
        ("black_holes", count(black_holes)),
        ("path_mtu_bytes", count(path_mtu.into())),
        ("ecn", Some(Value::from(ecn))),
        ("ecn_marked_segments", count(ecn_marked_segments)),
        ("ecn_echoes", count(ecn_echoes)),
        ("accurate_ecn", Some(Value::from(accurate_ecn))),
        ("ecn_marks_reported", count(ecn_marks_reported)),
        ("ecn_reductions", count(ecn_reductions)),
        ("send_times_lost", count(send_times_lost)),
        ("corks_expired", count(corks_expired)),
        ("device_times_missed", count(device_times_missed)),
        ("deferred_bursts", count(deferrals)),
        ("idle_restarts", count(idle_restarts)),
        ("smoothed_rtt_us", srtt.map(micros)),
        ("rtt_deviation_us", Some(micros(rttvar))),
        ("min_rtt_us", min_rtt.map(micros)),
        ("retransmission_timeout_us", Some(micros(rto))),
        ("congestion_control", Some(Value::from(controller.to_string()))),
        ("congestion_window_bytes", count(cwnd)),
        ("slow_start_threshold_bytes", Some(ssthresh).filter(|s| *s != u64::MAX).and_then(count)),
        ("send_window_bytes", count(send_window)),
        ("receive_window_bytes", count(receive_window)),
        ("mss_bytes", count(mss.into())),
        ("pacing_bits_per_second", pacing_rate.map(|rate| Value::from(rate.as_bps()))),
        ("delivery_bits_per_second", delivery_rate.map(|rate| Value::from(rate.as_bps()))),
        ("delivery_rate_app_limited", delivery_rate.map(|_| Value::from(delivery_rate_app_limited))),
        ("unsent_bytes", count(unsent)),
        ("loss_state", Some(loss_state.to_string().into())),
        ("sacked_in_flight_bytes", count(sacked)),
        ("lost_in_flight_bytes", count(lost)),
        ("resent_in_flight_bytes", count(resent)),
        ("reordering_bytes", count(reordering)),
        ("send_buffer_bytes", count(send_buffer)),
        ("user_timeout_us", Some(micros(user_timeout))),
        ("peer_user_timeout_us", peer_user_timeout.map(micros)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsonami::Nanos;

    #[test]
    fn what_is_not_known_is_left_out() {
        let fresh = named(&ConnStats { ssthresh: u64::MAX, ..ConnStats::default() });
        assert!(!fresh.contains_key("smoothed_rtt_us") && !fresh.contains_key("slow_start_threshold_bytes"));
        let stats = ConnStats { srtt: Some(Nanos::from_millis(2)), mss: 1448, ..ConnStats::default() };
        assert_eq!(named(&stats)["smoothed_rtt_us"], 2_000.0);
        assert_eq!(named(&stats)["mss_bytes"], 1448.0);
    }
}
