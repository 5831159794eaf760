//! Runs as tables: medians, and between which quartiles they lie.

use std::collections::BTreeMap;
use std::io::Result;
use std::path::PathBuf;

use clap::Args;

use crate::matrix::{Run, read};
use crate::run::{Cell, Sender};

/// Makes tables in Markdown of what `matrix` wrote
#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    /// The file
    raw: PathBuf,
}

pub(crate) fn run(args: &TableArgs) -> Result<()> {
    let runs = read(&args.raw)?;
    print!("{}", page(&runs));
    Ok(())
}

/// A median and its quartiles.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Middle {
    low: f64,
    median: f64,
    high: f64,
}

impl Middle {
    /// Quantiles are taken between neighbours, as most programs do (type 7 of Hyndman and Fan).
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Middle> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = q * (sorted.len().checked_sub(1)?) as f64;
            let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
            Some(below + (above - below) * place.fract())
        };
        Some(Middle { low: at(0.25)?, median: at(0.5)?, high: at(0.75)? })
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

fn page(runs: &[Run]) -> String {
    let mut cells: BTreeMap<Place, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        cells.entry(place(&run.cell)).or_default().push(run);
    }
    let (mut alone, mut shared) = (String::new(), String::new());
    for runs in cells.values() {
        let mut teams: Vec<&[Sender]> = Vec::new();
        for run in runs {
            if !teams.contains(&run.senders.as_slice()) {
                teams.push(&run.senders);
            }
        }
        for team in teams {
            let runs: Vec<&Run> = runs.iter().copied().filter(|run| run.senders == team).collect();
            match team {
                [sender] => alone += &alone_row(sender, &runs),
                _ => shared += &shared_row(team, &runs),
            }
        }
    }
    let mut page = String::new();
    if !alone.is_empty() {
        page += "| Round trip, ms | Rate, Mbit/s | Queue, BDP (frames) | Loss, % | Sender | Goodput, Mbit/s | Sent again, % | \
                 Queueing, mean, ms | p95, ms | Runs |\n|---|---|---|---|---|---|---|---|---|---|\n";
        page += &alone;
    }
    if !shared.is_empty() {
        page += "\n| Round trip, ms | Rate, Mbit/s | Queue, BDP (frames) | Loss, % | Senders | Goodput, Mbit/s, median of each | \
                 Jain | Sent again, % | Queueing, mean, ms | Runs |\n|---|---|---|---|---|---|---|---|---|---|\n";
        page += &shared;
    }
    page
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

fn alone_row(sender: &Sender, runs: &[&Run]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    format!(
        "{}| {sender} | {} | {} | {} | {} | {} |\n",
        conditions(&first.cell),
        show(runs, 2, |run| run.goodput_bps.iter().sum::<f64>() / 1e6),
        show(runs, 2, |run| run.again * 100.0),
        show(runs, 2, |run| run.queueing_mean_ns / 1e6),
        show(runs, 2, |run| run.queueing_p95_ns / 1e6),
        runs.len()
    )
}

fn shared_row(senders: &[Sender], runs: &[&Run]) -> String {
    let Some(first) = runs.first() else { return String::new() };
    let names: Vec<String> = senders.iter().map(Sender::to_string).collect();
    let each = (0..senders.len()).map(|n| show(runs, 1, |run| run.goodput_bps.get(n).unwrap_or(&0.0) / 1e6));
    format!(
        "{}| {} | {} | {} | {} | {} | {} |\n",
        conditions(&first.cell),
        names.join(" + "),
        each.collect::<Vec<_>>().join(" + "),
        show(runs, 3, |run| jain(&run.goodput_bps)),
        show(runs, 2, |run| run.again * 100.0),
        show(runs, 2, |run| run.queueing_mean_ns / 1e6),
        runs.len()
    )
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
    fn jain_knows_fair_from_unfair() {
        assert_eq!(jain(&[5.0, 5.0]), 1.0);
        assert_eq!(jain(&[5.0, 0.0]), 0.5);
        assert_eq!(jain(&[0.0, 0.0]), 0.0);
    }
}
