//! Propose, commit, refuse (`S24`, architecture: "Propose, then commit").

use proptest::prelude::*;

use super::script::*;
use crate::conn::{Connection, SendFlags, State};
use crate::testing::TestBuf;
use crate::wire::TcpFlags;
use crate::{Burst, BurstKind, Event, Offset, Time, TxLimits};

/// Everything that may be asked of a connection without changing it.
fn observe(conn: &Connection<TestBuf>) -> String {
    format!("{conn:?}")
}

#[test]
fn s24_full_ring_is_not_sent() {
    let mut s = Script::established(&plain(), 65535);
    s.conn.write(bytes(0, 5000), SendFlags::default()).expect("room");
    let proposals: Vec<Burst> = std::iter::from_fn(|| s.conn.poll_transmit(s.now, &PLAIN)).collect();
    assert_eq!(proposals.len(), 5);
    let marks = s.conn.marks();
    assert_eq!((marks.sent, s.conn.in_flight()), (Offset(0), 0));
    s.conn.on_sent(&proposals[0], s.now);
    s.conn.on_sent(&proposals[1], s.now);
    for burst in &proposals[2..] {
        s.conn.on_refused(burst);
    }
    assert_eq!((s.conn.marks().sent, s.conn.in_flight()), (Offset(2000), 2000));
    let again = s.conn.poll_transmit(s.now, &PLAIN).expect("the third");
    assert_eq!((again.offset, again.kind, again.flags), (Offset(2000), BurstKind::New, TcpFlags::ACK));
    assert_eq!(s.conn.stats().bytes_retransmitted, 0);
}

#[test]
fn a_burst_that_left_in_part_is_committed_in_part() {
    let mut s = Script::established(&plain(), 65535);
    s.conn.write(bytes(0, 5000), SendFlags::default()).expect("room");
    s.conn.shutdown_write();
    let burst = s.conn.poll_transmit(s.now, &TSO).expect("a burst");
    assert_eq!(burst.len, 5000);
    s.conn.on_sent(&burst.first(2000), s.now);
    s.conn.on_refused(&burst);
    assert_eq!(s.conn.marks().sent, Offset(2000));
    s.flush();
    s.expect(". 2001:3001(1000) ack 1").expect(". 3001:4001(1000) ack 1");
    s.expect("FP. 4001:5001(1000) ack 1").nothing();
}

#[test]
fn an_ack_that_was_refused_is_still_owed() {
    let mut s = Script::established(&plain(), 65535);
    s.inject_quietly("P. 1:2001(2000) ack 1");
    s.conn.write(bytes(0, 10), SendFlags::default()).expect("room");
    // The data carries the ACK; refused together, owed together.
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("the data");
    assert!(s.conn.poll_transmit(s.now, &PLAIN).is_none());
    s.conn.on_refused(&burst);
    let none = TxLimits { budget: 0, ..PLAIN };
    let ack = s.conn.poll_transmit(s.now, &none).expect("the ACK alone");
    assert_eq!(ack.kind, BurstKind::Ack);
    s.conn.on_sent(&ack, s.now);
    assert!(s.conn.poll_transmit(s.now, &none).is_none());
    s.flush().expect("P. 1:11(10) ack 2001").nothing();
}

#[test]
fn an_ack_that_says_less_than_was_received_settles_nothing() {
    let mut s = Script::established(&plain(), 65535);
    s.inject_quietly(". 1:2001(2000) ack 1");
    let ack = s.conn.poll_transmit(s.now, &PLAIN).expect("the ACK");
    s.inject_quietly(". 2001:4001(2000) ack 1");
    s.conn.on_sent(&ack, s.now);
    s.conn.check_invariants();
    s.flush().expect(". 1:1(0) ack 4001").nothing();
    // RFC 7323's Last.ACK.sent stays behind RCV.NXT meanwhile: the invariant holds when text is unacknowledged.
    s.inject_quietly(". 4001:4101(100) ack 1");
    let data = {
        s.conn.write(bytes(0, 10), SendFlags::default()).expect("room");
        s.conn.poll_transmit(s.now, &PLAIN)
    };
    s.inject_quietly(". 4101:4201(100) ack 1");
    s.conn.on_sent(&data.expect("the data"), s.now);
    s.conn.check_invariants();
    s.sent.clear();
    s.expect_at(140, ". 11:11(0) ack 4201");
}

#[test]
fn retransmissions_proposed_together_stay_inside_cwnd_together() {
    let mut s = Script::established(&plain(), 65535);
    s.write(10_000).expect_at_last(". 1:1001(1000) ack 1", 400);
    // cwnd is one, then two, then four.
    for (ack, fits) in [(1001, 2), (3001, 3)] {
        s.inject_quietly(&format!(". 1:1(0) ack {ack}"));
        let batch: Vec<Burst> = std::iter::from_fn(|| s.conn.poll_transmit(s.now, &PLAIN)).collect();
        assert_eq!(batch.len(), fits, "{batch:?}");
        assert!(batch.iter().all(|b| b.kind == BurstKind::Retransmit));
        for burst in &batch {
            s.conn.on_sent(burst, s.now);
        }
    }
}

