//! Everything goes wrong at random: frames are lost, doubled and damaged, the ring is full, the driver rejects, buffers run
//! out, the device holds on to what it has. Every byte still arrives once and in order, and nothing is left behind.

use proptest::prelude::*;
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Nanos, Payload};

use super::*;
use crate::fake::{Verdict, limits, plain_limits};

/// A small generator of its own: the test's whole course follows from the seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % n
    }
}

/// Makes a side's NIC fail in some way for a while.
fn upset(e: &mut TestEngine, dice: &mut Dice) {
    let nic = e.fake();
    nic.verdict = match dice.roll(8) {
        0 => Verdict::Room(0),
        1 => Verdict::Room(dice.roll(6) as usize),
        2 => Verdict::RejectAbove(1514),
        _ => Verdict::Take,
    };
    nic.references = if dice.roll(6) == 0 { dice.roll(10) as usize } else { usize::MAX };
    nic.tails_free = if dice.roll(6) == 0 { dice.roll(3) as usize } else { usize::MAX };
    nic.hold = dice.roll(4) == 0;
    let complete = dice.roll(50) as usize;
    nic.complete(complete);
}

fn calm(e: &mut TestEngine) {
    let nic = e.fake();
    nic.verdict = Verdict::Take;
    nic.references = usize::MAX;
    nic.tails_free = usize::MAX;
    nic.hold = false;
    let n = nic.in_ring();
    nic.complete(n);
}

fn course(seed: u64) {
    let mut dice = Dice(seed | 1);
    let limits = match dice.roll(4) {
        0 => plain_limits(),
        1 => NicLimits { tso_max_len: 0, ..limits() },
        2 => NicLimits { max_chain_per_segment: 3, max_chain: 6, tx_batch: 5, ..limits() },
        _ => limits(),
    };
    let side = |address: Ipv4Addr, headers: usize| {
        let cfg = config(address);
        let nic = FakeNic::new(limits.clone(), address.octets()[3]).with_headers(headers);
        Engine::new(Checked::new(nic), cfg).expect("the configuration is sound")
    };
    let (small_a, small_b) = (30 + dice.roll(100) as usize, 30 + dice.roll(100) as usize);
    let mut net = Net::with(side(A, small_a), side(B, small_b));
    let cfg = ConnConfig {
        send_buffer: Some(20_000 + dice.roll(200_000) as usize),
        receive_buffer: 20_000 + dice.roll(200_000) as usize,
        no_delay: dice.roll(2) == 0,
        min_rto: Nanos::from_millis(5),
        ..cfg()
    };
    let count = 1 + dice.roll(4) as usize;
    let conns: Vec<_> = (0..count).map(|_| net.connected(&cfg)).collect();

    let loss = dice.roll(40);
    let mut fate = Dice(seed.rotate_left(17) | 1);
    net.filter = Box::new(move |_, _| fate.roll(1000) >= loss);
    let data: Vec<Vec<u8>> =
        (0..2 * count).map(|i| pattern(seed ^ i as u64, 1 + dice.roll(120_000) as usize)).collect();
    let mut at = vec![0; 2 * count];
    let end = net.now + Nanos::from_secs(600);
    let mut quiet = 0u32;
    loop {
        for (i, (a, b)) in conns.iter().enumerate() {
            for (which, id) in [(2 * i, *a), (2 * i + 1, *b)] {
                let bytes = &data[which];
                if at[which] == bytes.len() || dice.roll(3) == 0 {
                    continue;
                }
                let e = if which % 2 == 0 { &mut net.a } else { &mut net.b };
                let n = 1 + dice.roll((bytes.len() - at[which]) as u64) as usize;
                let piece = &bytes[at[which]..at[which] + n];
                let flags = SendFlags {
                    more: dice.roll(2) == 0 && at[which] + n < bytes.len(),
                    eor: dice.roll(4) == 0,
                    ..SendFlags::default()
                };
                at[which] += if dice.roll(2) == 0 {
                    e.send_copy(id, piece, flags).unwrap_or(0)
                } else {
                    let buf = e.buf(piece);
                    e.send(id, buf, flags).map_or(0, |_| n)
                };
                if at[which] == bytes.len() {
                    e.shutdown_write(id);
                }
            }
        }
        if dice.roll(20) == 0 {
            upset(&mut net.a, &mut dice);
            upset(&mut net.b, &mut dice);
        } else if dice.roll(10) == 0 {
            calm(&mut net.a);
            calm(&mut net.b);
        }
        let alive = net.step();
        quiet = if alive { 0 } else { quiet + 1 };
        let whole = conns.iter().enumerate().all(|(i, (a, b))| {
            net.received_b(*b).len() >= data[2 * i].len() && net.received_a(*a).len() >= data[2 * i + 1].len()
        });
        if whole {
            break;
        }
        assert!(net.now < end, "seed {seed}: not done, A {:?}, B {:?}", net.a.remaining(), net.b.remaining());
        assert!(quiet < 1000, "seed {seed}: nothing happens any more, A {:?}", net.a.remaining());
    }
    for (i, (a, b)) in conns.iter().enumerate() {
        assert!(net.received_b(*b) == data[2 * i], "seed {seed}: connection {i}, up");
        assert!(net.received_a(*a) == data[2 * i + 1], "seed {seed}: connection {i}, down");
    }
    calm(&mut net.a);
    calm(&mut net.b);
    net.filter = Box::new(|_, _| true);
    net.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_once_and_in_order_whatever_the_nic_does(seed: u64) {
        course(seed);
    }
}

#[test]
fn a_payload_shared_by_many_sends_is_returned_once_all_are_done() {
    let mut net = Net::new(limits());
    let (a, b) = net.connected(&cfg());
    let buf = net.a.buf(&pattern(1, 1000));
    for _ in 0..100 {
        net.a.send(a, buf.clone(), SendFlags::default()).unwrap();
    }
    assert_eq!(buf.len(), 1000);
    net.run(Nanos::from_secs(5), |n| n.received_b(b).len() == 100_000);
    net.run(Nanos::from_secs(5), |n| n.a.marks(a).is_some_and(|m| m.reclaimed == m.accepted));
    assert_eq!(net.a.fake().live.get(), 1, "ours");
    drop(buf);
    net.finish();
}
