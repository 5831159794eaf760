//! What connections and engines count.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use tsonami::{ConnStats, Marks, Nanos, Rate};

use crate::arguments::{code, count, out, room, wait};
use crate::connection::{TsonamiConnection, connection};
use crate::engine::{ENGINES, TsonamiEngine, worker};
use crate::error::{TsonamiError, failed, note};

/// How far a stream has come, in bytes: accepted ≥ sent ≥ acked ≥ reclaimed.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default)]
pub struct TsonamiMarks {
    /// Taken from the application.
    pub accepted: u64,
    /// Handed to the device at least once.
    pub sent: u64,
    /// Acknowledged by the peer.
    pub acked: u64,
    /// Acknowledged, and no longer read by the device.
    pub reclaimed: u64,
}

impl From<Marks> for TsonamiMarks {
    fn from(marks: Marks) -> TsonamiMarks {
        TsonamiMarks {
            accepted: marks.accepted.0,
            sent: marks.sent.0,
            acked: marks.acked.0,
            reclaimed: marks.reclaimed.0,
        }
    }
}

/// What a connection counted, and how it stands. Times are nanoseconds, rates bits per second; what is not known is 0.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default)]
pub struct TsonamiStats {
    /// Payload bytes sent for the first time.
    pub bytes_sent: u64,
    /// Payload bytes acknowledged.
    pub bytes_acked: u64,
    /// Payload bytes sent again.
    pub bytes_retransmitted: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Bursts sent that carry payload.
    pub bursts: u64,
    /// Segments sent, of every kind.
    pub segments_sent: u64,
    /// Segments sent again.
    pub segments_retransmitted: u64,
    /// Segments received.
    pub segments_received: u64,
    /// Segments received with bytes beyond a gap.
    pub segments_out_of_order: u64,
    /// Duplicate ACKs received.
    pub dup_acks: u64,
    /// Recoveries begun by duplicate ACKs, or by what RACK found lost.
    pub fast_recoveries: u64,
    /// Expirations of the retransmission timer.
    pub timeouts: u64,
    /// Recoveries and timeouts that proved needless.
    pub spurious: u64,
    /// Tail loss probes sent.
    pub tail_probes: u64,
    /// Probes of a closed window sent.
    pub window_probes: u64,
    /// Keepalive probes sent.
    pub keepalive_probes: u64,
    /// ACKs received that echo a congestion mark.
    pub ecn_echoes: u64,
    /// Smoothed round-trip time.
    pub srtt: u64,
    /// Its mean deviation.
    pub rttvar: u64,
    /// Smallest round-trip time seen.
    pub min_rtt: u64,
    /// The retransmission timeout now.
    pub rto: u64,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow start threshold, bytes; `UINT64_MAX` while unknown.
    pub ssthresh: u64,
    /// The peer's window, bytes.
    pub send_window: u64,
    /// The window we offer, bytes.
    pub receive_window: u64,
    /// Payload bytes of a full segment.
    pub mss: u64,
    /// Bytes of the largest IP packet that is sent.
    pub path_mtu: u64,
    /// The rate data is paced at.
    pub pacing_rate: u64,
    /// The newest delivery rate that shows what the path can do.
    pub delivery_rate: u64,
    /// Bytes in the send queue that were never sent.
    pub unsent: u64,
    /// What the send queue may hold now, bytes of memory.
    pub send_buffer: u64,
    /// Payload bytes sent by reference that were copied after all, because the device does not take them as they are.
    pub bytes_copied_after_all: u64,
}

impl From<&ConnStats> for TsonamiStats {
    fn from(stats: &ConnStats) -> TsonamiStats {
        TsonamiStats {
            bytes_sent: stats.bytes_sent,
            bytes_acked: stats.bytes_acked,
            bytes_retransmitted: stats.bytes_retransmitted,
            bytes_received: stats.bytes_received,
            bursts: stats.bursts,
            segments_sent: stats.segments_sent,
            segments_retransmitted: stats.segments_retransmitted,
            segments_received: stats.segments_received,
            segments_out_of_order: stats.segments_out_of_order,
            dup_acks: stats.dup_acks,
            fast_recoveries: stats.fast_recoveries,
            timeouts: stats.timeouts,
            spurious: stats.spurious_recoveries + stats.spurious_timeouts,
            tail_probes: stats.tail_probes,
            window_probes: stats.window_probes,
            keepalive_probes: stats.keepalive_probes,
            ecn_echoes: stats.ecn_echoes,
            srtt: stats.srtt.map_or(0, Nanos::as_nanos),
            rttvar: stats.rttvar.as_nanos(),
            min_rtt: stats.min_rtt.map_or(0, Nanos::as_nanos),
            rto: stats.rto.as_nanos(),
            cwnd: stats.cwnd,
            ssthresh: stats.ssthresh,
            send_window: stats.send_window,
            receive_window: stats.receive_window,
            mss: stats.mss.into(),
            path_mtu: stats.path_mtu.into(),
            pacing_rate: stats.pacing_rate.map_or(0, Rate::as_bps),
            delivery_rate: stats.delivery_rate.map_or(0, Rate::as_bps),
            unsent: stats.unsent,
            send_buffer: stats.send_buffer,
            bytes_copied_after_all: stats.bytes_copied_after_all,
        }
    }
}

