//! What was to be sent by reference and is copied all the same is counted (`S29`), for the core and for its connection.

use tcp::conn::SendFlags;
use tcp::{Event, Nanos};

use super::*;
use crate::fake::{limits, plain_limits};

/// Sends `len` bytes, by reference or by a copy, and returns how many were copied after all.
fn copied(limits: NicLimits, len: usize, by_reference: bool) -> u64 {
    let mut net = Net::new(limits);
    let (a, b) = net.connected(&ConnConfig { no_delay: true, ..cfg() });
    let data = pattern(17, len);
    if by_reference {
        let buf = net.a.buf(&data);
        net.a.send(a, buf, SendFlags::default()).unwrap();
    } else {
        assert_eq!(net.a.send_copy(a, &data, SendFlags::default()), Ok(len));
    }
    net.a.shutdown_write(a);
    net.run(Nanos::from_secs(5), |n| n.has_b(b, EngineEvent::Conn(Event::PeerFinished)));
    assert!(net.received_b(b) == data);
    let (stats, counters) = (net.a.stats(a).unwrap(), net.a.counters());
    assert_eq!(stats.bytes_copied_after_all, counters.copied_after_all, "it is this connection's");
    assert_eq!(counters.tx_retransmitted_bytes, 0, "each byte once");
    let copied = counters.copied_after_all;
    net.finish();
    copied
}

#[test]
fn s29_what_is_copied_after_all_is_counted() {
    let chains_of_two = NicLimits { max_chain: 1, ..limits() };
    for (what, limits, len, by_reference, expected) in [
        ("a capable port", limits(), 100_000, true, 0),
        ("short, behind the header", limits(), 200, true, 200),
        ("a port that takes no chains", plain_limits(), 10_000, true, 10_000),
        ("a port whose chains are too short", chains_of_two, 10_000, true, 10_000),
        ("a copying send, short", limits(), 200, false, 0),
        ("a copying send, of a port that takes no chains", plain_limits(), 4_000, false, 0),
    ] {
        assert_eq!(copied(limits, len, by_reference), expected, "{what}");
    }
}
