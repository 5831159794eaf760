//! Memory of the application's that it takes away again: as soon as a buffer was reclaimed, nobody reads it any more.

use std::alloc::{self, Layout};
use std::net::{Ipv4Addr, SocketAddr};
use std::ptr::NonNull;

use dpdk::{BufPool, Region};
use engine::nic::Buf;
use engine::nic::dpdk::DpdkNic;
use engine::{Engine, EngineConfig, Secrets, SendRefusal};
use tcp::conn::{ConnConfig, SendFlags, State};
use tcp::{Nanos, Time};

use crate::port::{Ack, Hold, Port, eal};

/// Bytes of a piece of memory, and of each buffer in it.
const LEN: usize = 32_768;
const SIZE: usize = 8_192;
/// Pieces of memory that are sent in each case.
const LOANS: usize = 20;
/// What the longest hold is, in turns.
const LONG: u32 = 600;
/// When the application loses patience with a peer that never acknowledges.
const PATIENCE: u32 = 400;

/// Whole pages that the application has, until it takes them away.
struct Memory {
    at: NonNull<u8>,
    /// Given back to the allocator, for a memory checker to guard it, instead of made unreadable.
    freed: bool,
}

impl Memory {
    const LAYOUT: Layout = match Layout::from_size_align(LEN, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("pages"),
    };

    fn new() -> Memory {
        // SAFETY: the size is not zero.
        let at = NonNull::new(unsafe { alloc::alloc(Memory::LAYOUT) }).expect("memory");
        Memory { at, freed: std::env::var_os("TSONAMI_TEST_FREE").is_some() }
    }

    /// From here on every access is an error: it faults, or the checker that the process runs under says so.
    fn take_away(self) {
        if self.freed {
            // SAFETY: made with this layout, and nobody refers to it: that is what is tested.
            unsafe { alloc::dealloc(self.at.as_ptr(), Memory::LAYOUT) };
        } else {
            // SAFETY: whole pages of ours. They are never given back, so the address is never used again.
            let rc = unsafe { libc::mprotect(self.at.as_ptr().cast(), LEN, libc::PROT_NONE) };
            assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
        }
    }
}

/// Memory that was lent to the engine.
struct Loan {
    memory: Memory,
    region: Region,
    pool: BufPool,
}

