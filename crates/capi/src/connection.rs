//! A connection of an engine on threads of its own: sending, and its end.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tsonami::{AbortHandle, Connection, Offset, Payload, Piece, RecvHalf, SendFlags, SendHalf};

use crate::arguments::{bytes, code, count, flags, out, room, slice, tell, wait, yes};
use crate::error::{TsonamiError, failed, note};
use crate::memory::{PAYLOADS, TsonamiPayload, tell_payload};
use crate::names::{Kind, Table, alone};
use crate::stats::TsonamiMarks;

/// A connection. One thread at a time may send on it, and one at a time receive; these may be two. A call that meets
/// another thread in the same half fails with `TSONAMI_ERROR_BUSY`. Any thread may abort it, whatever others do with it.
pub struct TsonamiConnection(());

/// What a handle stands for.
pub(crate) struct Conn {
    sends: Mutex<Sends>,
    pub(crate) receives: Mutex<Receives>,
    abort: AbortHandle,
    local: SocketAddr,
    peer: SocketAddr,
}

/// The half that sends.
struct Sends {
    half: SendHalf,
    /// What only waits for the word.
    prepared: Option<(Payload, SendFlags)>,
}

impl Sends {
    /// The half, unless a send is prepared.
    fn free(&mut self) -> Result<&mut SendHalf, TsonamiError> {
        match self.prepared {
            None => Ok(&mut self.half),
            Some(_) => Err(note(TsonamiError::Busy, "a send is prepared: fire it, or take it back")),
        }
    }
}

/// The half that receives.
pub(crate) struct Receives {
    pub(crate) half: RecvHalf,
    /// What a read buffer was too small for.
    pub(crate) rest: Option<Payload>,
}

static CONNECTIONS: Table<Arc<Conn>, TsonamiConnection> = Table::new(Kind::Connection);

/// Gives a connection a handle.
pub(crate) fn tell_connection(
    connection: Connection,
    to: &mut MaybeUninit<*mut TsonamiConnection>,
) -> Result<(), TsonamiError> {
    let (local, peer) = (connection.local_addr(), connection.peer_addr());
    let abort = connection.abort_handle();
    let (sends, receives) = connection.into_split();
    let sends = Mutex::new(Sends { half: sends, prepared: None });
    let receives = Mutex::new(Receives { half: receives, rest: None });
    let conn = Conn { sends, receives, abort, local, peer };
    to.write(CONNECTIONS.insert(Arc::new(conn))?);
    Ok(())
}

/// The connection of this handle.
pub(crate) fn connection(name: *const TsonamiConnection) -> Result<Arc<Conn>, TsonamiError> {
    CONNECTIONS.get(name)
}

impl Conn {
    fn sends(&self) -> Result<MutexGuard<'_, Sends>, TsonamiError> {
        alone(&self.sends, "the connection's sending half")
    }

    pub(crate) fn receives(&self) -> Result<MutexGuard<'_, Receives>, TsonamiError> {
        alone(&self.receives, "the connection's receiving half")
    }

    /// Does something with the half that sends.
    pub(crate) fn with_sends<R>(
        &self,
        using: impl FnOnce(&mut SendHalf) -> Result<R, TsonamiError>,
    ) -> Result<R, TsonamiError> {
        using(&mut self.sends()?.half)
    }

    /// Sends, or ends the direction: not while a send is prepared, whose room and whose place in the stream that would take.
    pub(crate) fn sending<R>(
        &self,
        using: impl FnOnce(&mut SendHalf) -> Result<R, TsonamiError>,
    ) -> Result<R, TsonamiError> {
        using(self.sends()?.free()?)
    }
}

/// Our address, such as `10.77.0.2:49152`, in `text`, which has room for `room` bytes, NUL included; cut off when that is too
/// little. How long it is without NUL: at most 50 bytes.
///
/// # Safety
/// `text` is null or points to `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_local(
    connection: *const TsonamiConnection,
    text: *mut c_char,
    room: usize,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { self::room(text.cast::<u8>(), room, "text")? };
        Ok(tell(&self::connection(connection)?.local.to_string(), to))
    })
}

/// The peer's address, as `tsonami_connection_local`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_peer(
    connection: *const TsonamiConnection,
    text: *mut c_char,
    room: usize,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let to = unsafe { self::room(text.cast::<u8>(), room, "text")? };
        Ok(tell(&self::connection(connection)?.peer.to_string(), to))
    })
}

