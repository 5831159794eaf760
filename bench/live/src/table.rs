//! Runs as tables: medians, and between which quartiles they lie.

use std::collections::BTreeMap;
use std::io::Result;
use std::path::PathBuf;

use clap::Args;
use live::quantile::quantile;

use crate::matrix::{Run, read};
use crate::run::{Cell, Sender, Stack};
use crate::simulated;

/// Makes tables in Markdown of what `matrix` wrote
#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    /// The file
    raw: PathBuf,
    /// Run the cells of our senders in the simulator too, a column for each controller
    #[arg(long)]
    simulate: bool,
}

pub(crate) fn run(args: &TableArgs) -> Result<()> {
    let runs = read(&args.raw)?;
    let simulator = if args.simulate { simulate(&runs) } else { Simulated::default() };
    print!("{}", page(&runs, &simulator));
    Ok(())
}

/// Goodput of our controllers in the simulator, Mbit/s, by cell.
type Simulated = BTreeMap<(Place, String), Middle>;

/// Every cell in which one of ours sent alone: as long, and as often, with the same seeds.
fn simulate(runs: &[Run]) -> Simulated {
    let mut values: BTreeMap<(Place, String), Vec<f64>> = BTreeMap::new();
    for run in runs {
        let [Sender { stack: Stack::Tsonami, controller: Some(name) }] = run.senders.as_slice() else {
            continue;
        };
        if let Some(bps) = simulated::goodput(&run.cell, name, run.seconds, run.run) {
            values.entry((place(&run.cell), name.clone())).or_default().push(bps / 1e6);
        }
    }
    values.into_iter().filter_map(|(key, values)| Some((key, Middle::of(values)?))).collect()
}

/// A median and its quartiles.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Middle {
    low: f64,
    median: f64,
    high: f64,
}

impl Middle {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Middle> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Middle {
            low: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            high: quantile(&sorted, 0.75)?,
        })
    }

    /// With so many digits behind the point.
    fn show(self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.low, self.high)
    }
}

/// Jain's index of how evenly something is shared: 1 for equal parts, 1/n for all to one.
fn jain(parts: &[f64]) -> f64 {
    let (sum, squares) = (parts.iter().sum::<f64>(), parts.iter().map(|x| x * x).sum::<f64>());
    if squares == 0.0 { 0.0 } else { sum * sum / (parts.len() as f64 * squares) }
}

/// Sorts as its numbers do: all are positive.
type Place = [u64; 4];

fn place(cell: &Cell) -> Place {
    [cell.rtt_us, cell.buffer.to_bits(), cell.loss.to_bits(), cell.rate]
}

/// What a table shows of each run.
struct Measure {
    title: &'static str,
    of: fn(&Run) -> f64,
    /// With the quotient of ours and the kernel's of the same controller beside it.
    compared: bool,
}

const MEASURES: [Measure; 4] = [
    Measure { title: "Goodput, Mbit/s", of: |run| run.goodput_bps.iter().sum::<f64>() / 1e6, compared: true },
    Measure { title: "Sent again, % of what was acknowledged", of: |run| run.again * 100.0, compared: false },
    Measure { title: "Queueing, mean, ms", of: |run| run.queueing_mean_ns / 1e6, compared: false },
    Measure { title: "Queueing, 95th percentile, ms", of: |run| run.queueing_p95_ns / 1e6, compared: false },
];

fn page(runs: &[Run], simulator: &Simulated) -> String {
    let mut cells: BTreeMap<Place, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        cells.entry(place(&run.cell)).or_default().push(run);
    }
    let senders = teams(runs).into_iter().filter_map(|team| match team {
        [sender] => Some(sender),
        _ => None,
    });
    let senders: Vec<&Sender> = senders.collect();
    let mut page = String::new();
    if !senders.is_empty() {
        for measure in &MEASURES {
            page += &alone(measure, &senders, &cells, simulator);
        }
    }
    let shared: String = cells.values().map(|runs| shared_rows(runs)).collect();
    if !shared.is_empty() {
        page += "### Sharing the link\n\n\
                 | Round trip, ms | Rate, Mbit/s | Queue, BDP (frames) | Loss, % | Senders | Goodput of each, Mbit/s | Jain | \
                 Sent again, % | Queueing, mean, ms | Runs |\n|---|---|---|---|---|---|---|---|---|---|\n";
        page += &shared;
    }
    page
}

