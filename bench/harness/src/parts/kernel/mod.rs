//! The kernel's sockets, as good as they get here: the reference that everything is measured against.
//!
//! Each part makes a [`wire::Wire`], starts this program again at both ends of it, and passes on the line that the active end
//! prints.

pub(crate) mod bulk;
pub(crate) mod crr;
pub(crate) mod ready;
mod receive;
pub(crate) mod rr;
mod send;
mod usage;
pub(crate) mod wire;

use std::io::{Result, Write as _};
use std::time::Duration;

use clap::{Parser, Subcommand};
use live::place::myself;

use self::wire::{Wire, WireArgs};
use super::Setting;
use crate::failure::Failure;
use crate::line::Line;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a passive end prints when it can be connected to.
const LISTENING: &str = "listening";

/// One end of a wire
#[derive(Parser, Debug)]
pub(crate) struct EndArgs {
    /// The CPU to run on
    #[arg(long)]
    cpu: usize,
    #[command(subcommand)]
    end: End,
}

#[derive(Subcommand, Debug)]
enum End {
    Send(send::SendArgs),
    Receive(receive::ReceiveArgs),
    Ask(rr::AskArgs),
    Answer(rr::AnswerArgs),
    Open(crr::OpenArgs),
    Serve,
}

/// Runs this end: a passive one until it is killed, an active one until it has printed its line.
pub(crate) fn end(args: &EndArgs) -> Result<()> {
    crate::affinity::pin(args.cpu)?;
    match &args.end {
        End::Send(send) => send::run(send)?.print(),
        End::Receive(receive) => receive::run(receive),
        End::Ask(ask) => rr::ask(ask)?.print(),
        End::Answer(answer) => rr::answer(answer),
        End::Open(open) => crr::open(open)?.print(),
        End::Serve => crr::serve(),
    }
}

/// Runs both ends over a wire of their own; the words are those of `end`.
fn pair(
    setting: &Setting,
    wire: &WireArgs,
    passive: &str,
    active: &str,
) -> std::result::Result<Line, Failure> {
    let me = myself()?;
    let pair = Wire::new(setting, wire)?;
    let other = pair.sink.start(&me, &format!("end --cpu {} {passive}", setting.receiver_cpu))?;
    let said = other.line(PATIENCE, || Ok(()))?;
    if said != LISTENING {
        return Err(Failure::new(format!("the passive end says '{said}'")));
    }
    let active = pair.source.start(&me, &format!("end --cpu {} {active}", setting.sender_cpu))?;
    // Warm-up and wind-down are a part of the time that is measured.
    let said = active.rest(Duration::from_secs_f64(setting.time * 2.0) + PATIENCE)?;
    Ok(Line::parse(&said)?.note(wire.note(setting)))
}

/// Tells who started us that we can be connected to.
fn listening() -> Result<()> {
    println!("{LISTENING}");
    std::io::stdout().flush()
}

/// Before anything is measured, everything runs for a while.
fn warm_up(time: f64) -> Duration {
    Duration::from_secs_f64((time / 10.0).min(0.5))
}
