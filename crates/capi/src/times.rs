//! When a send left and when it was acknowledged.

use tsonami::{SendTime, SendTimeKind};

use crate::arguments::{code, out, yes};
use crate::connection::{TsonamiConnection, connection};

/// What became of the last byte of a send.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsonamiSendTimeKind {
    /// The device took it, for the first time.
    Sent = 1,
    /// The peer acknowledged it.
    Acked = 2,
    /// It had its turn, and the device was to take it: before the others.
    Scheduled = 3,
}

/// A time that a send asked for by `TSONAMI_SEND_TIMESTAMP`.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct TsonamiSendTime {
    /// Offset in the stream behind the send's last byte.
    pub end: u64,
    /// Nanoseconds of the engine's clock, which begins anywhere: for differences.
    pub at: u64,
    /// What happened then.
    pub kind: TsonamiSendTimeKind,
}

impl TsonamiSendTime {
    /// The library's time in C; `None` for one that this interface has no word for.
    pub(crate) fn new(time: SendTime) -> Option<TsonamiSendTime> {
        let kind = match time.kind {
            SendTimeKind::Scheduled => TsonamiSendTimeKind::Scheduled,
            SendTimeKind::Sent => TsonamiSendTimeKind::Sent,
            SendTimeKind::Acked => TsonamiSendTimeKind::Acked,
            _ => return None,
        };
        Some(TsonamiSendTime { end: time.end.0, at: time.at.as_nanos(), kind })
    }
}

/// Keeps the times that sends ask for, from now on: call it before the first send with `TSONAMI_SEND_TIMESTAMP`. At most 64
/// such sends may be under way, and a thousand times wait to be taken; more are lost.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_keep_send_times(connection: *const TsonamiConnection) -> i32 {
    code(|| {
        self::connection(connection)?.with_sends(|half| {
            half.keep_send_times();
            Ok(())
        })
    })
}

/// The next time at which the end of a send left for the device or was acknowledged. 1 when there is one, 0 when not.
///
/// # Safety
/// `time` is null or points to memory for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_pop_send_time(
    connection: *const TsonamiConnection,
    time: *mut TsonamiSendTime,
) -> i32 {
    yes(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(time, "time")? };
        self::connection(connection)?.with_sends(|half| {
            while let Some(time) = half.pop_send_time() {
                if let Some(told) = TsonamiSendTime::new(time) {
                    to.write(told);
                    return Ok(true);
                }
            }
            Ok(false)
        })
    })
}