/// Those who sent alone or together, in the order in which they came.
fn teams<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<&'a [Sender]> {
    let mut teams: Vec<&[Sender]> = Vec::new();
    for run in runs {
        if !teams.contains(&run.senders.as_slice()) {
            teams.push(&run.senders);
        }
    }
    teams
}

/// A table with a row for each cell and a column for each sender.
fn alone(
    measure: &Measure,
    senders: &[&Sender],
    cells: &BTreeMap<Place, Vec<&Run>>,
    simulator: &Simulated,
) -> String {
    let pairs: Vec<(usize, usize)> = if measure.compared { pairs(senders) } else { Vec::new() };
    let mut simulated: Vec<&String> = simulator.keys().map(|(_, name)| name).collect();
    simulated.sort();
    simulated.dedup();
    simulated.retain(|_| measure.compared);
    let mut table =
        format!("### {}\n\n| Round trip, ms | Rate, Mbit/s | Queue, BDP (frames) | Loss, % ", measure.title);
    let mut columns = 4;
    for sender in senders {
        table += &format!("| {sender} ");
        columns += 1;
    }
    for &(_, ours) in &pairs {
        table += &format!("| {}, ours ÷ kernel's ", senders[ours].controller.as_deref().unwrap_or_default());
        columns += 1;
    }
    for name in &simulated {
        table += &format!("| simulator: {name} ");
        columns += 1;
    }
    table += &format!("| Runs |\n{}|\n", "|---".repeat(columns + 1));
    for runs in cells.values() {
        let of = |sender: &Sender| {
            let runs = runs.iter().filter(|run| run.senders.as_slice() == std::slice::from_ref(sender));
            let values: Vec<f64> = runs.map(|run| (measure.of)(run)).collect();
            (values.len(), Middle::of(values))
        };
        let middles: Vec<(usize, Option<Middle>)> = senders.iter().map(|sender| of(sender)).collect();
        let (Some(first), true) = (runs.first(), middles.iter().any(|(n, _)| *n > 0)) else { continue };
        table += &conditions(&first.cell);
        for (_, middle) in &middles {
            table += &format!("| {} ", middle.map_or_else(|| "–".into(), |middle| middle.show(2)));
        }
        for &(kernel, ours) in &pairs {
            table += &format!("| {} ", verdict(middles[kernel].1, middles[ours].1));
        }
        for name in &simulated {
            let middle = simulator.get(&(place(&first.cell), (*name).clone()));
            table += &format!("| {} ", middle.map_or_else(|| "–".into(), |middle| middle.show(2)));
        }
        let fewest = middles.iter().map(|(n, _)| *n).filter(|n| *n > 0).min();
        table += &format!("| {} |\n", fewest.unwrap_or(0));
    }
    table + "\n"
}

/// Which columns are of the same controller, the kernel's and ours.
fn pairs(senders: &[&Sender]) -> Vec<(usize, usize)> {
    let of = |stack: Stack, n: usize| senders[n].stack == stack && senders[n].controller.is_some();
    let all = (0..senders.len()).flat_map(|kernel| (0..senders.len()).map(move |ours| (kernel, ours)));
    all.filter(|&(kernel, ours)| {
        of(Stack::Kernel, kernel)
            && of(Stack::Tsonami, ours)
            && senders[kernel].controller == senders[ours].controller
    })
    .collect()
}

/// The quotient of the medians, in bold where ours is the smaller one and neither lies between the other's quartiles.
fn verdict(kernel: Option<Middle>, ours: Option<Middle>) -> String {
    let (Some(kernel), Some(ours)) = (kernel, ours) else { return "–".into() };
    let quotient = format!("{:.2}", ours.median / kernel.median);
    let less = ours.median < kernel.low && ours.high < kernel.median;
    if less { format!("**{quotient}**") } else { quotient }
}

fn conditions(cell: &Cell) -> String {
    format!(
        "| {} | {} | {} ({}) | {} ",
        cell.rtt_us as f64 / 1e3,
        cell.rate as f64 / 1e6,
        cell.buffer,
        cell.queue(),
        // Percentages as they were typed, not as halves of bits.
        (cell.loss * 1e8).round() / 1e6
    )
}

