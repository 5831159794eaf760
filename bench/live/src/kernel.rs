//! The kernel's TCP as a sender, with a congestion controller of its own choice, and as everybody's receiver.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use clap::Args;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};

/// Bytes of each write, as of `tsonami send`.
const WRITE: usize = 128 << 10;

/// Sends zeros by the kernel's TCP until it is killed.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Whom to send to
    peer: SocketAddrV4,
    /// The congestion controller, one of net.ipv4.tcp_available_congestion_control
    #[arg(long)]
    congestion: OsString,
}

pub(crate) fn send(args: &SendArgs) -> Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::TcpCongestion, &args.congestion)?;
    connect(socket.as_raw_fd(), &SockaddrIn::from(args.peer))?;
    let mut stream = TcpStream::from(socket);
    let zeros = vec![0; WRITE];
    loop {
        stream.write_all(&zeros)?;
    }
}

/// Receives by the kernel's TCP, from everybody, until it is killed.
#[derive(Args, Debug)]
pub(crate) struct ReceiveArgs {
    /// Where to listen
    at: SocketAddrV4,
}

/// Prints `listening` when it does.
pub(crate) fn receive(args: &ReceiveArgs) -> Result<()> {
    let listener = TcpListener::bind(args.at)?;
    println!("listening");
    std::io::stdout().flush()?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            loop {
                match stream.read(&mut buffer) {
                    // Senders are killed in the middle of it.
                    Ok(0) => break,
                    Err(error) if error.kind() != ErrorKind::Interrupted => break,
                    _ => {}
                }
            }
        });
    }
    Ok(())
}