/// Writes as many of the counts as the caller's version of the structure has.
///
/// # Safety
/// `to` is null or points to `size` bytes.
pub(crate) unsafe fn tell_stats(
    stats: &ConnStats,
    to: *mut TsonamiStats,
    size: usize,
) -> Result<(), TsonamiError> {
    // SAFETY: by the contract.
    let to = unsafe { room(to.cast::<u8>(), size, "statistics")? };
    if !size.is_multiple_of(size_of::<u64>()) || size == 0 {
        return Err(note(TsonamiError::Invalid, "the size of the statistics is sizeof(TsonamiStats)"));
    }
    let told = TsonamiStats::from(stats);
    // SAFETY: numbers without padding between them.
    let bytes: [u8; size_of::<TsonamiStats>()] = unsafe { std::mem::transmute(told) };
    let known = bytes.len().min(size);
    to[..known].write_copy_of_slice(&bytes[..known]);
    // What a later header has and this library does not count.
    to[known..].fill(MaybeUninit::new(0));
    Ok(())
}

/// What the connection counted, as the engine tells within `timeout` nanoseconds. `size`: `sizeof(TsonamiStats)`; later
/// versions of the structure are longer.
///
/// # Safety
/// `stats` is null or points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_stats(
    connection: *const TsonamiConnection,
    timeout: i64,
    stats: *mut TsonamiStats,
    size: usize,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        unsafe { out(stats, "statistics")? };
        let told =
            self::connection(connection)?.with_sends(|half| half.stats(&wait(timeout)).map_err(failed))?;
        // SAFETY: by the contract.
        unsafe { tell_stats(&told, stats, size) }
    })
}

/// Something an engine counts.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct TsonamiCount {
    /// Its name, valid for ever.
    pub name: *const c_char,
    /// How many.
    pub value: u64,
    /// What it counts, in English, valid for ever.
    pub meaning: *const c_char,
}

/// Everything the engine counts, of all workers together, as many counts as `counts` has room for. How many there are: call
/// it again with so much room.
///
/// # Safety
/// `counts` is null or points to memory for `number` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_counts(
    engine: *const TsonamiEngine,
    counts: *mut TsonamiCount,
    number: usize,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { room(counts, number, "counts")? };
        tell_counts(&ENGINES.get(engine)?.every_count(), to)
    })
}

/// What worker `worker` counts, as `tsonami_engine_counts` tells of all.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_engine_counts_of(
    engine: *const TsonamiEngine,
    worker: u32,
    counts: *mut TsonamiCount,
    number: usize,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { room(counts, number, "counts")? };
        let engine = ENGINES.get(engine)?;
        tell_counts(&engine.counts_of(self::worker(&engine, worker)?), to)
    })
}

fn tell_counts(
    told: &[(&'static str, u64, &'static str)],
    to: &mut [MaybeUninit<TsonamiCount>],
) -> Result<usize, TsonamiError> {
    if told.is_empty() {
        return Err(note(TsonamiError::EngineGone, "the engine was shut down"));
    }
    for (to, (name, value, meaning)) in to.iter_mut().zip(told) {
        to.write(TsonamiCount { name: for_ever(name), value: *value, meaning: for_ever(meaning) });
    }
    Ok(told.len())
}

/// A text of ours as C has them. There are as many as there are counts, and they stay.
fn for_ever(text: &'static str) -> *const c_char {
    static TEXTS: Mutex<BTreeMap<&'static str, CString>> = Mutex::new(BTreeMap::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.entry(text).or_insert_with(|| CString::new(text).unwrap_or_default()).as_ptr()
}
