//! Timeouts: how they grow, and how it comes out that one was needless.

use std::io::ErrorKind;
use std::time::Duration;

use crate::same_as_linux;
use crate::scenario::Step::*;
use crate::scripted::{ROUND_TRIP, scripted};
use crate::stand_in::ack;

/// Linux counts what an ACK covers.
const SLOW_START: &str = "RFC 3465 §2.3: after a timeout an ACK opens the window by one segment at the most";

#[test]
fn s36_timeouts_double_as_linux() {
    let scenarios = [
        scripted(
            "the ladder of what is lost for ever",
            [Write(1000), Waits(4), Answer(ack(1001)), Write(1000)],
        ),
        scripted(
            "the oldest alone is sent again, then slow start",
            [Write(5000), Waits(2), Answer(ack(1001)), Answer(ack(3001)), Answer(ack(5001))],
        ),
        scripted(
            "what SACK reported is not sent again",
            [
                Write(6000),
                Answer(ack(1).sack(&[(1001, 5001)])),
                Waits(2),
                Answer(ack(1).sack(&[(5001, 6001), (1001, 5001)])),
                Answer(ack(6001)),
                Write(3000),
            ],
        )
        .but(
            SLOW_START,
            &[(
                5,
                &[". 6001:7001(1000) ack 1", ". 7001:8001(1000) ack 1", ". 8001:9001(1000) ack 1"],
                &[". 6001:7001(1000) ack 1", ". 7001:8001(1000) ack 1"],
            )],
        ),
        scripted("a FIN that is lost", [Write(1000), Finish, Answer(ack(1001)), Waits(2), Answer(ack(1002))]),
        scripted("until the user's patience ends", [Write(1000), Waits(2), Dies(ErrorKind::TimedOut)])
            .with_user_timeout(Duration::from_secs(1)),
    ];
    same_as_linux("timeouts::s36_timeouts_double_as_linux", &scenarios);
}

#[test]
fn s21_window_probes_double_as_linux() {
    const BYTE: &str = "S21: a window probe carries one byte, as the standard says";
    let closed = ack(3001).window(0);
    let scenarios = [
        scripted(
            "nobody answers",
            [
                Write(3000),
                Answer(closed),
                Write(2000),
                Waits(4),
                Answer(closed),
                Answer(ack(3001)),
                Answer(ack(5001)),
            ],
        )
        .but(
            BYTE,
            &[(
                3,
                &[
                    ". 3000:3000(0) ack 1 after 1 times the first wait",
                    ". 3000:3000(0) ack 1 after 2 times the first wait",
                    ". 3000:3000(0) ack 1 after 4 times the first wait",
                    ". 3000:3000(0) ack 1 after 8 times the first wait",
                ],
                &[
                    ". 3001:3002(1) ack 1 after 1 times the first wait",
                    ". 3001:3002(1) ack 1 after 2 times the first wait",
                    ". 3001:3002(1) ack 1 after 4 times the first wait",
                    ". 3001:3002(1) ack 1 after 8 times the first wait",
                ],
            )],
        ),
        scripted(
            "it closes over what was lost",
            [Write(3000), Answer(ack(1001).window(0)), Waits(2), Answer(ack(1001)), Answer(ack(3001))],
        )
        .but(
            "S21: no more than a byte leaves into a closed window; Linux repeats the segment that was lost",
            &[(
                2,
                &[
                    ". 1001:2001(1000) ack 1 after 1 times the first wait",
                    ". 1001:2001(1000) ack 1 after 2 times the first wait",
                ],
                &[
                    ". 1001:1002(1) ack 1 after 1 times the first wait",
                    ". 1001:1002(1) ack 1 after 2 times the first wait",
                ],
            )],
        ),
        scripted(
            "answers tell that it is still closed",
            [
                Write(3000),
                Answer(closed),
                Write(2000),
                Waits(1),
                Answer(closed),
                Waits(1),
                Answer(closed),
                Waits(1),
                Answer(closed),
                Answer(ack(3001)),
                Answer(ack(5001)),
            ],
        )
        .but(
            BYTE,
            &[
                (
                    3,
                    &[". 3000:3000(0) ack 1 after 1 times the first wait"],
                    &[". 3001:3002(1) ack 1 after 1 times the first wait"],
                ),
                (
                    5,
                    &[". 3000:3000(0) ack 1 after 2 times the first wait"],
                    &[". 3001:3002(1) ack 1 after 2 times the first wait"],
                ),
                (
                    7,
                    &[". 3000:3000(0) ack 1 after 4 times the first wait"],
                    &[". 3001:3002(1) ack 1 after 4 times the first wait"],
                ),
            ],
        ),
    ];
    same_as_linux("timeouts::s21_window_probes_double_as_linux", &scenarios);
}

