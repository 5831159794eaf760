//! An iteration in halves: what the application does between them leaves with the acknowledgement of what it saw.

use tcp::conn::State;

use super::*;
use crate::fake::limits;

/// One turn of an engine whose application answers between the halves, as `halves` says, or behind a whole iteration. The TCP segments
/// it sent, by what is in them.
fn turn(e: &mut TestEngine, now: Time, halves: bool, app: &mut impl FnMut(&mut TestEngine)) -> Vec<Sent> {
    if halves {
        let received = e.poll_receive(now);
        app(e);
        let _ = e.poll_transmit(received);
    } else {
        let _ = e.poll(now);
        app(e);
    }
    e.sent()
}

/// A connection that is opened, asks, is answered, and closed by who asked. All TCP segments, as "A SYN", "B ACK 64".
fn exchange(halves: bool) -> Vec<String> {
    let mut a = engine(A, limits());
    let mut b = engine(B, limits());
    let mut now = Time::from_nanos(1_000_000_000);
    b.listen(SocketAddr::from((B, PORT)), 10, cfg()).unwrap();
    let id = a.connect(now, SocketAddr::from((B, PORT)), &cfg()).unwrap();
    let mut asks = |e: &mut TestEngine| {
        while let Some((id, event)) = e.poll_event() {
            match event {
                EngineEvent::Conn(Event::Connected) => drop(e.send_copy(id, &[7; 64], SendFlags::default())),
                EngineEvent::Conn(Event::Readable) => {
                    while e.read(id).is_some() {}
                    e.shutdown_write(id);
                }
                _ => {}
            }
        }
    };
    let mut answers = |e: &mut TestEngine| {
        while let Some((id, event)) = e.poll_event() {
            match event {
                EngineEvent::Conn(Event::Readable) => {
                    while e.read(id).is_some() {}
                    let _ = e.send_copy(id, &[8; 32], SendFlags::default());
                }
                EngineEvent::Conn(Event::PeerFinished) => e.shutdown_write(id),
                _ => {}
            }
        }
    };
    let mut segments = Vec::new();
    for _ in 0..100 {
        now += Nanos::from_micros(20);
        for sent in turn(&mut a, now, halves, &mut asks) {
            segments.extend(name("A", &sent));
            deliver(&mut b, &sent);
        }
        for sent in turn(&mut b, now, halves, &mut answers) {
            segments.extend(name("B", &sent));
            deliver(&mut a, &sent);
        }
    }
    assert!(
        a.state(id).is_none_or(|state| state == State::Closed || state == State::TimeWait),
        "{segments:?}"
    );
    segments
}

fn name(from: &str, sent: &Sent) -> Option<String> {
    let tcp = tcp_of(sent)?;
    let length = payload_of(sent).len();
    let flags = [(tcp.syn, " SYN"), (tcp.fin, " FIN"), (tcp.ack, " ACK")];
    let flags: String = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    Some(if length > 0 { format!("{from}{flags} {length}") } else { format!("{from}{flags}") })
}

#[test]
fn in_halves_no_acknowledgement_leaves_alone_that_something_else_could_carry() {
    assert_eq!(
        exchange(true),
        ["A SYN", "B SYN ACK", "A ACK 64", "B ACK 32", "A FIN ACK", "B FIN ACK", "A ACK"],
        "the fewest there can be"
    );
    let whole = exchange(false);
    assert!(whole.len() >= 10, "{whole:?}");
}