impl Script {
    /// At `ms` this is the last of all that was sent.
    fn expect_at_last(&mut self, text: &str, ms: u64) {
        self.at(ms);
        self.sent.drain(..self.sent.len() - 1);
        self.expect_at(ms, text);
    }
}

#[test]
fn a_syn_that_was_refused_is_still_due() {
    let mut conn: Connection<TestBuf> = Connection::connect(&plain(), tuple(), ISS, 0, Time::ZERO);
    let before = observe(&conn);
    let syn = conn.poll_transmit(Time::ZERO, &PLAIN).expect("the SYN");
    assert!(conn.poll_transmit(Time::ZERO, &PLAIN).is_none());
    conn.on_refused(&syn);
    assert_eq!(observe(&conn), before);
    assert!(conn.poll_transmit(Time::ZERO, &PLAIN).is_some());
}

#[test]
fn shortened_bursts_keep_fin_and_psh_for_the_rest() {
    let mut s = Script::established(&plain(), 65535);
    s.conn.write(bytes(0, 900), SendFlags::default()).expect("room");
    s.conn.shutdown_write();
    let burst = s.conn.poll_transmit(s.now, &PLAIN).expect("a burst");
    assert!(burst.flags.has(TcpFlags::FIN | TcpFlags::PSH));
    assert_eq!(burst.first(100).flags, TcpFlags::ACK);
    assert_eq!(burst.first(900).flags, burst.flags);
}

/// An established connection that wrote `len` bytes and finished when `fin`; all its proposals were refused.
fn refused(len: usize, fin: bool) -> Script {
    let mut s = Script::established(&plain(), 65535);
    assert!(s.conn.take_rtt_sample().is_some());
    s.write_quietly(len, SendFlags::default());
    if fin {
        s.conn.shutdown_write();
    }
    s.refuse_all();
    s
}

impl Script {
    /// Whatever can be sent is offered to a device that segments, and refused.
    fn refuse_all(&mut self) -> Vec<Burst> {
        let batch: Vec<Burst> = std::iter::from_fn(|| self.conn.poll_transmit(self.now, &TSO)).collect();
        batch.iter().for_each(|burst| self.conn.on_refused(burst));
        batch
    }
}

#[test]
fn s24_part_of_a_refused_burst_that_arrived_all_the_same_was_sent() {
    let mut s = refused(5000, false);
    let cwnd = s.cwnd();
    s.inject(". 1:1(0) ack 3001");
    let marks = s.conn.marks();
    assert_eq!((marks.acked, s.conn.stats().segments_unacceptable), (Offset(3000), 0));
    assert_eq!(s.conn.stats().bytes_sent, 5000);
    // It was not in flight: nothing was measured, and cwnd had no part in it.
    assert_eq!((s.conn.take_rtt_sample(), s.cwnd()), (None, cwnd));
    s.expect(". 3001:4001(1000) ack 1").expect("P. 4001:5001(1000) ack 1").nothing();
    s.at(200).inject(". 1:1(0) ack 5001").nothing();
    assert_eq!((s.conn.marks().acked, s.conn.next_timeout()), (Offset(5000), None));
}

#[test]
fn s24_all_of_a_refused_burst_that_arrived_all_the_same_was_sent() {
    let mut s = refused(5000, false);
    s.inject(". 1:1(0) ack 5001").silence_until(5000);
    let marks = s.conn.marks();
    assert_eq!((marks.sent, marks.acked, s.conn.in_flight()), (Offset(5000), Offset(5000), 0));
    assert_eq!((s.conn.next_timeout(), s.conn.take_rtt_sample()), (None, None));
    assert!(s.events().contains(&Event::Acked));
    s.write(10).expect("P. 5001:5011(10) ack 1").nothing();
}

#[test]
fn s24_a_refused_fin_that_arrived_all_the_same_was_sent() {
    let mut s = refused(900, true);
    s.inject(". 1:1(0) ack 902").silence_until(5000);
    assert_eq!((s.state(), s.conn.marks().acked), (State::FinWait2, Offset(900)));
    assert!(s.events().contains(&Event::Finished));

    // The bytes arrived and the FIN did not.
    let mut s = refused(900, true);
    s.inject(". 1:1(0) ack 901").expect("F. 901:901(0) ack 1").nothing();
    s.inject(". 1:1(0) ack 902").silence_until(5000);
    assert_eq!(s.state(), State::FinWait2);

    // A FIN alone.
    let mut s = refused(0, true);
    s.inject("F. 1:1(0) ack 2").expect(". 2:2(0) ack 2");
    assert_eq!(s.state(), State::TimeWait);
}

