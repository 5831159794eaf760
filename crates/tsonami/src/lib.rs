//! A TCP sender in userspace, over DPDK, to be embedded.
//!
//! There are two forms of the same thing. An [`Engine`] has threads of its own, and gives out connections that any thread or
//! task may use; every call of theirs does what can be done at once (`try_…`), is a future, or blocks, by that future's `wait`:
//!
//! ```no_run
//! use tsonami::{Config, Engine, SendFlags, Wait};
//!
//! let config = Config::new("tap:tsonami0,host=10.77.0.1/24", "10.77.0.2/24".parse()?);
//! let engine = Engine::builder(config).build()?;
//! let mut connection = engine.connect("10.77.0.1:5001".parse()?, None).wait(&Wait::forever())?;
//! connection.send_copy(b"hello", SendFlags::default()).wait(&Wait::forever())?;
//! connection.finish().wait(&Wait::forever())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`LocalEngine`] is one core's worth of TCP: a device, its connections, and a loop that the caller turns by calling
//! [`LocalEngine::poll`]. It belongs to the thread that built it.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use std::time::Duration;
//! use tsonami::{Config, Event, LocalEngine, SendFlags};
//!
//! let config = Config::new("tap:tsonami0,host=10.77.0.1/24", "10.77.0.2/24".parse()?);
//! let mut engine = LocalEngine::builder(config).build_local()?;
//! let peer: SocketAddr = "10.77.0.1:5001".parse()?;
//! let now = engine.now();
//! let connection = engine.connect(peer, None, now)?;
//! 'run: loop {
//!     let now = engine.now();
//!     let progress = engine.poll(now);
//!     while let Some((_, event)) = engine.poll_event() {
//!         match event {
//!             Event::Connected => {
//!                 engine.send_copy(connection, b"hello", SendFlags::default())?;
//!                 engine.shutdown_write(connection);
//!             }
//!             Event::Closed(end) => break 'run end?,
//!             _ => {}
//!         }
//!     }
//!     engine.rest(progress.is_busy());
//! }
//! engine.shutdown(Duration::from_secs(1))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The loop need not be written out where one connection is all: [`LocalEngine::connect_wait`], [`LocalEngine::send_wait`],
//! [`LocalEngine::read_wait`] and their like turn it until something happened, and [`LocalEngine::stream`] makes a
//! connection a [`Read`](std::io::Read) and [`Write`](std::io::Write):
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tsonami::{Config, LocalEngine, SendFlags, Wait};
//! # let config = Config::new("tap:tsonami0,host=10.77.0.1/24", "10.77.0.2/24".parse()?);
//! let mut engine = LocalEngine::builder(config).build_local()?;
//! let connection = engine.connect_wait("10.77.0.1:5001".parse()?, None, &Wait::forever())?;
//! let sent = engine.send_wait(connection, b"hello", SendFlags::default(), &Wait::at_most(Duration::from_secs(5)))?;
//! engine.finish_wait(connection, &Wait::forever())?;
//! # assert_eq!(sent, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Bytes go in by copy ([`SendHalf::send_copy`], [`LocalEngine::send_copy`], which may take a part, `S3`) or by reference
//! ([`SendHalf::send`], [`LocalEngine::send`], all or nothing, `S29`; a refused payload comes back inside the error), piece by
//! piece as each says, in batches, from files and from other connections (`S1`). How far they came is told by [`Marks`]:
//! accepted ≥ sent ≥ acked ≥ reclaimed; and when, by [`SendTime`] (`S33`). `S1` and its like are rows of COMPLIANCE.md, which names
//! the tests of each.
#![deny(unsafe_code)]

// Tests in here and beside share what they see of the library.
#[cfg(test)]
extern crate self as tsonami;

mod addresses;
mod blocking;
mod builder;
mod cancel;
mod config;
mod ecn;
mod error;
mod event;
mod local;
mod mtu_probing;
mod opened;
mod options;
mod payload;
mod send;
mod shutdown;
mod stack;
mod stream;
mod wait;
mod workers;

pub use addresses::{Addresses, ParseAddressesError};
pub use blocking::Wait;
pub use builder::{BuildError, EngineBuilder};
pub use cancel::Cancel;
pub use config::{
    Config, ConfigFileError, HardwareTimes, Hugepages, MemoryConfig, PoolConfig, RingConfig, WorkerConfig,
};
pub use ecn::Ecn;
pub use error::{Error, TrySendError};
pub use event::Event;
pub use local::{DeviceInfo, LocalEngine};
pub use mtu_probing::MtuProbing;
pub use options::{ConnectOptions, Keepalive, UserTimeoutOption};
pub use payload::Payload;
pub use shutdown::ShutdownError;
pub use stream::Stream;
pub use wait::{WaitStrategy, Waiter};
pub use workers::{
    AbortHandle, Accepting, Acked, Batching, CloseHandle, Connecting, Connection, Copying, Engine, Finish,
    Listener, Prepared, Reading, RecvHalf, RequestError, SendFileError, SendFileReason, SendHalf,
    SendWithError, Sending, SendingFile, SpliceError, Splicing,
};

pub use dpdk::{
    BufMut, BufPool, BufPoolConfig, DeviceSpec, Eal, EalConfig, EalError, Errno, HostError,
    KernelOwnsAddress, LogLevel, Needs, ParseDeviceError, PoolError, PortError, PortHandle, PortInfo, Region,
    RegionError, RxOffloads, Slice, TapInUse, ThreadRegistration, TxOffloads,
};
pub use engine::nic::dpdk::OpenError;
pub use engine::nic::{NicLimits, SteeringReport};
pub use engine::{
    ConfigError, ConnId, ConnectError, Counters, FillError, Message, Piece, Progress, Received, SendRefusal,
};
pub use hdrhistogram::Histogram;
pub use ipnet::IpNet;
pub use tcp::conn::cc::ControllerKind;
pub use tcp::conn::{
    ConnConfig, ConnStats, EcnMode, HeldBy, Linger, LossState, SendFlags, Setting, Share, State, TimeShares,
};
pub use tcp::endpoint::{ListenError, ListenerId};
pub use tcp::{DeviceTime, FourTuple, Marks, Nanos, Offset, Rate, SendTime, SendTimeKind, Time};

/// The version of the DPDK this runs with, for example `DPDK 22.11.11`.
pub fn dpdk_version() -> String {
    dpdk::version()
}

#[cfg(doctest)]
mod misuse;

/// The example in README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
