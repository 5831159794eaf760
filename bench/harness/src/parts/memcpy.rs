//! Copies in memory: what a copying sender cannot pass.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;

use super::Setting;
use crate::affinity::pin;
use crate::failure::Failure;
use crate::line::{Line, Medium, Unit};

/// Copies in memory
#[derive(Args, Debug)]
pub(crate) struct MemcpyArgs {
    /// Bytes of a copy
    #[arg(long, default_value_t = 65_536)]
    size: usize,
    /// Buffers that are copied to, in turn
    #[arg(long, default_value_t = 64)]
    targets: usize,
}

/// One thread copies the same bytes to one buffer after the other.
pub(crate) fn run(setting: &Setting, args: &MemcpyArgs) -> Result<Line, Failure> {
    if args.size == 0 || args.targets == 0 {
        return Err(Failure::new("nothing to copy").mend("--size 65536 --targets 64"));
    }
    pin(setting.sender_cpu)?;
    let source = vec![1_u8; args.size];
    let mut targets = vec![vec![0_u8; args.size]; args.targets];
    let mut copy = |time: Duration| {
        let (began, mut bytes) = (Instant::now(), 0_u64);
        while began.elapsed() < time {
            for target in &mut targets {
                target.copy_from_slice(black_box(&source));
                black_box(&target);
                bytes += args.size as u64;
            }
        }
        (bytes, began.elapsed().as_secs_f64())
    };
    // Pages are there after the first time.
    copy(Duration::from_secs_f64(setting.time / 10.0));
    let (bytes, seconds) = copy(Duration::from_secs_f64(setting.time));
    Ok(Line::new(Medium::Memory)
        .bulk(bytes, seconds, seconds)
        .figure("size", args.size as f64, Unit::Bytes)
        .figure("working_set", (args.size * args.targets) as f64, Unit::Bytes)
        .note("Copies alone: no TCP, no frames."))
}
