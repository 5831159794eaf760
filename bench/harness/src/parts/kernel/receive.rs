//! A receiver that has no use for what it receives.

use std::io::{ErrorKind, Result};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use clap::Args;
use nix::sys::socket::{MsgFlags, recv};

use super::listening;
use super::ready::Ready;
use super::wire::RECEIVER;

/// How the receiver reads.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ReceiveArgs {
    /// Have the receiver copy what arrives, instead of discarding it in the kernel
    #[arg(long)]
    pub(super) copy: bool,
}

/// Bytes of a read that copies: they stay in a core's cache.
const COPY: usize = 128 << 10;
/// Bytes of a read that discards.
const DISCARD: usize = 1 << 20;

/// Receives from everybody, until it is killed.
pub(super) fn run(args: &ReceiveArgs) -> Result<()> {
    let (size, flags) = if args.copy { (COPY, MsgFlags::empty()) } else { (DISCARD, MsgFlags::MSG_TRUNC) };
    let mut buffer = vec![0; size];
    let listener = TcpListener::bind(RECEIVER)?;
    listening()?;
    // The first alone is read by calls that wait, as a receiver of one connection would.
    let (first, _) = listener.accept()?;
    listener.set_nonblocking(true)?;
    let mut ready = Ready::new()?;
    ready.add(&listener, LISTENER)?;
    let mut open: Vec<Option<TcpStream>> = Vec::new();
    loop {
        match listener.accept() {
            Ok((second, _)) => {
                open.push(Some(first));
                open.push(Some(second));
                break;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if read(&first, &mut buffer, flags)? == Read::End {
            return Ok(());
        }
    }
    for (n, stream) in open.iter().flatten().enumerate() {
        stream.set_nonblocking(true)?;
        ready.add(stream, n as u64)?;
    }
    let mut tokens = Vec::new();
    loop {
        ready.wait(true, &mut tokens)?;
        for &token in &tokens {
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    ready.add(&stream, open.len() as u64)?;
                    open.push(Some(stream));
                }
            } else if let Some(place) = open.get_mut(token as usize)
                && let Some(stream) = place
                && read(stream, &mut buffer, flags)? == Read::End
            {
                *place = None;
            }
        }
    }
}

/// The listener's token; streams have their index.
const LISTENER: u64 = u64::MAX;

#[derive(PartialEq, Eq)]
enum Read {
    More,
    End,
}

fn read(stream: &TcpStream, buffer: &mut [u8], flags: MsgFlags) -> Result<Read> {
    match recv(stream.as_raw_fd(), buffer, flags) {
        Ok(0) => Ok(Read::End),
        Ok(_) => Ok(Read::More),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(Read::More),
        // Senders end in the middle of it.
        Err(nix::Error::ECONNRESET) => Ok(Read::End),
        Err(error) => Err(error.into()),
    }
}