#[test]
fn rfc5682_spurious_timeouts_as_linux() {
    let late = [
        Write(20_000),
        Time(1),
        Answer(ack(1001)),
        Answer(ack(2001)),
        Answer(ack(3001)),
        Answer(ack(10_001)),
    ];
    let scenarios = [
        scripted("everything was late", late).without_sack(),
        scripted("everything was late, and the peer knows SACK", late),
        scripted(
            "everything was lost",
            [
                Write(20_000),
                Time(1),
                Answer(ack(1001)),
                Answer(ack(1001)),
                Answer(ack(2001)),
                Answer(ack(4001)),
            ],
        )
        .without_sack()
        .but(
            SLOW_START,
            &[(
                5,
                &[". 4001:5001(1000) ack 1", ". 5001:6001(1000) ack 1", ". 6001:7001(1000) ack 1"],
                &[". 4001:5001(1000) ack 1", ". 5001:6001(1000) ack 1"],
            )],
        ),
        scripted(
            "everything was lost, and the peer says what arrived",
            [
                Write(20_000),
                Time(1),
                Answer(ack(1001)),
                Answer(ack(1001).sack(&[(10_001, 11_001)])),
                Answer(ack(1001).sack(&[(10_001, 12_001)])),
                Answer(ack(3001).sack(&[(10_001, 12_001)])),
            ],
        )
        .but(
            SLOW_START,
            &[(
                5,
                &[
                    ". 3001:4001(1000) ack 1",
                    ". 4001:5001(1000) ack 1",
                    ". 5001:6001(1000) ack 1",
                    ". 6001:7001(1000) ack 1",
                ],
                &[". 3001:4001(1000) ack 1", ". 4001:5001(1000) ack 1", ". 5001:6001(1000) ack 1"],
            )],
        ),
        scripted(
            "nothing new to send",
            [Write(5000), Time(1), Answer(ack(1001)), Answer(ack(2001)), Answer(ack(5001))],
        ),
        scripted(
            "the first ACK covers what left once",
            [Write(20_000), Time(1), Answer(ack(3001)), Answer(ack(4001)), Answer(ack(10_001))],
        )
        .but(
            "RFC 5682 §2.1 step 2: the first ACK does not decide, two new segments leave, and the second does",
            &[(2, &[". 10001:11001(1000) ack 1", ". 11001:12001(1000) ack 1", ". 12001:13001(1000) ack 1", ". 13001:14001(1000) ack 1", ". 14001:15001(1000) ack 1", ". 15001:16001(1000) ack 1"], &[". 10001:11001(1000) ack 1", ". 11001:12001(1000) ack 1"]),(3, &[". 16001:17001(1000) ack 1", ". 17001:18001(1000) ack 1"], &[". 12001:13001(1000) ack 1", ". 13001:14001(1000) ack 1", ". 14001:15001(1000) ack 1"]),(4, &[". 18001:19001(1000) ack 1", ". 19001:20001(1000) ack 1"], &[". 15001:16001(1000) ack 1", ". 16001:17001(1000) ack 1", ". 17001:18001(1000) ack 1", ". 18001:19001(1000) ack 1", ". 19001:20001(1000) ack 1"])],
        ),
        scripted(
            "a second timeout",
            [Write(20_000), Time(2), Answer(ack(1001)), Answer(ack(2001)), Answer(ack(4001))],
        )
        .but(
            "RFC 5682 §2.1 step 1: a timeout while another is repaired is believed",
            &[(2, &[". 10001:11001(1000) ack 1", ". 11001:12001(1000) ack 1"], &[". 1001:2001(1000) ack 1", ". 2001:3001(1000) ack 1"]),(3, &[". 12001:13001(1000) ack 1"], &[". 3001:4001(1000) ack 1", ". 4001:5001(1000) ack 1"]),(4, &[". 13001:14001(1000) ack 1", ". 14001:15001(1000) ack 1", ". 15001:16001(1000) ack 1", ". 16001:17001(1000) ack 1"], &[". 5001:6001(1000) ack 1", ". 6001:7001(1000) ack 1", ". 7001:8001(1000) ack 1"])],
        ),
    ];
    same_as_linux("timeouts::rfc5682_spurious_timeouts_as_linux", &scenarios);
}