#[test]
fn s24_an_ack_beyond_snd_nxt_ends_a_timeout_too() {
    let mut s = Script::established(&plain(), 65535);
    s.write(2000).expect(". 1:1001(1000) ack 1").expect("P. 1001:2001(1000) ack 1");
    s.write_quietly(3000, SendFlags::default()).refuse_all();
    // The interface was down: nothing came back, and what left before is sent again.
    s.conn.on_timer(s.conn.next_timeout().expect("the retransmission timer"));
    s.at(400).flush().expect(". 1:1001(1000) ack 1").nothing();
    s.inject(". 1:1(0) ack 4001");
    assert_eq!((s.conn.marks().acked, s.conn.in_flight()), (Offset(4000), 1000));
    s.expect("P. 4001:5001(1000) ack 1").nothing();
    assert_eq!(s.conn.stats().challenge_acks, 0);
}

#[test]
fn must_18_what_left_after_a_refusal_may_have_left_before_and_measures_nothing() {
    let mut s = refused(5000, false);
    s.flush().at(110).inject(". 1:1(0) ack 5001");
    assert_eq!((s.conn.marks().acked, s.conn.take_rtt_sample()), (Offset(5000), None));
    // So does what left before, when its repetition was refused.
    s.write(1000).at(1000).refuse_all();
    s.inject(". 1:1(0) ack 6001");
    assert_eq!((s.conn.marks().acked, s.conn.take_rtt_sample()), (Offset(6000), None));
}

#[test]
fn rfc5961_an_ack_of_what_was_never_offered_is_challenged() {
    let mut s = refused(8000, false);
    // The device refused this one first: it never saw the next.
    s.inject_quietly(". 1:1(0) ack 5002");
    assert_eq!((s.conn.stats().segments_unacceptable, s.conn.marks().acked), (1, Offset(0)));
    s.inject_quietly(". 1:1(0) ack 5001");
    assert_eq!((s.conn.stats().segments_unacceptable, s.conn.marks().acked), (1, Offset(5000)));
}

/// What the peer and the application do, in any order.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, bool, bool),
    Ack(u64, u16),
    Text(usize),
    Gap,
    Read,
    Wait(u64),
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5000usize, any::<bool>(), any::<bool>()).prop_map(|(len, more, eor)| Step::Write(len, more, eor)),
        4 => (0..6000u64, prop_oneof![Just(0u16), 1..65535u16]).prop_map(|(n, win)| Step::Ack(n, win)),
        2 => (1..1500usize).prop_map(Step::Text),
        1 => Just(Step::Gap),
        1 => Just(Step::Read),
        2 => (0..2000u64).prop_map(Step::Wait),
        1 => Just(Step::Shutdown),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// After every step a batch is proposed and refused: that changes nothing that can be observed, and the next
    /// proposals are the same.
    #[test]
    fn proposing_and_refusing_changes_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let mut s = Script::established(&plain(), 20_000);
        s.limits = TSO;
        let (mut written, mut received) = (0u64, 0u64);
        for step in steps {
            match step {
                Step::Write(len, more, eor) => {
                    if s.conn.write(bytes(written, len), SendFlags { more, eor, ..SendFlags::default() }).is_ok() {
                        written += len as u64;
                    }
                }
                Step::Ack(n, win) => {
                    let marks = s.conn.marks();
                    // What was refused may have arrived.
                    let to = marks.sent.max(s.conn.offered).min(marks.acked + n).0 + 1;
                    s.inject_quietly(&format!(". {}:{}(0) ack {to} win {win}", received + 1, received + 1));
                }
                Step::Text(len) => {
                    let ack = s.conn.marks().acked.0 + 1;
                    let end = received + len as u64;
                    s.inject_quietly(&format!("P. {}:{}({len}) ack {ack} win 9000", received + 1, end + 1));
                    received = end;
                }
                Step::Gap => {
                    let ack = s.conn.marks().acked.0 + 1;
                    let at = received + 3001;
                    s.inject_quietly(&format!("P. {at}:{}(10) ack {ack} win 9000", at + 10));
                }
                Step::Read => {
                    while s.conn.read().is_some() {}
                }
                Step::Wait(n) => {
                    s.now += ms(n);
                    s.conn.on_timer(s.now);
                }
                Step::Shutdown => s.conn.shutdown_write(),
            }
            // Asking starts the clock of a sender that has just got work; that is not what is tested.
            let settle: Vec<Burst> = std::iter::from_fn(|| s.conn.poll_transmit(s.now, &TSO)).collect();
            for burst in &settle {
                s.conn.on_refused(burst);
            }
            let before = observe(&s.conn);
            let first: Vec<Burst> = std::iter::from_fn(|| s.conn.poll_transmit(s.now, &TSO)).collect();
            for burst in &first {
                s.conn.on_refused(burst);
            }
            prop_assert_eq!(observe(&s.conn), before);
            let second: Vec<Burst> = std::iter::from_fn(|| s.conn.poll_transmit(s.now, &TSO)).collect();
            prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
            for burst in &second {
                s.conn.on_sent(burst, s.now);
            }
            s.conn.check_invariants();
        }
    }
}
