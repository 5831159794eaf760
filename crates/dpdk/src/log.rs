//! Where DPDK's messages go: to a writer of the caller's, never to stdout.
//!
//! DPDK writes its log to a C stream. The stream made here ends in a Rust writer, and remembers the last few
//! lines, because DPDK's functions return a bare number and say the reason only in the log.

use core::ffi::{c_char, c_void};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// How much DPDK says.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is odd.
    Warning,
    /// And what matters.
    #[default]
    Notice,
    /// And what happens.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    pub(crate) fn raw(self) -> u32 {
        match self {
            LogLevel::Error => dpdk_sys::RTE_LOG_ERR,
            LogLevel::Warning => dpdk_sys::RTE_LOG_WARNING,
            LogLevel::Notice => dpdk_sys::RTE_LOG_NOTICE,
            LogLevel::Info => dpdk_sys::RTE_LOG_INFO,
            LogLevel::Debug => dpdk_sys::RTE_LOG_DEBUG,
        }
    }
}

/// Lines kept for error messages.
const TAIL_LINES: usize = 6;

struct Sink {
    writer: Box<dyn Write + Send>,
    line: Vec<u8>,
    tail: VecDeque<String>,
}

static SINK: OnceLock<Mutex<Sink>> = OnceLock::new();

fn sink() -> Option<MutexGuard<'static, Sink>> {
    // A writer that panicked has lost at most a line.
    Some(SINK.get()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sends everything DPDK logs from now on to `writer`. Once per process; false when it was done before or no
/// stream could be made.
pub(crate) fn redirect(writer: Box<dyn Write + Send>) -> bool {
    if SINK.set(Mutex::new(Sink { writer, line: Vec::new(), tail: VecDeque::new() })).is_err() {
        return false;
    }
    // SAFETY: the callback ignores its cookie and stays valid for ever. The stream is never closed, because DPDK
    // may log until the process ends.
    unsafe {
        let stream = dpdk_sys::shim_stream(core::ptr::null_mut(), Some(on_write));
        !stream.is_null() && dpdk_sys::rte_openlog_stream(stream) == 0
    }
}

unsafe extern "C" fn on_write(_cookie: *mut c_void, bytes: *const c_char, length: usize) {
    if bytes.is_null() || length == 0 {
        return;
    }
    // SAFETY: the stream passes `length` readable bytes, valid during the call.
    let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), length) };
    let Some(mut sink) = sink() else { return };
    // There is nobody to tell that the log cannot be written.
    let _ = sink.writer.write_all(bytes).and_then(|()| sink.writer.flush());
    for &b in bytes {
        if b != b'\n' {
            sink.line.push(b);
            continue;
        }
        let line = String::from_utf8_lossy(&sink.line).trim_end().to_owned();
        sink.line.clear();
        if !line.is_empty() {
            if sink.tail.len() == TAIL_LINES {
                sink.tail.pop_front();
            }
            sink.tail.push_back(line);
        }
    }
}

/// Forgets the remembered lines, so that the next [`tail`] is about what happens now.
pub(crate) fn mark() {
    if let Some(mut sink) = sink() {
        sink.tail.clear();
    }
}

/// What DPDK said since the last [`mark`], at most a few lines, for an error message. Begins with a line break
/// unless empty.
pub(crate) fn tail() -> String {
    let Some(sink) = sink() else { return String::new() };
    sink.tail.iter().map(|l| format!("\n  {l}")).collect()
}
