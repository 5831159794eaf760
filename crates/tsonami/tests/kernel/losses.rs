//! Losses that a peer's ACKs tell of, and what only looks like one.

use crate::same_as_linux;
use crate::scenario::Step::*;
use crate::scripted::{ROUND_TRIP, scripted};
use crate::stand_in::ack;

#[test]
fn rfc3042_rfc6675_duplicates_as_linux() {
    let scenarios = [
        scripted(
            "limited transmit, fast retransmit, fast recovery",
            [
                Write(20_000),
                Pause(ROUND_TRIP),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(1)),
                Answer(ack(12_001)),
                Answer(ack(13_001)),
            ],
        )
        .without_sack()
        .far_away()
        .but(
            "RFC 6582 §3.2: without SACK, duplicates count as segments that left, and the end is no burst; Linux reduces \
             in proportion here too",
            &[
                (6, &[". 12001:13001(1000) ack 1"], &[]),
                (8, &[". 13001:14001(1000) ack 1"], &[]),
                (9, &[], &[". 12001:13001(1000) ack 1"]),
                (10, &[], &[". 13001:14001(1000) ack 1"]),
                (
                    11,
                    &[". 14001:15001(1000) ack 1", ". 15001:16001(1000) ack 1", ". 16001:17001(1000) ack 1"],
                    &[". 14001:15001(1000) ack 1"],
                ),
                (
                    12,
                    &[". 17001:18001(1000) ack 1"],
                    &[". 15001:16001(1000) ack 1", ". 16001:17001(1000) ack 1"],
                ),
            ],
        ),
        scripted(
            "the same with SACK",
            [
                Write(20_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 2001)])),
                Answer(ack(1).sack(&[(1001, 3001)])),
                Answer(ack(1).sack(&[(1001, 4001)])),
                Answer(ack(1).sack(&[(1001, 5001)])),
                Answer(ack(1).sack(&[(1001, 6001)])),
                Answer(ack(1).sack(&[(1001, 7001)])),
                Answer(ack(1).sack(&[(1001, 8001)])),
                Answer(ack(1).sack(&[(1001, 9001)])),
                Answer(ack(1).sack(&[(1001, 10_001)])),
                Answer(ack(12_001)),
                Answer(ack(13_001)),
            ],
        )
        .far_away()
        .but(
            "RFC 9937 §6.2: RecoverFS is what was in flight, with what limited transmit added; Linux takes cwnd",
            &[
                (6, &[". 12001:13001(1000) ack 1"], &[]),
                (7, &[], &[". 12001:13001(1000) ack 1"]),
                (8, &[". 13001:14001(1000) ack 1"], &[]),
                (10, &[], &[". 13001:14001(1000) ack 1"]),
            ],
        ),
        scripted(
            "three holes",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 2001)])),
                Answer(ack(1).sack(&[(3001, 4001), (1001, 2001)])),
                Answer(ack(1).sack(&[(5001, 6001), (3001, 4001), (1001, 2001)])),
                Answer(ack(1).sack(&[(5001, 10_001), (3001, 4001), (1001, 2001)])),
                Pause(ROUND_TRIP),
                Answer(ack(2001).sack(&[(5001, 10_001), (3001, 4001)])),
                Answer(ack(4001).sack(&[(5001, 10_001)])),
                Answer(ack(10_001)),
            ],
        )
        .far_away(),
        scripted(
            "half of what is in flight is lost",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(5001, 6001)])),
                Answer(ack(1).sack(&[(5001, 7001)])),
                Answer(ack(1).sack(&[(5001, 8001)])),
                Answer(ack(1).sack(&[(5001, 9001)])),
                Answer(ack(1).sack(&[(5001, 10_001)])),
                Pause(ROUND_TRIP + ROUND_TRIP / 4),
                Answer(ack(1001).sack(&[(5001, 10_001)])),
                Answer(ack(2001).sack(&[(5001, 10_001)])),
                Answer(ack(10_001)),
                Write(10_000),
            ],
        )
        .far_away(),
        scripted(
            "a retransmission that is lost again",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 4001)])),
                Answer(ack(1).sack(&[(1001, 7001)])),
                Pause(ROUND_TRIP),
                Write(3000),
                Answer(ack(1).sack(&[(1001, 10_001)])),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 11_001)])),
                Answer(ack(1).sack(&[(1001, 13_001)])),
                Answer(ack(13_001)),
            ],
        )
        .far_away(),
    ];
    same_as_linux("losses::rfc3042_rfc6675_duplicates_as_linux", &scenarios);
}

