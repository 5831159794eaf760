//! Many cells, each several times, senders in turn; one line of JSON for each run.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Error, Result, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::link::{FlowReport, Report};
use crate::run::{Cell, Runner, Sender};

/// Runs every sender in every cell, and appends a line of JSON for each run to a file, of which `table` makes a page. Runs
/// that the file has already are not made again.
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
    /// How ours waits for frames: spin, pause or park (`tsonami send --wait`)
    #[arg(long, default_value = "park")]
    wait: String,
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
    /// Of each sender, bytes acknowledged by the end of each tenth of a second.
    #[serde(default)]
    pub(crate) acked_each_100ms: Vec<Vec<u64>>,
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
    let runner = Runner::new(args.tsonami.clone(), args.wait.clone(), args.time)?;
    let made = if args.raw.exists() { read(&args.raw)? } else { Vec::new() };
    let mut raw = OpenOptions::new().create(true).append(true).open(&args.raw)?;
    let planned = plan(args, &made);
    let began = Instant::now();
    for (n, Planned { cell, senders, run }) in planned.iter().enumerate() {
        // Each begins first as often as the others.
        let turn = (*run as usize - 1) % senders.len();
        let mut order = senders.clone();
        order.rotate_left(turn);
        let report = runner.run(cell, &order, *run)?;
        let mut done = Run::of(*cell, &order, *run, args.seconds(), &report)?;
        done.senders.clone_from(senders);
        done.goodput_bps.rotate_right(turn);
        done.acked_each_100ms.rotate_right(turn);
        writeln!(raw, "{}", serde_json::to_string(&done)?)?;
        let names: Vec<_> = senders.iter().map(Sender::to_string).collect();
        let rates: Vec<_> = done.goodput_bps.iter().map(|bps| format!("{:.2}", bps / 1e6)).collect();
        println!(
            "{}/{}, {} left: {} ms, {} %, {} BDP, {}: {} Mbit/s",
            n + 1,
            planned.len(),
            left(began.elapsed(), n + 1, planned.len()),
            cell.rtt_us as f64 / 1e3,
            (cell.loss * 1e8).round() / 1e6,
            cell.buffer,
            names.join(" + "),
            rates.join(" + ")
        );
    }
    Ok(())
}

/// A run that is to be made.
#[derive(PartialEq, Debug)]
struct Planned {
    cell: Cell,
    senders: Vec<Sender>,
    run: u64,
}

impl MatrixArgs {
    /// From when to when goodput is looked at.
    fn seconds(&self) -> (u64, u64) {
        (self.share_from.unwrap_or(0), self.time)
    }
}

/// The runs that were not made yet: cell by cell, and in each the senders in turn, so that whatever the machine does beside
/// them it does to all.
fn plan(args: &MatrixArgs, made: &[Run]) -> Vec<Planned> {
    let teams: Vec<Vec<Sender>> = match args.share_from {
        Some(_) => vec![args.senders.clone()],
        None => args.senders.iter().map(|sender| vec![sender.clone()]).collect(),
    };
    let (from, to) = args.seconds();
    let mut planned = Vec::new();
    for cell in cells(args) {
        for run in 1..=args.runs {
            planned.extend(teams.iter().map(|senders| Planned { cell, senders: senders.clone(), run }));
        }
    }
    let is_made = |p: &Planned| {
        made.iter().any(|m| {
            (m.cell, &m.senders, m.run, m.seconds) == (p.cell, &p.senders, p.run, to.saturating_sub(from))
        })
    };
    planned.retain(|p| !is_made(p));
    planned
}

/// How long the rest will take if it goes on as it did.
fn left(elapsed: Duration, done: usize, all: usize) -> String {
    let seconds = elapsed.as_secs_f64() / done as f64 * (all - done) as f64;
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
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
        let mut acked_each_100ms = vec![Vec::new(); senders.len()];
        for (&n, flow) in order.iter().zip(&flows) {
            acked_each_100ms[n].clone_from(&flow.acked_each_100ms);
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
            acked_each_100ms,
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
    fn what_the_file_has_is_not_run_again_and_senders_take_turns() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            matrix: MatrixArgs,
        }
        let line =
            "x --senders kernel:cubic,tsonami:cubic --loss 1 --rtt 10 --buffer 1 --runs 2 --time 4 --raw RAW";
        let args = Line::try_parse_from(line.split(' ')).expect("valid").matrix;
        let names = |made: &[Run]| -> Vec<String> {
            plan(&args, made).iter().map(|p| format!("{} {}", p.senders[0], p.run)).collect()
        };
        assert_eq!(names(&[]), ["kernel:cubic 1", "tsonami:cubic 1", "kernel:cubic 2", "tsonami:cubic 2"]);
        let Planned { cell, senders, run } = plan(&args, &[]).swap_remove(1);
        let made = Run {
            cell,
            senders,
            run,
            seconds: 4,
            goodput_bps: vec![1e6],
            acked_each_100ms: vec![],
            again: 0.0,
            queueing_mean_ns: 0.0,
            queueing_p95_ns: 0.0,
            lost: 0,
            overflowed: 0,
            lateness_p99_ns: 0,
            lateness_max_ns: 0,
        };
        assert_eq!(
            names(std::slice::from_ref(&made)),
            ["kernel:cubic 1", "kernel:cubic 2", "tsonami:cubic 2"]
        );
        assert_eq!(names(&[Run { seconds: 6, ..made }]).len(), 4, "a longer run is another one");
    }

    #[test]
    fn the_rest_takes_as_long_as_what_was() {
        assert_eq!(left(Duration::from_secs(10), 2, 4), "10 s");
        assert_eq!(left(Duration::from_secs(60), 1, 241), "240 min");
    }

    #[test]
    fn goodput_is_of_the_seconds_asked_for() {
        let acked: Vec<u64> = (1..=30).map(|n| if n <= 10 { n } else { 10 + (n - 10) * 100 }).collect();
        assert_eq!(goodput(&acked, 0, 1), 80.0);
        assert_eq!(goodput(&acked, 1, 3), 8_000.0);
        assert_eq!(goodput(&acked, 0, 100), 16_080.0 / 100.0, "nothing was acknowledged after its end");
    }
}