/// Sends payload without a copy: all of it or nothing. Waits for room for `timeout` nanoseconds at most: 0 not at all,
/// `TSONAMI_FOREVER` until there is. `flags`: `TSONAMI_SEND_MORE`, `TSONAMI_SEND_EOR`. `offset`, unless it is null, gets the
/// offset of its first byte in the stream. The connection keeps the bytes as long as it needs them; the handle stays the
/// caller's, to send again elsewhere or to free.
///
/// # Safety
/// `offset` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_send(
    connection: *const TsonamiConnection,
    payload: *const TsonamiPayload,
    flags: u32,
    timeout: i64,
    offset: *mut u64,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { offset.cast::<MaybeUninit<u64>>().as_mut() };
        let (payload, flags) = (PAYLOADS.get(payload)?, self::flags(flags)?);
        let at = self::connection(connection)?.sending(|half| {
            let sent = match half.try_send(payload, flags) {
                Err(refused) if timeout != 0 && refused.reason == tsonami::Error::Full => {
                    half.send(refused.payload, flags).wait(&wait(timeout))
                }
                done => done,
            };
            sent.map_err(|refused| failed(refused.reason))
        })?;
        if let Some(to) = to {
            to.write(at.0);
        }
        Ok(())
    })
}

/// Copies bytes and sends them. Waits for room for `timeout` nanoseconds at most: 0 takes what there is room for now,
/// `TSONAMI_FOREVER` waits until all are taken. How many were taken, or an error when none.
///
/// # Safety
/// `bytes` is null or points to `length` bytes that do not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_send_copy(
    connection: *const TsonamiConnection,
    bytes: *const c_void,
    length: usize,
    flags: u32,
    timeout: i64,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let bytes = unsafe { self::bytes(bytes, length)? };
        let flags = self::flags(flags)?;
        self::connection(connection)?.sending(|half| {
            // What is taken at once needs no waiting for.
            let taken = match half.try_send_copy(bytes, flags) {
                Err(tsonami::Error::Full | tsonami::Error::PoolExhausted) if timeout != 0 => 0,
                done => done.map_err(failed)?,
            };
            if taken == bytes.len() || timeout == 0 {
                return Ok(taken);
            }
            match half.send_copy(&bytes[taken..], flags).wait(&wait(timeout)) {
                Ok(more) => Ok(taken + more),
                Err(_) if taken > 0 => Ok(taken),
                Err(error) => Err(failed(error)),
            }
        })
    })
}

/// One piece of a vectored send.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct TsonamiPiece {
    /// Payload to be referred to, whole; null for a piece that is copied.
    pub payload: *const TsonamiPayload,
    /// Without payload: the bytes to be copied.
    pub bytes: *const c_void,
    /// How many.
    pub length: usize,
}

impl TsonamiPiece {
    const NOTHING: TsonamiPiece =
        TsonamiPiece { payload: std::ptr::null(), bytes: std::ptr::null(), length: 0 };

