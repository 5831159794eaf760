//! Which of many sockets can go on.

use std::io::Result;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};

/// Sockets and their tokens, as the kernel's epoll keeps them; level-triggered.
pub(crate) struct Ready {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// Sockets that one wait names at most.
const BATCH: usize = 256;
/// A wait that watches nothing but the clock ends after this time.
const TURN: Duration = Duration::from_millis(50);

impl Ready {
    pub(crate) fn new() -> Result<Ready> {
        Ok(Ready { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a socket for what it receives. It is forgotten when it is closed.
    pub(crate) fn add(&self, socket: impl AsFd, token: u64) -> Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// Watches a socket for room to send.
    pub(crate) fn add_sender(&self, socket: impl AsFd, token: u64) -> Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::OUT)?)
    }

    /// Watches a socket for what it receives from now on, no longer for room.
    pub(crate) fn turn_to_receive(&self, socket: impl AsFd, token: u64) -> Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?)
    }

    /// The tokens of those that can go on, instead of what was there. It sleeps until there is one or for a short while, or
    /// only looks.
    pub(crate) fn wait(&mut self, sleep: bool, tokens: &mut Vec<u64>) -> Result<()> {
        let turn = if sleep { TURN } else { Duration::ZERO };
        let turn = Timespec { tv_sec: 0, tv_nsec: turn.subsec_nanos().into() };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&turn)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        tokens.clear();
        tokens.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
