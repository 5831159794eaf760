//! The receiving end, the same for frames without TCP and for our engine's: a port whose driver copies each frame into a buffer of
//! 64 KiB. What is in it is let go of at once; with TCP, after it was received and acknowledged.

use std::io::{Error, Read as _, Result};
use std::net::Ipv4Addr;
use std::thread::JoinHandle;

use clap::Args;
use dpdk::{DeviceSpec, cycles};
use engine::nic::Nic as _;
use engine::nic::dpdk::DpdkNic;
use engine::{Engine, EngineConfig, EngineEvent};
use tcp::conn::ConnConfig;
use tcp::{Event, Payload as _, Time};

use super::{PORT, SINK, open};
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};
use crate::parts::Setting;
use crate::parts::ours::sender::secrets;

/// The receiving end of 'vhost-blast' and 'vhost-bulk', which start it; runs until its standard input ends
#[derive(Args, Debug)]
pub(crate) struct SinkArgs {
    /// The socket to make
    #[arg(long)]
    socket: String,
    /// Receive connections, not just frames
    #[arg(long)]
    tcp: bool,
    /// Normal pages instead of hugepages
    #[arg(long)]
    no_huge: bool,
}

/// What arrived.
#[derive(Default)]
struct Arrived {
    frames: u64,
    bytes: u64,
    /// Cycles of turns in which something did, and between the first and the last of them.
    busy: u64,
    span: u64,
}

pub(crate) fn run(setting: &Setting, args: &SinkArgs) -> std::result::Result<Line, Failure> {
    let device = DeviceSpec::Vhost { socket: args.socket.clone() };
    let (_eal, nic) = open(device, args.no_huge)?;
    let input = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    pin(setting.receiver_cpu)?;
    let arrived = if args.tcp { connections(nic, &input)? } else { frames(nic, &input) };
    Ok(Line::new(Medium::VhostUser)
        .figure("frames", arrived.frames as f64, Unit::Count)
        .figure("received", arrived.bytes as f64, Unit::Bytes)
        .figure("busy", arrived.busy as f64 / arrived.span.max(1) as f64 * 100.0, Unit::Percent))
}

/// Turns in vain after the input has ended, until everything has arrived that was on its way.
const LAST_TURNS: u32 = 10_000;

/// Has one turn after the other, each telling what arrived, until the input has ended and nothing more comes.
fn turns<T>(input: &JoinHandle<T>, mut turn: impl FnMut(&mut Arrived) -> Result<bool>) -> Result<Arrived> {
    let mut arrived = Arrived::default();
    let (mut first, mut left, mut before) = (None, LAST_TURNS, cycles());
    while left > 0 {
        let ended = input.is_finished();
        let something = turn(&mut arrived)?;
        let after = cycles();
        if something {
            let first = *first.get_or_insert(before);
            arrived.busy += after.wrapping_sub(before);
            arrived.span = after.wrapping_sub(first);
            left = LAST_TURNS;
        } else if ended {
            left -= 1;
        }
        before = after;
    }
    Ok(arrived)
}

fn frames<T>(mut nic: DpdkNic, input: &JoinHandle<T>) -> Arrived {
    let mut received = Vec::with_capacity(64);
    let arrived = turns(input, |arrived| {
        let pieces = nic.rx_burst(&mut received);
        for piece in received.drain(..) {
            arrived.frames += u64::from(!piece.more);
            arrived.bytes += piece.buf.len() as u64;
        }
        Ok(pieces > 0)
    });
    // No turn fails.
    arrived.unwrap_or_default()
}

fn connections<T>(nic: DpdkNic, input: &JoinHandle<T>) -> Result<Arrived> {
    let clock = nic.clock();
    let mut engine = Engine::new(nic, EngineConfig::new(SINK, 24, secrets())).map_err(Error::other)?;
    let any = (Ipv4Addr::UNSPECIFIED, PORT).into();
    engine.listen(any, 1024, ConnConfig::default()).map_err(Error::other)?;
    turns(input, |arrived| {
        let progress = engine.poll(Time::from_nanos(clock.now()));
        arrived.frames += u64::from(progress.received);
        while let Some((conn, event)) = engine.poll_event() {
            if matches!(event, EngineEvent::Accepted(_) | EngineEvent::Conn(Event::Readable)) {
                while let Some(payload) = engine.read(conn) {
                    arrived.bytes += payload.len() as u64;
                }
            }
        }
        Ok(progress.is_busy())
    })
}