fn show(runs: &[&Run], digits: usize, of: impl Fn(&Run) -> f64) -> String {
    Middle::of(runs.iter().map(|run| of(run))).map_or_else(String::new, |middle| middle.show(digits))
}

fn shared_rows(runs: &[&Run]) -> String {
    let mut rows = String::new();
    for senders in teams(runs.iter().copied()).into_iter().filter(|team| team.len() > 1) {
        let runs: Vec<&Run> = runs.iter().copied().filter(|run| run.senders == senders).collect();
        let Some(first) = runs.first() else { continue };
        let names: Vec<String> = senders.iter().map(Sender::to_string).collect();
        let each =
            (0..senders.len()).map(|n| show(&runs, 1, |run| run.goodput_bps.get(n).unwrap_or(&0.0) / 1e6));
        rows += &format!(
            "{}| {} | {} | {} | {} | {} | {} |\n",
            conditions(&first.cell),
            names.join(" + "),
            each.collect::<Vec<_>>().join(" + "),
            show(&runs, 3, |run| jain(&run.goodput_bps)),
            show(&runs, 2, |run| run.again * 100.0),
            show(&runs, 2, |run| run.queueing_mean_ns / 1e6),
            runs.len()
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles_lie_between_neighbours() {
        let of = |values: &[f64]| Middle::of(values.iter().copied());
        assert_eq!(of(&[5.0, 1.0, 3.0, 2.0, 4.0]), Some(Middle { low: 2.0, median: 3.0, high: 4.0 }));
        assert_eq!(of(&[1.0, 2.0]), Some(Middle { low: 1.25, median: 1.5, high: 1.75 }));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_verdict_is_bold_only_beyond_the_noise() {
        let middle = |low, median, high| Some(Middle { low, median, high });
        assert_eq!(verdict(middle(9.0, 10.0, 11.0), middle(4.0, 5.0, 6.0)), "**0.50**");
        assert_eq!(verdict(middle(4.0, 10.0, 11.0), middle(4.0, 5.0, 6.0)), "0.50", "within the kernel's");
        assert_eq!(verdict(middle(9.0, 10.0, 11.0), middle(4.0, 5.0, 12.0)), "0.50", "within ours");
        assert_eq!(verdict(middle(9.0, 10.0, 11.0), middle(19.0, 20.0, 21.0)), "2.00");
        assert_eq!(verdict(None, middle(1.0, 1.0, 1.0)), "–");
    }

    #[test]
    fn a_row_has_a_column_for_each_sender() {
        let run = |sender: &str, bps: f64| Run {
            cell: Cell { rate: 100_000_000, rtt_us: 10_000, buffer: 1.0, loss: 0.001 },
            senders: vec![sender.parse().expect("a sender")],
            run: 1,
            seconds: 1,
            goodput_bps: vec![bps],
            acked_each_100ms: vec![],
            again: 0.01,
            queueing_mean_ns: 2e6,
            queueing_p95_ns: 3e6,
            lost: 0,
            overflowed: 0,
            lateness_p99_ns: 0,
            lateness_max_ns: 0,
        };
        let runs = [run("kernel:cubic", 80e6), run("tsonami:cubic", 90e6), run("kernel:bbr", 95e6)];
        let cell = place(&runs[0].cell);
        let middle = Middle { low: 87.0, median: 88.0, high: 89.0 };
        let simulator = Simulated::from([((cell, "cubic".into()), middle)]);
        let with = page(&runs, &simulator);
        assert_eq!(
            with.matches("| 1.12 | 88.00 (87.00–89.00) | 1 |\n").count(),
            1,
            "of the goodput only: {with}"
        );
        assert_eq!(with.matches("| simulator: cubic | Runs |").count(), 1);
        let page = page(&runs, &Simulated::default());
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| 10 ")).collect();
        assert_eq!(rows.len(), MEASURES.len());
        let goodput = "| 10 | 100 | 1 (82) | 0.1 | 80.00 (80.00–80.00) | 90.00 (90.00–90.00) | 95.00 (95.00–95.00) | 1.12 | 1 |";
        assert_eq!(rows[0], goodput);
    }

    #[test]
    fn jain_knows_fair_from_unfair() {
        assert_eq!(jain(&[5.0, 5.0]), 1.0);
        assert_eq!(jain(&[5.0, 0.0]), 0.5);
        assert_eq!(jain(&[0.0, 0.0]), 0.0);
    }
}