#[test]
fn s38_reordering_as_linux() {
    let scenarios = [
        scripted(
            "a segment that one overtook comes",
            [
                Write(5000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 2001)])),
                Answer(ack(2001)),
                Answer(ack(5001)),
            ],
        )
        .far_away(),
        scripted(
            "it does not come for a quarter of a round trip",
            [
                Write(5000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 2001)])),
                Time(1),
                Answer(ack(2001)),
                Answer(ack(5001)),
            ],
        )
        .far_away(),
        scripted(
            "three overtook it, and it comes; then three overtake another",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 4001)])),
                Answer(ack(4001)),
                Answer(ack(10_001).sack(&[(1, 1001)])),
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(10_001).sack(&[(11_001, 14_001)])),
                Answer(ack(14_001)),
                Answer(ack(20_001)),
            ],
        )
        .far_away()
        .but(
            "S40: a repair that proved needless shows that the path reorders; Linux waits for one that was not repaired",
            &[(7, &[". 10001:11001(1000) ack 1"], &[])],
        ),
        scripted(
            "one that nobody repaired comes late; then three overtake another",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 3001)])),
                Answer(ack(3001)),
                Answer(ack(10_001)),
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(10_001).sack(&[(11_001, 14_001)])),
                Answer(ack(14_001)),
                Answer(ack(20_001)),
            ],
        )
        .far_away(),
    ];
    same_as_linux("losses::s38_reordering_as_linux", &scenarios);
}

#[test]
fn s38_tail_loss_probes_as_linux() {
    let scenarios = [
        scripted("the newest again, then the timeout", [Write(5000), Time(1), Time(1), Answer(ack(1001))]),
        scripted(
            "the probe was needless",
            [
                Write(5000),
                Time(1),
                Answer(ack(5001)),
                Answer(ack(5001).sack(&[(4001, 5001)])),
                Write(12_000),
                Pause(ROUND_TRIP),
                Answer(ack(15_001)),
                Write(30_000),
            ],
        ),
        scripted(
            "the probe repaired the loss, unseen",
            [
                Write(5000),
                Time(1),
                Answer(ack(5001)),
                Write(12_000),
                Pause(ROUND_TRIP),
                Answer(ack(6001)),
                Answer(ack(15_001)),
                Write(30_000),
            ],
        )
        .but(
            "RFC 5681 §3.1: half of what is in flight is left, and a round trip adds a segment; in Linux half of cwnd, and \
             one for each window that an ACK covers",
            &[(
                7,
                &[". 17001:18001(1000) ack 1", ". 18001:19001(1000) ack 1", ". 19001:20001(1000) ack 1", ". 20001:21001(1000) ack 1", ". 21001:22001(1000) ack 1"],
                &[". 17001:18001(1000) ack 1", ". 18001:19001(1000) ack 1", ". 19001:20001(1000) ack 1"],
            )],
        ),
        scripted(
            "more was lost than the last",
            [Write(5000), Time(1), Answer(ack(2001).sack(&[(4001, 5001)])), Time(2), Answer(ack(5001))],
        ),
        scripted("new data is the better probe", [Write(14_000), Time(1), Time(1), Answer(ack(11_001))]),
        scripted("a single segment waits for a delayed ACK too", [Write(1000), Waits(2)]),
    ];
    same_as_linux(
        "losses::s38_tail_loss_probes_as_linux",
        &scenarios.map(|s| s.far_away().with_tail_probes()),
    );
}
