//! S50: whatever arrives, nothing panics, nothing leaks, and what goes out in answer is well-formed.
//!
//! Two engines talk; beside every frame of theirs arrive forgeries of it, most with the checksums put right so
//! that they get past the first look.

use std::net::{Ipv4Addr, SocketAddr};

use engine::nic::Checked;
use engine::{ConnId, Engine, EngineConfig, EngineEvent, Secrets};
use sim::{Port, Rng, Scenario, SimNic};
use tcp::conn::{ConnConfig, SendFlags};
use tcp::{Nanos, Time};

fn engine(index: u8, rng: &mut Rng) -> Engine<Port> {
    let nic = Scenario::plain(0).hosts[usize::from(index)].nic.clone();
    let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
    let mut cfg = EngineConfig::new(Ipv4Addr::new(10, 0, 0, 1 + index), 24, secrets);
    cfg.max_connections = 64;
    match Engine::new(Checked::new(SimNic::new(nic, rng.fork())), cfg) {
        Ok(engine) => engine,
        Err(error) => panic!("{error}"),
    }
}

/// The ones'-complement checksum over `bytes`, starting from `sum`.
fn checksum(mut sum: u32, bytes: &[u8]) -> u16 {
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | word.get(1).map_or(0, |&b| u32::from(b));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Puts the checksums of an IPv4 frame right, as far as its lengths allow.
fn mend(frame: &mut [u8]) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let ihl = usize::from(frame[14] & 15) * 4;
    if ihl < 20 || 14 + ihl > frame.len() {
        return;
    }
    frame[24..26].fill(0);
    let sum = checksum(0, &frame[14..14 + ihl]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let (head, l4) = frame.split_at_mut(14 + ihl);
    let said = usize::from(u16::from_be_bytes([head[16], head[17]])).saturating_sub(ihl);
    let length = said.min(l4.len());
    let (at, pseudo) = match head[23] {
        6 => (16, 6 + length as u32 + u32::from(!checksum(0, &head[26..34]))),
        1 => (2, 0),
        _ => return,
    };
    if length >= at + 2 {
        l4[at..at + 2].fill(0);
        let sum = checksum(pseudo, &l4[..length]);
        l4[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A forgery of `frame`.
fn forge(frame: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut forged = frame.to_vec();
    let headers = forged.len().min(74);
    match rng.range(0, 8) {
        // Cut short, or with rubbish behind.
        0 => forged.truncate(rng.range(0, frame.len() as u64) as usize),
        1 => forged.extend((0..rng.range(1, 100)).map(|n| n as u8)),
        // Sequence and acknowledgement numbers near the right ones, and far away.
        2 | 3 if forged.len() >= 54 => {
            let at = rng.pick(&[38, 42]);
            let old = u32::from_be_bytes([forged[at], forged[at + 1], forged[at + 2], forged[at + 3]]);
            let by = rng.pick(&[1, 100, 1_448, 65_535, 1 << 20, 1 << 31]);
            let new = if rng.chance(0.5) { old.wrapping_add(by) } else { old.wrapping_sub(by) };
            forged[at..at + 4].copy_from_slice(&new.to_be_bytes());
            forged[47] ^= rng.pick(&[0, 0, 1, 2, 4, 16]);
        }
        // Other control bits, another header length, another window.
        4 if forged.len() >= 54 => {
            let at = rng.pick(&[46, 47, 48, 49]);
            forged[at] = rng.next() as u8;
        }
        // Rubbish options.
        5 if forged.len() >= 66 => {
            for byte in &mut forged[54..66] {
                *byte = rng.pick(&[0, 1, 2, 3, 4, 5, 8, 10, 34, 255]);
            }
        }
        // An ICMP error about the peer's last segment, or about nothing we ever sent.
        6 if forged.len() >= 54 => {
            let quoted: Vec<u8> = forged[14..].iter().copied().take(rng.pick(&[8, 20, 28, 60])).collect();
            let mut icmp = forged[..34].to_vec();
            icmp[23] = 1;
            icmp[14] = 0x45;
            icmp.extend([rng.pick(&[0, 3, 4, 5, 8, 11, 12]), rng.range(0, 15) as u8, 0, 0, 0, 0]);
            icmp.extend((rng.range(0, 1_600) as u16).to_be_bytes());
            icmp.extend(quoted);
            // Quote it as if the receiver had sent it.
            if icmp.len() >= 62 {
                for k in 0..4 {
                    icmp.swap(54 + k, 58 + k);
                }
            }
            let total = (icmp.len() - 14) as u16;
            icmp[16..18].copy_from_slice(&total.to_be_bytes());
            forged = icmp;
        }
        // Anything anywhere in the headers.
        _ => {
            for _ in 0..rng.range(1, 6) {
                let at = rng.range(12, headers as u64 - 1) as usize;
                forged[at] = rng.next() as u8;
            }
        }
    }
    if rng.chance(0.9) {
        mend(&mut forged);
    }
    forged
}

fn talk(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut engines = [engine(0, &mut rng), engine(1, &mut rng)];
    let server = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 80));
    let short = ConnConfig {
        user_timeout: Nanos::from_secs(5),
        connect_timeout: Nanos::from_secs(5),
        fin_wait_timeout: Nanos::from_secs(5),
        time_wait: Nanos::from_secs(1),
        ..ConnConfig::default()
    };
    let listening = engines[1].listen(server, 8, short.clone());
    assert!(listening.is_ok(), "{listening:?}");
    let mut now = Time::from_nanos(1_000_000);
    let mut open: [Vec<ConnId>; 2] = [Vec::new(), Vec::new()];
    for round in 0..600 {
        if round % 100 == 0 && round < 400 {
            match engines[0].connect(now, server, &short) {
                Ok(id) => open[0].push(id),
                Err(error) => panic!("{error}"),
            }
        }
        for side in 0..2 {
            for _ in 0..4 {
                engines[side].poll(now);
            }
            while let Some((id, event)) = engines[side].poll_event() {
                if let EngineEvent::Accepted(_) = event {
                    open[side].push(id);
                }
            }
            for &id in &open[side] {
                while engines[side].read(id).is_some() {}
                // What is refused is not sent; here nobody minds.
                let _ = engines[side].send_copy(id, &[round as u8; 3_000], SendFlags::default());
                match (round, rng.range(0, 400)) {
                    (_, 0) => engines[side].shutdown_write(id),
                    (_, 1) => engines[side].abort(id),
                    (400, _) => engines[side].release(id),
                    _ => {}
                }
            }
            if round == 400 {
                open[side].clear();
            }
            while let Some(frame) = engines[side].nic_mut().inner_mut().next_wire_frame() {
                for _ in 0..rng.range(0, 2) {
                    let mut forged = forge(&frame, &mut rng);
                    if forged.len() >= 6 {
                        forged[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2 - side as u8]);
                    }
                    engines[1 - side].nic_mut().inner_mut().deliver(forged);
                }
                if rng.chance(0.98) {
                    engines[1 - side].nic_mut().inner_mut().deliver(frame);
                }
            }
        }
        now += Nanos::from_micros(rng.log_range(1, 200_000));
    }
    // Some were accepted late.
    engines.iter_mut().for_each(Engine::close_all);
    // Time passes until every timer has had its turn; the frames that still leave reach nobody.
    for _ in 0..3_000 {
        for engine in &mut engines {
            engine.poll(now);
            while engine.poll_event().is_some() {}
            while engine.nic_mut().inner_mut().next_wire_frame().is_some() {}
        }
        now += Nanos::from_millis(100);
    }
    for engine in engines {
        assert_eq!(engine.connections(), 0, "seed {seed}: {:?} left", engine.remaining());
        let (mut nic, report) = engine.into_nic().into_parts();
        assert_eq!(report.violations, 0, "seed {seed}: {report:?}");
        nic.close();
        assert_eq!(nic.live_buffers(), 0, "seed {seed}");
    }
}

#[test]
fn s50_forged_frames_are_survived() {
    for seed in 0..100 {
        talk(seed);
    }
}

#[test]
fn s50_random_bytes_are_survived() {
    let mut rng = Rng::new(5);
    let mut engine = engine(0, &mut rng);
    for n in 0..200_000_u64 {
        let mut frame: Vec<u8> = (0..rng.range(0, 120)).map(|_| rng.next() as u8).collect();
        if frame.len() >= 34 && rng.chance(0.9) {
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
            frame[12..14].copy_from_slice(&rng.pick(&[[8, 0], [8, 0], [8, 6], [0x86, 0xdd]]));
            frame[14] = rng.pick(&[0x45, 0x45, 0x46, 0x4f]);
            let total = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&total.to_be_bytes());
            frame[20..22].fill(0);
            frame[23] = rng.pick(&[1, 6, 6, 17]);
            frame[26..30].copy_from_slice(&[10, 0, 0, 2]);
            frame[30..34].copy_from_slice(&[10, 0, 0, 1]);
            mend(&mut frame);
        }
        engine.nic_mut().inner_mut().deliver(frame);
        if n % 16 == 0 {
            engine.poll(Time::from_nanos(n * 1_000));
            while engine.nic_mut().inner_mut().next_wire_frame().is_some() {}
        }
    }
    assert_eq!(engine.nic().report().violations, 0, "{:?}", engine.nic().report());
    assert!(engine.nic().inner().counts().rx_frames > 100_000);
}