#[test]
fn rfc3522_eifel_as_linux() {
    let scenarios = [
        scripted(
            "the original arrived, late",
            [
                Write(20_000),
                Time(1),
                Answer(ack(1001).to_original(1)),
                Answer(ack(2001).to_original(1001)),
                Answer(ack(10_001).to_original(9001)),
            ],
        )
        .with_timestamps(),
        scripted(
            "nothing new to send, and nothing is sent again",
            [Write(5000), Time(1), Answer(ack(1001).to_original(1)), Answer(ack(5001).to_original(4001))],
        )
        .with_timestamps(),
        scripted(
            "the retransmission arrived",
            [
                Write(20_000),
                Time(1),
                Answer(ack(1001)),
                Answer(ack(1001).sack(&[(10_001, 12_001)])),
                Answer(ack(3001).sack(&[(10_001, 12_001)])),
            ],
        )
        .with_timestamps()
        .but(
            SLOW_START,
            &[(
                4,
                &[
                    ". 3001:4001(1000) ack 1",
                    ". 4001:5001(1000) ack 1",
                    ". 5001:6001(1000) ack 1",
                    ". 6001:7001(1000) ack 1",
                ],
                &[". 3001:4001(1000) ack 1", ". 4001:5001(1000) ack 1", ". 5001:6001(1000) ack 1"],
            )],
        ),
        scripted(
            "a fast retransmission was needless",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).to_original(1).sack(&[(1001, 2001)])),
                Answer(ack(1).to_original(1).sack(&[(1001, 3001)])),
                Answer(ack(1).to_original(1).sack(&[(1001, 4001)])),
                Answer(ack(4001).to_original(1)),
                Answer(ack(10_001).to_original(9001)),
                Write(10_000),
            ],
        )
        .with_timestamps()
        .far_away(),
        scripted(
            "a fast retransmission was called for",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).to_original(1).sack(&[(1001, 4001)])),
                Answer(ack(1).to_original(1).sack(&[(1001, 10_001)])),
                Pause(ROUND_TRIP + ROUND_TRIP / 4),
                Answer(ack(10_001)),
                Write(10_000),
            ],
        )
        .with_timestamps()
        .far_away(),
    ];
    same_as_linux("timeouts::rfc3522_eifel_as_linux", &scenarios);
}

#[test]
fn rfc2883_duplicates_that_are_reported_as_linux() {
    let scenarios = [
        scripted(
            "a timeout whose every retransmission arrived twice",
            [
                Write(5000),
                Time(1),
                Answer(ack(1001)),
                Answer(ack(5001)),
                Answer(ack(5001).sack(&[(1, 1001)])),
                Answer(ack(5001).sack(&[(1001, 2001)])),
                Answer(ack(5001).sack(&[(2001, 3001)])),
                Write(10_000),
            ],
        ),
        scripted(
            "a fast retransmission that arrived twice",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 4001)])),
                Answer(ack(4001)),
                Answer(ack(10_001)),
                Answer(ack(10_001).sack(&[(1, 1001)])),
                Write(10_000),
            ],
        )
        .far_away(),
        scripted(
            "one of two that arrived twice",
            [
                Write(10_000),
                Pause(ROUND_TRIP),
                Answer(ack(1).sack(&[(1001, 2001)])),
                Answer(ack(1).sack(&[(3001, 6001), (1001, 2001)])),
                Answer(ack(1).sack(&[(3001, 10_001), (1001, 2001)])),
                Pause(ROUND_TRIP + ROUND_TRIP / 4),
                Answer(ack(10_001)),
                Answer(ack(10_001).sack(&[(1, 1001)])),
                Write(10_000),
            ],
        )
        .far_away(),
    ];
    same_as_linux("timeouts::rfc2883_duplicates_that_are_reported_as_linux", &scenarios);
}
