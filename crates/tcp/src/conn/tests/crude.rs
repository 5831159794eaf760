//! A peer that acknowledges each segment by itself, whatever arrived before it, loses some and stands still at times: the
//! stream goes on whenever the peer does.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::script::*;
use crate::conn::{ConnConfig, SendFlags};
use crate::{Nanos, Time};

/// What the peer does.
#[derive(Clone, Debug)]
struct Peer {
    /// Segments that it keeps and did not answer yet, at most.
    room: usize,
    /// One in so many is lost.
    loss: u64,
    /// From when to when it answers nothing, milliseconds.
    stalls: Vec<(u64, u64)>,
}

fn transfer(peer: &Peer, cfg: &ConnConfig, total: usize) {
    const APART: Nanos = Nanos::from_micros(200);
    let mut s = Script::connect(cfg);
    s.at(400).inject("S. 0:0(0) ack 1 win 32768 <mss 1460,wscale 5>");
    s.limits = TSO;
    s.sent.clear();
    let mut answers: VecDeque<(Time, u64)> = VecDeque::new();
    let (mut left, mut seen, mut last) = (total, 0u64, Time::ZERO);
    let (mut una, mut moved) = (0, s.now);
    loop {
        while left > 0 {
            let chunk = left.min(10_000);
            if s.conn.capacity() < 2 * chunk {
                break;
            }
            s.write_quietly(chunk, SendFlags::default());
            left -= chunk;
        }
        s.flush();
        for (at, burst) in std::mem::take(&mut s.sent) {
            let (mut from, end) = (burst.offset.0, burst.offset.0 + u64::from(burst.len));
            while from < end {
                let to = (from + u64::from(burst.mss)).min(end);
                from = to;
                seen += 1;
                let lost = peer.loss > 0
                    && seen.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & 0xffff < 65_536 / peer.loss;
                if !lost && answers.len() < peer.room {
                    let mut due = (at + ms(400)).max(last + APART);
                    for &(stops, goes_on) in &peer.stalls {
                        let (stops, goes_on) = (Time::ZERO + ms(stops), Time::ZERO + ms(goes_on));
                        if due >= stops && due < goes_on {
                            due = goes_on;
                        }
                    }
                    last = due;
                    answers.push_back((due, to));
                }
            }
        }
        let acked = s.conn.marks().acked.0;
        if acked > una {
            (una, moved) = (acked, s.now);
        }
        if acked == total as u64 {
            return;
        }
        let stalled =
            peer.stalls.iter().map(|&(_, end)| Time::ZERO + ms(end)).filter(|end| *end <= s.now).max();
        let since = moved.max(stalled.unwrap_or(Time::ZERO));
        assert!(
            s.now.since(since) < Nanos::from_secs(130),
            "nothing moves beyond {acked} of {total}: {:?}",
            s.conn.stats()
        );
        let next = [s.conn.next_timeout(), answers.front().map(|a| a.0)].into_iter().flatten().min();
        let next = next.expect("something is left to happen");
        s.until(next.max(s.now));
        while let Some((_, to)) = answers.pop_front_if(|a| a.0 <= s.now) {
            s.inject_quietly(&format!(". 1:1(0) ack {} win 32768", to + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_crude_peer_gets_everything(
        room in 30..2000usize,
        loss in prop_oneof![Just(0), 8..60u64],
        stalls in proptest::collection::vec((500..6000u64, 10..3000u64), 0..4),
    ) {
        let stalls = stalls.into_iter().map(|(at, long)| (at, at + long)).collect();
        let cfg = ConnConfig { initial_window: 100, send_buffer: Some(8 << 20), user_timeout: Nanos::from_secs(100_000), ..ConnConfig::default() };
        transfer(&Peer { room, loss, stalls }, &cfg, 3_000_000);
    }
}