    /// Sends pieces by `send`, and takes out of them what that took.
    ///
    /// # Safety
    /// `pieces` is null or points to `number` pieces, the bytes of each of which are null or `length` bytes long, and nobody
    /// else uses any of it meanwhile.
    pub(crate) unsafe fn send(
        pieces: *mut TsonamiPiece,
        number: usize,
        send: impl FnOnce(&mut [Piece<'_, Payload>]) -> Result<usize, TsonamiError>,
    ) -> Result<usize, TsonamiError> {
        // SAFETY: by the contract.
        let given = unsafe { slice(pieces.cast_const(), number, "pieces")? };
        let mut known = Vec::with_capacity(given.len());
        for piece in given {
            known.push(match piece.payload.is_null() {
                // SAFETY: by the contract.
                true => Piece::Copy(unsafe { bytes(piece.bytes, piece.length)? }),
                false => Piece::Reference(PAYLOADS.get(piece.payload)?),
            });
        }
        let taken = send(&mut known)?;
        for (at, left) in known.iter().enumerate() {
            let left = match left {
                Piece::Copy([]) => TsonamiPiece::NOTHING,
                Piece::Copy(left) => {
                    TsonamiPiece { bytes: left.as_ptr().cast(), length: left.len(), ..TsonamiPiece::NOTHING }
                }
                // Taken whole or not at all.
                Piece::Reference(_) => continue,
            };
            // SAFETY: one of the pieces, which nobody else uses, by the contract.
            unsafe { pieces.add(at).write(left) };
        }
        Ok(taken)
    }
}

/// Sends pieces in order, as one send, copying those without payload: a header copied and a body referred to leave in one
/// burst. How many bytes were taken, or an error when none. What was taken is taken out of `pieces` (a piece that is gone has
/// no payload and no length), so the same array may be passed again for the rest. It does not wait.
///
/// # Safety
/// `pieces` is null or points to `number` pieces, the bytes of each of which are null or `length` bytes long, and nobody else
/// uses any of it during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_send_pieces(
    connection: *const TsonamiConnection,
    pieces: *mut TsonamiPiece,
    number: usize,
    flags: u32,
) -> isize {
    count(|| {
        let flags = self::flags(flags)?;
        let connection = self::connection(connection)?;
        let send = |known: &mut [Piece<'_, Payload>]| {
            connection.sending(|half| half.try_send_pieces(known, flags).map_err(failed))
        };
        // SAFETY: by the contract.
        unsafe { TsonamiPiece::send(pieces, number, send) }
    })
}

/// Sends payloads in order, in one go where there is room, waiting for it `timeout` nanoseconds at most: 0 takes those there is
/// room for now, `TSONAMI_FOREVER` waits until all are taken. `flags` are those of the last of them all. How many payloads were
/// taken, the first ones, or an error when none. The handles stay the caller's.
///
/// # Safety
/// `payloads` is null or points to `number` handles that do not change during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_send_batch(
    connection: *const TsonamiConnection,
    payloads: *const *const TsonamiPayload,
    number: usize,
    flags: u32,
    timeout: i64,
) -> isize {
    count(|| {
        // SAFETY: by the contract.
        let names = unsafe { slice(payloads, number, "payloads")? };
        let flags = self::flags(flags)?;
        let mut known = names.iter().map(|name| PAYLOADS.get(*name)).collect::<Result<Vec<_>, _>>()?;
        self::connection(connection)?.sending(|half| {
            let sent = match timeout {
                0 => half.try_send_batch(&mut known, flags),
                _ => half.send_batch(&mut known, flags).wait(&wait(timeout)),
            };
            sent.map_err(failed)
        })
    })
}

/// Makes a send ready for `tsonami_connection_fire`: the payload is there and there is room for it, so that firing only gives it
/// away. It does not wait; `TSONAMI_ERROR_WOULD_BLOCK` when there is no room. `flags` as in `tsonami_connection_send`; the handle
/// stays the caller's. Until it is fired or taken back by `tsonami_connection_unprepare`, nothing else is sent on the
/// connection and its direction is not ended: that is `TSONAMI_ERROR_BUSY`. Closing the connection sends nothing.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_prepare(
    connection: *const TsonamiConnection,
    payload: *const TsonamiPayload,
    flags: u32,
) -> i32 {
    code(|| {
        let (payload, flags) = (PAYLOADS.get(payload)?, self::flags(flags)?);
        let connection = self::connection(connection)?;
        let mut sends = connection.sends()?;
        let payload = match sends.free()?.prepare(payload, flags) {
            // There is room, and it stays: what was granted is never taken back.
            Ok(prepared) => prepared.cancel(),
            Err(refused) => return Err(failed(refused.reason)),
        };
        sends.prepared = Some((payload, flags));
        Ok(())
    })
}

/// Sends what was prepared. `offset`, unless it is null, gets the offset of its first byte in the stream. The only things that
/// can be wrong are that nothing is prepared, which is `TSONAMI_ERROR_INVALID`, and that the connection has ended since.
///
/// # Safety
/// `offset` is null or points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_fire(
    connection: *const TsonamiConnection,
    offset: *mut u64,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { offset.cast::<MaybeUninit<u64>>().as_mut() };
        let connection = self::connection(connection)?;
        let mut sends = connection.sends()?;
        let (payload, flags) = sends.prepared.take().ok_or_else(nothing_prepared)?;
        let at = match sends.half.prepare(payload, flags) {
            Ok(prepared) => prepared.fire(),
            Err(refused) => return Err(failed(refused.reason)),
        };
        if let Some(to) = to {
            to.write(at.0);
        }
        Ok(())
    })
}

/// Takes back what was prepared. Nothing is sent.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_unprepare(connection: *const TsonamiConnection) -> i32 {
    code(|| {
        let taken = self::connection(connection)?.sends()?.prepared.take();
        taken.map(drop).ok_or_else(nothing_prepared)
    })
}

fn nothing_prepared() -> TsonamiError {
    note(TsonamiError::Invalid, "no send is prepared")
}

/// Lets out what is held back, by cork, by `TSONAMI_SEND_MORE` or by Nagle's algorithm. What is not held back needs no flush.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_flush(connection: *const TsonamiConnection) -> i32 {
    code(|| self::connection(connection)?.with_sends(|half| half.flush().map_err(failed)))
}

