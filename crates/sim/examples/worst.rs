//! Where goodput is furthest below what the path allows: long transfers over the paths of many seeds, by cells of
//! conditions.
//!
//! `cargo run -p tsonami-sim --profile seeds --example worst -- --seeds 50000 --jobs 2`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::bulk::{Bulk, Condition, measure};
use tcp::conn::Share;

const USAGE: &str = "usage: worst [--seeds N] [--from N] [--jobs N] [--cells N] [--least N]
  --seeds N  how many seeds to run (default 10000)
  --from N   the first of them (default 0)
  --jobs N   threads (default 2)
  --cells N  how many of the worst cells to print (default 10)
  --least N  seeds a cell must have to count (default 10)";

/// Seeds between two lines of progress.
const PROGRESS: u64 = 1_000;

fn options() -> Result<[u64; 5], String> {
    let mut values = [10_000, 0, 2, 10, 10];
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let names = ["--seeds", "--from", "--jobs", "--cells", "--least"];
        let at = names.iter().position(|name| *name == arg).ok_or(format!("{arg}: unknown\n{USAGE}"))?;
        let value = args.next().ok_or(format!("{arg} needs a number"))?;
        values[at] = value.parse().map_err(|error| format!("{arg} {value}: {error}"))?;
    }
    Ok(values)
}

/// What seeds are ranked by.
type Measure = fn(&Bulk) -> f64;

/// The middle one of some seeds by what `key` says of them.
fn median(seeds: &[Bulk], key: impl Fn(&Bulk) -> f64) -> f64 {
    let mut values: Vec<f64> = seeds.iter().map(key).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What distinguishes a group of seeds, as columns.
fn columns(seeds: &[Bulk], measure: Measure) -> String {
    let time = |bulk: &Bulk, share| bulk.stats.time.of(share).as_secs_f64() / bulk.took.as_secs_f64();
    let percent = |key: &dyn Fn(&Bulk) -> f64| format!("{:.1}", median(seeds, key) * 100.0);
    let again = |bulk: &Bulk| bulk.stats.bytes_retransmitted as f64 / bulk.stats.bytes_sent as f64;
    let middle = median(seeds, measure);
    let example = seeds.iter().find(|bulk| measure(bulk) == middle).map_or(0, |bulk| bulk.seed);
    [
        format!("{}", seeds.len()),
        percent(&|bulk| bulk.share),
        percent(&|bulk| bulk.of_law),
        percent(&again),
        format!("{}", median(seeds, |bulk| bulk.stats.timeouts as f64)),
        percent(&|bulk| time(bulk, Share::Congestion)),
        percent(&|bulk| time(bulk, Share::PeerWindow)),
        percent(&|bulk| time(bulk, Share::Pacing)),
        percent(&|bulk| time(bulk, Share::Busy)),
        format!("{example}"),
    ]
    .join("\t")
}

const COLUMNS: &str = "seeds\tof allowed %\tof law %\tsent again %\ttimeouts\tcongestion %\tpeer window %\tpacing %\tbusy %\tseed";

fn print(results: Vec<Bulk>, cells: usize, least: usize) {
    let mut by_cell: BTreeMap<_, Vec<Bulk>> = BTreeMap::new();
    let mut by_condition: BTreeMap<Condition, Vec<Bulk>> = BTreeMap::new();
    for bulk in &results {
        by_cell.entry(bulk.cell).or_default().push(*bulk);
        for condition in bulk.cell.conditions() {
            by_condition.entry(condition).or_default().push(*bulk);
        }
    }
    println!("condition\tvalue\t{COLUMNS}");
    for ((name, value), seeds) in &by_condition {
        println!("{name}\t{value}\t{}", columns(seeds, |bulk| bulk.share));
    }
    let known = by_cell.len();
    let mut worst: Vec<_> = by_cell.into_iter().filter(|(_, seeds)| seeds.len() >= least).collect();
    let measures: [(&str, Measure); 2] = [
        ("of what the path allows", |bulk| bulk.share),
        ("of what the path and the law of the controller allow", |bulk| bulk.of_law),
    ];
    for (name, measure) in measures {
        println!(
            "\nthe worst of {} cells with {least} seeds or more, of {known} in all, {name}",
            worst.len()
        );
        worst.sort_by(|a, b| median(&a.1, measure).total_cmp(&median(&b.1, measure)));
        println!("loss\tRTT\tqueue\torder\treceiver\tcontroller\t{COLUMNS}");
        for (cell, seeds) in worst.iter().take(cells) {
            println!("{cell}\t{}", columns(seeds, measure));
        }
    }
}

fn main() -> ExitCode {
    let [count, from, jobs, cells, least] = match options() {
        Ok(values) => values,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let (next, failed, results) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..jobs.max(1) {
            threads.spawn(|| {
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && index < count
                {
                    match measure(from + index) {
                        Ok(bulk) => results.lock().expect("no thread panics holding it").push(bulk),
                        Err(failure) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            eprintln!("FAILED: {failure}");
                        }
                    }
                    if (index + 1).is_multiple_of(PROGRESS) {
                        eprintln!("{} of {count} seeds", index + 1);
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no thread panicked");
    results.sort_by_key(|bulk| bulk.seed);
    print(results, cells as usize, least as usize);
    if failed.into_inner() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
