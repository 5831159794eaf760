//! How long a send takes from the application's call to the first frame at the device: through the ring, past the bell, out of the
//! engine. In a network namespace, as it makes a TAP; the frames' times are the kernel's, of when each came in there.
//!
//!     cargo build --release -p tsonami --example latency && sudo unshare -n target/release/examples/latency park [ROUNDS]
//!
//! The word is the worker's wait strategy: `park`, `pause` or `spin`.

use std::error::Error;
use std::io::{IoSliceMut, Read};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::cmsg_space;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt,
    socket,
};
use nix::sys::time::TimeSpec;
use tsonami::{Config, Engine, Payload, SendFlags, Wait, WaitStrategy};

/// Between two sends, so that the worker has gone to sleep.
const PAUSE: Duration = Duration::from_millis(10);
/// What a frame of ours ends with, before the number of its round.
const MARK: [u8; 8] = *b"tsonami!";

fn main() -> Result<(), Box<dyn Error>> {
    let strategy = match std::env::args().nth(1).as_deref() {
        Some("park") => WaitStrategy::Park,
        Some("pause") => WaitStrategy::Pause,
        Some("spin") => WaitStrategy::Spin,
        _ => return Err("usage: latency park|pause|spin [ROUNDS]".into()),
    };
    let rounds: u64 = std::env::args().nth(2).map_or(Ok(1000), |text| text.parse())?;
    let mut config = Config::new("tap:ts0,host=10.77.0.1/24", "10.77.0.2/24".parse()?);
    config.wait = strategy;
    config.connection.no_delay = true;
    let engine = Engine::builder(config).build()?;
    let listener = TcpListener::bind("10.77.0.1:5001")?;
    let peer =
        thread::spawn(move || listener.accept().and_then(|(mut peer, _)| peer.read_to_end(&mut Vec::new())));
    let mut connection = engine.connect("10.77.0.1:5001".parse()?, None).wait(&Wait::forever())?;
    let all = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), SockProtocol::EthAll)?;
    setsockopt(&all, ReceiveTimestampns, &true)?;
    let frames = thread::spawn(move || arrivals(&all, rounds));

    let pool = engine.make_pool(64, 64)?;
    let mut begun = Vec::new();
    let before = woken(&engine);
    for round in 0..rounds {
        thread::sleep(PAUSE);
        let mut buffer = pool.try_alloc().ok_or("the pool is empty")?;
        buffer.spare_mut()[..8].copy_from_slice(&MARK);
        buffer.spare_mut()[8..16].copy_from_slice(&round.to_be_bytes());
        let payload = Payload::from(buffer.freeze(16));
        begun.push(SystemTime::now().duration_since(UNIX_EPOCH)?);
        connection.try_send(payload, SendFlags::default())?;
    }
    let arrived = frames.join().map_err(|_| "the thread that watches frames ended")??;
    // The question itself wakes it too.
    let woken = woken(&engine) - before;
    let mut took: Vec<Duration> =
        begun.iter().zip(arrived).map(|(begun, at)| at.saturating_sub(*begun)).collect();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{strategy:?}: median {:?}, 90 % {:?}, 99 % {:?}, least {:?}, most {:?} of {rounds}; system calls to wake it: {woken}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.0),
        at(1.0),
    );
    connection.finish().wait(&Wait::forever())?;
    drop(connection);
    peer.join().map_err(|_| "the peer ended")??;
    engine.shutdown(Duration::from_secs(10))?;
    Ok(())
}

fn woken(engine: &Engine) -> u64 {
    engine.every_count().into_iter().find(|(name, ..)| *name == "worker_woken").map_or(0, |(_, n, _)| n)
}

/// When the first frame with the bytes of each round came into the kernel.
fn arrivals(all: &OwnedFd, rounds: u64) -> Result<Vec<Duration>, nix::Error> {
    let mut times = Vec::new();
    let mut frame = [0; 2048];
    while (times.len() as u64) < rounds {
        let mut control = cmsg_space!(TimeSpec);
        let mut pieces = [IoSliceMut::new(&mut frame)];
        let message = recvmsg::<()>(all.as_raw_fd(), &mut pieces, Some(&mut control), MsgFlags::empty())?;
        let time = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(time) => Some(time),
            _ => None,
        });
        let bytes = message.bytes;
        let Some(end) = bytes.checked_sub(16) else { continue };
        let (mark, round) = frame[end..bytes].split_at(8);
        if let Some(time) = time
            && mark == MARK
            && let Ok(round) = round.try_into().map(u64::from_be_bytes)
        {
            // Where the worker had no turn for long, one frame has the bytes of several rounds.
            let time = Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32);
            times.resize(times.len().max(round as usize + 1), time);
        }
    }
    Ok(times)
}
