//! Settings of a connection that is open.

use tsonami::{Keepalive, Linger, Nanos, Rate, Setting};

use crate::arguments::{code, time};
use crate::connection::{TsonamiConnection, connection};
use crate::error::{TsonamiError, note};

/// What can be changed while a connection is open. Everything else is told at its start, by the options.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TsonamiSetting {
    /// 1: small segments leave at once; 0: Nagle's algorithm.
    NoDelay = 1,
    /// 1: short segments wait for more bytes; 0: they leave.
    Cork = 2,
    /// How long what is left at the end may take to be delivered, nanoseconds; -1: as long as the user timeout allows.
    Linger = 3,
    /// How long the peer may leave bytes unacknowledged, nanoseconds.
    UserTimeout = 4,
    /// Memory that may wait to be acknowledged, bytes. It does not grow by itself any more then.
    SendBuffer = 5,
    /// Bytes never sent that stop the writer; -1: none.
    NotsentLowat = 6,
    /// Bits per second, the fastest that payload leaves; -1: as fast as windows allow.
    MaxPacingRate = 7,
}

/// A setting in the library's words. C may pass any number for a setting.
pub(crate) fn setting(which: i32, value: i64) -> Result<Setting, TsonamiError> {
    let invalid = || note(TsonamiError::Invalid, format_args!("{value} is no value of setting {which}"));
    let positive = || u64::try_from(value).map_err(|_| invalid());
    let size = || usize::try_from(value).map_err(|_| invalid());
    let switch = || match value {
        0 | 1 => Ok(value == 1),
        _ => Err(invalid()),
    };
    let none = value == -1;
    Ok(match which {
        w if w == TsonamiSetting::NoDelay as i32 => Setting::NoDelay(switch()?),
        w if w == TsonamiSetting::Cork as i32 => Setting::Cork(switch()?),
        w if w == TsonamiSetting::Linger as i32 && none => Setting::Linger(Linger::Background),
        w if w == TsonamiSetting::Linger as i32 => {
            Setting::Linger(Linger::Bounded(Nanos::from_nanos(positive()?)))
        }
        w if w == TsonamiSetting::UserTimeout as i32 => Setting::UserTimeout(Nanos::from_nanos(positive()?)),
        w if w == TsonamiSetting::SendBuffer as i32 => Setting::SendBuffer(size()?),
        w if w == TsonamiSetting::NotsentLowat as i32 && none => Setting::NotsentLowat(None),
        w if w == TsonamiSetting::NotsentLowat as i32 => Setting::NotsentLowat(Some(size()?)),
        w if w == TsonamiSetting::MaxPacingRate as i32 && none => Setting::MaxPacingRate(None),
        w if w == TsonamiSetting::MaxPacingRate as i32 => {
            Setting::MaxPacingRate(Some(Rate::from_bps(positive()?)))
        }
        _ => return Err(note(TsonamiError::Invalid, format_args!("there is no setting {which}"))),
    })
}

/// Changes a setting, one of `TsonamiSetting`, from here on: what was sent before is under the old one.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_set(
    connection: *const TsonamiConnection,
    setting: i32,
    value: i64,
) -> i32 {
    code(|| {
        let setting = self::setting(setting, value)?;
        self::connection(connection)?.with_sends(|half| {
            half.set(setting);
            Ok(())
        })
    })
}

/// Asks a peer that was silent for `idle` nanoseconds whether it is still there, every `interval` nanoseconds, and gives it up
/// after `probes` without an answer. Without `probes`: never.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_set_keepalive(
    connection: *const TsonamiConnection,
    idle: i64,
    interval: i64,
    probes: u32,
) -> i32 {
    code(|| {
        let keepalive =
            Keepalive { idle: time(idle, "idle time")?, interval: time(interval, "interval")?, probes };
        self::connection(connection)?.with_sends(|half| {
            half.set_keepalive((probes > 0).then_some(keepalive));
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        assert_eq!(setting(TsonamiSetting::NoDelay as i32, 1), Ok(Setting::NoDelay(true)));
        assert_eq!(setting(TsonamiSetting::NotsentLowat as i32, -1), Ok(Setting::NotsentLowat(None)));
        assert_eq!(setting(TsonamiSetting::Linger as i32, -1), Ok(Setting::Linger(Linger::Background)));
        for (which, value) in [(0, 0), (8, 0), (1, 2), (3, -2), (4, -1), (5, -1), (7, -2), (i32::MIN, 0)] {
            assert_eq!(setting(which, value), Err(TsonamiError::Invalid), "{which} {value}");
        }
    }
}
