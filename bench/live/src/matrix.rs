//! Many cells, each several times, senders in turn; one line of JSON for each run.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Error, Result, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::link::{FlowReport, Report};
use crate::run::{Cell, Runner, Sender};

/// Runs every sender in every cell, and appends a line of JSON for each run to a file, of which `table` makes a page.
#[derive(Args, Debug)]
pub(crate) struct MatrixArgs {
    /// The program under test
    #[arg(long, default_value = "target/release/tsonami")]
    tsonami: PathBuf,
    /// Senders, in turn: kernel:CONTROLLER, tsonami:CONTROLLER, or tsonami
    #[arg(long, value_delimiter = ',', default_value = "kernel:cubic,tsonami:cubic,kernel:bbr,tsonami:bbr")]
    senders: Vec<Sender>,
    /// Percentages of frames lost
    #[arg(long, value_delimiter = ',', default_value = "0.01,0.1,1,3")]
    loss: Vec<f64>,
    /// Round trips, milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0.2,10,50,150")]
    rtt: Vec<f64>,
    /// Room in the bottleneck's queue, in products of bandwidth and delay
    #[arg(long, value_delimiter = ',', default_value = "0.1,1,4")]
    buffer: Vec<f64>,
    /// Rate of the link, Mbit/s [default: 50 up to 1 ms of round trip, 40 up to 10, 20 beyond]
    #[arg(long)]
    rate: Option<f64>,
    /// Runs of each sender in each cell
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// Seconds of a run, from the first data on
    #[arg(long, default_value_t = 6)]
    time: u64,
    /// Let all senders run at the same time, and look at how they share from this second on
    #[arg(long)]
    share_from: Option<u64>,
    /// Where the lines go
    #[arg(long)]
    raw: PathBuf,
}

/// A run, as a line of the file.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Run {
    pub(crate) cell: Cell,
    /// One, or those that shared.
    pub(crate) senders: Vec<Sender>,
    pub(crate) run: u64,
    pub(crate) seconds: u64,
    /// Of each sender, acknowledged payload, bits per second.
    pub(crate) goodput_bps: Vec<f64>,
    /// Of all together: payload sent again, in parts of payload acknowledged.
    pub(crate) again: f64,
    pub(crate) queueing_mean_ns: f64,
    pub(crate) queueing_p95_ns: f64,
    pub(crate) lost: u64,
    pub(crate) overflowed: u64,
    /// The link's own error.
    pub(crate) lateness_p99_ns: u64,
    pub(crate) lateness_max_ns: u64,
}

pub(crate) fn run(args: &MatrixArgs) -> Result<()> {
    let runner = Runner::new(args.tsonami.clone(), args.time)?;
    let mut raw = OpenOptions::new().create(true).append(true).open(&args.raw)?;
    let teams: Vec<Vec<Sender>> = match args.share_from {
        Some(_) => vec![args.senders.clone()],
        None => args.senders.iter().map(|sender| vec![sender.clone()]).collect(),
    };
    for cell in cells(args) {
        for run in 1..=args.runs {
            for senders in &teams {
                let report = runner.run(&cell, senders, run)?;
                let from = args.share_from.unwrap_or(0);
                let run = Run::of(cell, senders, run, (from, args.time), &report)?;
                writeln!(raw, "{}", serde_json::to_string(&run)?)?;
                let names: Vec<_> = senders.iter().map(Sender::to_string).collect();
                let rates: Vec<_> = run.goodput_bps.iter().map(|bps| format!("{:.2}", bps / 1e6)).collect();
                println!(
                    "{} ms, {} %, {} BDP, {}: {} Mbit/s",
                    cell.rtt_us as f64 / 1e3,
                    cell.loss * 100.0,
                    cell.buffer,
                    names.join(" + "),
                    rates.join(" + ")
                );
            }
        }
    }
    Ok(())
}

fn cells(args: &MatrixArgs) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &rtt in &args.rtt {
        let usual = match rtt {
            ..=1.0 => 50.0,
            ..=10.0 => 40.0,
            _ => 20.0,
        };
        let (rate, rtt_us) = ((args.rate.unwrap_or(usual) * 1e6) as u64, (rtt * 1e3) as u64);
        for &buffer in &args.buffer {
            cells.extend(args.loss.iter().map(|loss| Cell { rate, rtt_us, buffer, loss: loss / 100.0 }));
        }
    }
    cells
}

impl Run {
    fn of(cell: Cell, senders: &[Sender], run: u64, (from, to): (u64, u64), report: &Report) -> Result<Run> {
        let flows = &report.flows;
        // Those of the kernel come from one address, ours from one each: in the order in which they were started.
        if flows.len() != senders.len() {
            return Err(Error::other(format!("{} connections of {} senders", flows.len(), senders.len())));
        }
        let mut flows: Vec<&FlowReport> = flows.iter().collect();
        flows.sort_by_key(|flow| flow.from.ip().octets());
        let mut order: Vec<usize> = (0..senders.len()).collect();
        order.sort_by_key(|&n| senders[n].stack as u8);
        let mut goodput_bps = vec![0.0; senders.len()];
        for (&n, flow) in order.iter().zip(&flows) {
            goodput_bps[n] = goodput(&flow.acked_each_100ms, from, to);
        }
        let sum = |of: fn(&FlowReport) -> u64| flows.iter().map(|flow| of(flow)).sum::<u64>() as f64;
        let path = &report.to_receiver;
        Ok(Run {
            cell,
            senders: senders.to_vec(),
            run,
            seconds: to - from,
            goodput_bps,
            again: sum(|f| f.retransmitted_bytes) / sum(|f| f.acked_bytes).max(1.0),
            queueing_mean_ns: path.queueing_ns.mean,
            queueing_p95_ns: path.queueing_ns.p95 as f64,
            lost: path.lost,
            overflowed: path.overflowed,
            lateness_p99_ns: path.lateness_ns.p99,
            lateness_max_ns: path.lateness_ns.max,
        })
    }
}

/// Bits per second between two seconds of a connection.
fn goodput(acked_each_100ms: &[u64], from: u64, to: u64) -> f64 {
    let at = |second: u64| {
        let last = acked_each_100ms.last().copied().unwrap_or(0);
        let ends_before = (second * 10).checked_sub(1);
        ends_before.map_or(0, |n| acked_each_100ms.get(n as usize).copied().unwrap_or(last))
    };
    (at(to) - at(from)) as f64 * 8.0 / to.saturating_sub(from).max(1) as f64
}

/// The runs in a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Run>> {
    let lines = BufReader::new(std::fs::File::open(path)?).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodput_is_of_the_seconds_asked_for() {
        let acked: Vec<u64> = (1..=30).map(|n| if n <= 10 { n } else { 10 + (n - 10) * 100 }).collect();
        assert_eq!(goodput(&acked, 0, 1), 80.0);
        assert_eq!(goodput(&acked, 1, 3), 8_000.0);
        assert_eq!(goodput(&acked, 0, 100), 16_080.0 / 100.0, "nothing was acknowledged after its end");
    }
}