fn contents(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Sends `LOANS` pieces of memory; each goes as soon as all of its buffers are home.
struct Lender {
    loans: Vec<Loan>,
    waiting: Vec<Buf>,
    filled: u64,
    taken_away: usize,
}

impl Lender {
    /// Lends another piece of memory, filled with what comes next in the stream.
    fn lend(&mut self, nic: &DpdkNic) {
        let memory = Memory::new();
        let bytes = NonNull::slice_from_raw_parts(memory.at, LEN);
        // SAFETY: it stays until its pool is full, and so nobody has a buffer; pages are the smallest there are.
        let region = unsafe { Region::register(eal(), bytes, 4096) }.expect("registered");
        region.map(nic.port()).expect("mapped");
        let pool = BufPool::over(eal(), &region, SIZE as u32).expect("a pool");
        while let Some(mut buffer) = pool.try_alloc() {
            for byte in &mut buffer.spare_mut()[..SIZE] {
                *byte = contents(self.filled);
                self.filled += 1;
            }
            self.waiting.push(Buf::Pool(buffer.freeze(SIZE)));
        }
        self.loans.push(Loan { memory, region, pool });
    }

    /// Takes away what is home.
    fn take_away(&mut self) {
        for Loan { memory, region, pool } in self.loans.extract_if(.., |loan| loan.pool.is_full()) {
            drop((pool, region));
            memory.take_away();
            self.taken_away += 1;
        }
    }
}

/// Bytes of all of them.
const ALL: u64 = (LOANS * LEN) as u64;

fn play(hold: Hold, ack: Ack) {
    let case = format!("{hold:?}, {ack:?}");
    let secrets = Secrets { isn: [1; 16], ports: [2; 16], flows: [3; 16] };
    let config = EngineConfig::new(Ipv4Addr::new(10, 0, 0, 1), 24, secrets);
    let mut engine = Engine::new(Port::open(hold, ack, contents), config).expect("an engine");
    let mut now = Time::ZERO + Nanos::from_millis(1);
    let peer: SocketAddr = "10.0.0.2:9".parse().expect("an address");
    let options = ConnConfig { send_buffer: Some(1 << 20), ..ConnConfig::default() };
    let id = engine.connect(now, peer, &options).expect("a way");
    let mut lender = Lender { loans: Vec::new(), waiting: Vec::new(), filled: 0, taken_away: 0 };
    let (mut acknowledged_in_device, mut turn) = (0, 0);

    while lender.taken_away < LOANS {
        turn += 1;
        assert!(turn < 100_000, "{case}: {} of {LOANS} came home, {:?}", lender.taken_away, engine.marks(id));
        engine.nic_mut().turn();
        let progress = engine.poll(now);
        while engine.poll_event().is_some() {}
        if engine.state(id) == Some(State::Established) && lender.filled < ALL && lender.waiting.is_empty() {
            lender.lend(engine.nic().ring());
        }
        for buf in std::mem::take(&mut lender.waiting) {
            match engine.send(id, buf, SendFlags::default()) {
                Ok(_) => {}
                Err(refused) if refused.reason == SendRefusal::Full => lender.waiting.push(refused.payload),
                // The connection has ended: what is left goes home unsent.
                Err(_) => {}
            }
        }
        if ack == Ack::Never && turn == PATIENCE {
            // Its handles on the payload go, whatever the device still reads.
            engine.abort(id);
            engine.release(id);
        }
        lender.take_away();

        if let Some(marks) = engine.marks(id) {
            // RECLAIMED is the device's word too, byte for byte.
            let held = engine.nic().lowest_held().unwrap_or(u64::MAX);
            assert!(marks.reclaimed.0 <= held, "{case}: {marks:?}, and byte {held} is in the device");
            let ended = engine.state(id) == Some(State::Closed);
            assert!(marks.acked <= marks.sent && marks.sent <= marks.accepted, "{case}: {marks:?}");
            assert!(marks.reclaimed <= marks.acked || ended, "{case}: {marks:?}");
            acknowledged_in_device = acknowledged_in_device.max(marks.acked.0.saturating_sub(held));
            if marks.acked.0 == ALL && hold == Hold::Until(LONG) && turn < LONG {
                let seen = (lender.taken_away, engine.nic().held() > 0);
                assert_eq!(seen, (0, true), "{case}: nothing is home while the device has it");
            }
        }
        // What the device does is counted in turns: time waits for it.
        now += Nanos::from_micros(20);
        if !progress.is_busy()
            && !engine.nic().is_waiting()
            && let Some(deadline) = engine.next_deadline()
        {
            now = now.max(deadline);
        }
    }
    if ack != Ack::Never {
        assert_eq!(engine.marks(id).expect("it is there").reclaimed.0, ALL, "{case}");
        assert_eq!(engine.counters().copied_bytes, 0, "{case}");
    }
    let early =
        matches!(ack, Ack::Early | Ack::Partly) && hold != Hold::Short && hold != Hold::Repeats(LONG / 3)
            || ack == Ack::Repeats && hold == Hold::Repeats(LONG / 3);
    assert!(!early || acknowledged_in_device > 0, "{case}: acknowledged before the device let go");
    if matches!((hold, ack), (Hold::Until(_), Ack::Early)) {
        assert!(engine.counters().tx_reclaims > 0, "{case}: the port is asked for what is waited for");
    }
    if ack == Ack::Repeats {
        assert!(engine.nic().repeated > 0, "{case}: something was repeated");
    }
    println!(
        "{case}: {turn} turns, {} bytes read by the device, {} of them again; {acknowledged_in_device} bytes of it at most were acknowledged",
        engine.nic().read,
        engine.nic().repeated,
    );
    engine.abort(id);
    engine.poll(now);
    let report = DpdkNic::close([engine.into_nic().into_ring()]);
    assert!(report.all_home(), "{case}: {report}");
}

#[test]
fn s29_nobody_reads_memory_that_was_reclaimed() {
    for hold in [Hold::Short, Hold::Turns(LONG / 3), Hold::Until(LONG), Hold::Repeats(LONG / 3)] {
        for ack in [Ack::Early, Ack::Late, Ack::Partly, Ack::Repeats, Ack::Never] {
            play(hold, ack);
        }
    }
}