/// How far the stream has come. What was sent, acknowledged and reclaimed is as of the last ACK.
///
/// # Safety
/// `marks` is null or points to memory for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_marks(
    connection: *const TsonamiConnection,
    marks: *mut TsonamiMarks,
) -> i32 {
    code(|| {
        // SAFETY: by the contract.
        let to = unsafe { out(marks, "marks")? };
        to.write(self::connection(connection)?.with_sends(|half| Ok(half.marks().into()))?);
        Ok(())
    })
}

/// Bytes that may be sent now.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_capacity(connection: *const TsonamiConnection) -> isize {
    count(|| self::connection(connection)?.with_sends(|half| Ok(half.capacity())))
}

/// Waits until the peer acknowledged everything before `offset`, or all that was accepted if that is less: `timeout`
/// nanoseconds at most. Other threads may send meanwhile.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_wait_acked(
    connection: *const TsonamiConnection,
    offset: u64,
    timeout: i64,
) -> i32 {
    code(|| {
        let acked = self::connection(connection)?.with_sends(|half| Ok(half.acked(Offset(offset))))?;
        acked.wait(&wait(timeout)).map_err(failed)
    })
}

/// From now on payload comes back by `tsonami_connection_pop_reclaimed` when it is acknowledged and no device reads it any
/// more, that of copying sends too. Without this it goes home to its pool by itself.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_keep_reclaimed(connection: *const TsonamiConnection) -> i32 {
    code(|| {
        self::connection(connection)?.with_sends(|half| {
            half.keep_reclaimed();
            Ok(())
        })
    })
}

/// The next payload that is acknowledged and that no device reads any more: a handle of its own, to be freed, and, unless
/// `offset` is null, its offset in the stream. 1 when there is one, 0 when not.
///
/// # Safety
/// `payload` is null or points to memory for a handle, `offset` is null or to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tsonami_connection_pop_reclaimed(
    connection: *const TsonamiConnection,
    payload: *mut *mut TsonamiPayload,
    offset: *mut u64,
) -> i32 {
    yes(|| {
        // SAFETY: by the contract.
        let (to, at) = unsafe { (out(payload, "payload")?, offset.cast::<MaybeUninit<u64>>().as_mut()) };
        let popped = self::connection(connection)?.with_sends(|half| Ok(half.pop_reclaimed()))?;
        let Some((offset, reclaimed)) = popped else { return Ok(false) };
        tell_payload(reclaimed, to)?;
        if let Some(at) = at {
            at.write(offset.0);
        }
        Ok(true)
    })
}

/// Ends our direction behind what was sent: the peer reads an end of file. Receiving goes on.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_shutdown_write(connection: *const TsonamiConnection) -> i32 {
    code(|| {
        self::connection(connection)?.sending(|half| {
            drop(half.finish());
            Ok(())
        })
    })
}

/// Ends our direction behind what was sent, and waits until the peer acknowledged all of it, `timeout` nanoseconds at most.
/// The direction ends however the wait does.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_finish(connection: *const TsonamiConnection, timeout: i64) -> i32 {
    code(|| {
        let finish = self::connection(connection)?.sending(|half| Ok(half.finish()))?;
        finish.wait(&wait(timeout)).map_err(failed)
    })
}

/// Resets the connection, whatever other threads do with it; what the peer has not acknowledged is lost. It takes nothing to
/// send from here on. Threads that wait on it, in whatever call, are told in the engine's next turn: by
/// `TSONAMI_ERROR_ABORTED`, or by how much was done if that is not nothing. The handle is still to be given up by
/// `tsonami_connection_close`.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_abort(connection: *const TsonamiConnection) -> i32 {
    code(|| {
        self::connection(connection)?.abort.abort();
        Ok(())
    })
}

/// Gives the handle up. What was sent is still delivered, then the connection ends as a kernel's socket would.
/// `TSONAMI_ERROR_BUSY`, and nothing closed, while another thread uses it: abort it first. One that was aborted is given up
/// whatever other threads do.
#[unsafe(no_mangle)]
pub extern "C" fn tsonami_connection_close(connection: *mut TsonamiConnection) -> i32 {
    code(|| {
        let unused = |connection: &Arc<Conn>| {
            if connection.abort.is_aborted() {
                return Ok(());
            }
            // What a defect left behind may be given up.
            for busy in [connection.sends().err(), connection.receives().err()].into_iter().flatten() {
                if busy == TsonamiError::Busy {
                    return Err(busy);
                }
            }
            Ok(())
        };
        CONNECTIONS.take_if(connection, unused).map(drop)
    })
}
