//! Prints the matrix as a table: goodput, retransmissions, queue and fairness over loss, round trip, buffer and controller.
//!
//! `cargo run --release -p tsonami-sim --example matrix > matrix.tsv`

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sim::matrix::{Cell, HEAD, Row, cells};
use tcp::Nanos;
use tcp::conn::cc::ControllerKind;

const USAGE: &str = "usage: matrix [--review] [--controller NAME]... [--jobs N]
  --review           the cells under review only, as in crates/sim/tests/matrix.tsv
  --controller NAME  this controller, not every one there is; several times for several
  --jobs N           threads (default 2)";

struct Options {
    review: bool,
    controllers: Vec<ControllerKind>,
    jobs: usize,
}

fn options() -> Result<Options, String> {
    let mut o = Options { review: false, controllers: Vec::new(), jobs: 2 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
        match arg.as_str() {
            "--review" => o.review = true,
            "--controller" => o.controllers.push(value()?.parse().map_err(|e| format!("{e}"))?),
            "--jobs" => o.jobs = value()?.parse().map_err(|e| format!("--jobs: {e}"))?,
            _ => return Err(format!("{arg}: unknown\n{USAGE}")),
        }
    }
    if o.controllers.is_empty() {
        o.controllers = Cell::controllers();
    }
    Ok(o)
}

fn run(o: &Options) -> Result<(), String> {
    let rtts =
        [Nanos::from_micros(200), Nanos::from_millis(10), Nanos::from_millis(50), Nanos::from_millis(150)];
    let cells: Vec<Cell> = if o.review {
        sim::matrix::review(&o.controllers).collect()
    } else {
        cells(&o.controllers, &[0.0, 0.0001, 0.001, 0.01, 0.03], &rtts, &[0.1, 1.0, 4.0]).collect()
    };
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(vec![None; cells.len()]));
    std::thread::scope(|threads| {
        for _ in 0..o.jobs.max(1) {
            threads.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    let row = cell.measure().map_err(|failure| format!("{cell:?}: {failure}"));
                    if let Ok(mut rows) = rows.lock() {
                        rows[at] = Some(row);
                    }
                }
            });
        }
    });
    println!("{HEAD}");
    let rows: Vec<Option<Result<Row, String>>> = rows.into_inner().map_err(|_| "a thread panicked")?;
    for row in rows {
        println!("{}", row.ok_or("a cell is missing")??);
    }
    Ok(())
}

fn main() -> ExitCode {
    match options().and_then(|o| run(&o)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
