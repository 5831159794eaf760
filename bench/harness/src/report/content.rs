//! What the pages say, in order.

use super::number;
use super::page::{Block, Table};
use super::plots;
use super::summary::{ContestantSummary, ScenarioSummary, Split, Summary};
use crate::failure::Failure;
use crate::line::Medium;
use crate::probe::NEAR;
use crate::record::Session;
use crate::stats::Spread;

/// Everything that is known, as a page.
pub(super) fn blocks(summary: &Summary) -> Result<Vec<Block>, Failure> {
    let mut blocks = vec![
        Block::Heading(1, "tsonami, the kernel and others side by side".into()),
        Block::Paragraph(format!(
            "Medians of runs in turn, with least and most. A cache line between the two CPUs was timed before and after each \
             run: near is below {NEAR} ns there and back both times, far is not; of a run in which that changed only the \
             columns of all runs know. A ratio is of two runs of the same round."
        )),
    ];
    for scenario in &summary.scenarios {
        blocks.extend(of_scenario(scenario)?);
    }
    if !summary.strangers.is_empty() {
        blocks.push(Block::Heading(2, "Not shown".into()));
        blocks.push(Block::Paragraph("Runs of contestants that this program does not know:".into()));
        blocks.push(Block::List(summary.strangers.clone()));
    }
    blocks.push(Block::Heading(2, "Machine and programs".into()));
    for (n, session) in summary.sessions.iter().enumerate() {
        // A session like the one before is told by its command alone.
        let new = n == 0 || summary.sessions[n - 1].machine != session.machine;
        blocks.extend(of_session(session, new));
    }
    Ok(blocks)
}

fn of_scenario(summary: &ScenarioSummary) -> Result<Vec<Block>, Failure> {
    let mut blocks = vec![
        Block::Heading(2, format!("{}: {}", summary.name.to_uppercase(), summary.title)),
        Block::Paragraph(summary.what.into()),
    ];
    let memory = summary.contestants.iter().any(|contestant| contestant.medium == Some(Medium::Memory));
    if memory {
        blocks.push(Block::Paragraph(format!(
            "Where it says so, figures are of runs {}.",
            Medium::Memory.says()
        )));
    }
    if summary.contestants.iter().any(|contestant| !contestant.figures.is_empty()) {
        blocks.push(Block::Table(results(summary)));
    }
    if !summary.ratios.is_empty() {
        blocks.push(Block::Table(ratios(summary)));
    }
    if !summary.verdicts.is_empty() {
        blocks.push(Block::List(verdicts(summary)));
    }
    let missing =
        summary.absent.iter().map(|absent| format!("{}: not run: {}", absent.contestant, absent.why));
    let failed = summary.contestants.iter().flat_map(|contestant| {
        contestant.failures.iter().map(|why| format!("{}: failed in {why}", contestant.name))
    });
    let trouble: Vec<String> = missing.chain(failed).collect();
    if !trouble.is_empty() {
        blocks.push(Block::List(trouble));
    }
    blocks.extend(plots::all(summary)?);
    blocks.extend(stages(summary).map(Block::Table));
    let notes = summary.contestants.iter().filter(|contestant| !contestant.notes.is_empty());
    let notes: Vec<String> =
        notes.map(|contestant| format!("{}: {}", contestant.name, contestant.notes.join(" "))).collect();
    if !notes.is_empty() {
        blocks.push(Block::List(notes));
    }
    blocks.push(Block::Code(commands(summary)));
    blocks.push(Block::Details(format!("All figures of {}", summary.name), details(summary)));
    Ok(blocks)
}

/// Distances of which there are figures at all, each with how it is picked.
type Pick = (&'static str, fn(&Split) -> Option<Spread>);

fn picks<'a>(splits: impl Iterator<Item = &'a Split>) -> Vec<Pick> {
    const ALL: [Pick; 3] =
        [("near", |split| split.near), ("far", |split| split.far), ("all runs", |split| split.all)];
    let splits: Vec<&Split> = splits.collect();
    ALL.into_iter().filter(|(_, pick)| splits.iter().any(|split| pick(split).is_some())).collect()
}

/// `12.3 (11.9–12.5)`.
fn shown(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".into(),
        |spread| format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max)),
    )
}

/// A row for each contestant, a column for each measure and distance.
fn results(summary: &ScenarioSummary) -> Table {
    let splits =
        summary.contestants.iter().flat_map(|contestant| contestant.figures.values()).map(|v| &v.all);
    let picks = picks(splits);
    let mut head = vec!["Contestant".to_owned(), "Medium".to_owned()];
    for measure in summary.scenario.measures {
        head.extend(picks.iter().map(|(name, _)| format!("{}, {name}", measure.title)));
    }
    head.push("Runs".into());
    let row = |contestant: &ContestantSummary| {
        let mut cells = vec![
            format!("{} ({})", contestant.name, contestant.what),
            contestant.medium.map_or("–", Medium::says).to_owned(),
        ];
        let mut runs = 0;
        for measure in summary.scenario.measures {
            let split = contestant.figures.get(measure.figure).map(|values| values.all).unwrap_or_default();
            runs = runs.max(split.all.map_or(0, |spread| spread.runs));
            cells.extend(picks.iter().map(|(_, pick)| shown(pick(&split))));
        }
        cells.push(runs.to_string());
        cells
    };
    Table { head, rows: summary.contestants.iter().map(row).collect() }
}

fn ratios(summary: &ScenarioSummary) -> Table {
    let picks = picks(summary.ratios.iter().map(|ratio| &ratio.ratio));
    let mut head = vec!["Ours ÷ theirs".to_owned(), "Figure".to_owned()];
    head.extend(picks.iter().map(|(name, _)| (*name).to_owned()));
    let rows = summary.ratios.iter().map(|ratio| {
        let mut cells =
            vec![format!("{} ÷ {} ({})", ratio.ours, ratio.theirs, ratio.whose), ratio.figure.to_owned()];
        cells.extend(picks.iter().map(|(_, pick)| shown(pick(&ratio.ratio))));
        cells
    });
    Table { head, rows: rows.collect() }
}

fn verdicts(summary: &ScenarioSummary) -> Vec<String> {
    let verdict = |verdict: &super::summary::Verdict| {
        let met = if verdict.met { "met" } else { "not met" };
        let reached = number(verdict.reached);
        format!("Goal of {}, {}: {}: {reached}, {met}.", verdict.ours, verdict.figure, verdict.goal)
    };
    summary.verdicts.iter().map(verdict).collect()
}

/// Cycles of each stage, where parts have stages.
fn stages(summary: &ScenarioSummary) -> Option<Table> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in summary.contestants.iter().flat_map(|contestant| &contestant.stages) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let mut head = vec!["Cycles per burst".to_owned()];
    head.extend(names.iter().map(|name| (*name).to_owned()));
    head.push("Sum of medians".into());
    let rows =
        summary.contestants.iter().filter(|contestant| !contestant.stages.is_empty()).map(|contestant| {
            let of = |name: &str| {
                contestant.stages.iter().find(|(stage, _)| stage == name).map(|(_, cycles)| *cycles)
            };
            let mut cells = vec![contestant.name.to_owned()];
            cells.extend(names.iter().map(|name| shown(of(name))));
            cells.push(number(contestant.stages.iter().map(|(_, cycles)| cycles.median).sum()));
            cells
        });
    Some(Table { head, rows: rows.collect() })
}

/// As they could be typed.
fn commands(summary: &ScenarioSummary) -> Vec<String> {
    let mut lines = Vec::new();
    for contestant in &summary.contestants {
        lines.push(contestant.command.clone());
        lines.extend(contestant.commands.iter().map(|command| format!("#   starts {command}")));
    }
    lines
}

/// A row for each figure of each contestant.
fn details(summary: &ScenarioSummary) -> Table {
    let splits =
        summary.contestants.iter().flat_map(|contestant| contestant.figures.values()).map(|v| &v.all);
    let picks = picks(splits);
    let mut head = vec!["Figure".to_owned(), "Unit".to_owned()];
    head.extend(picks.iter().map(|(name, _)| (*name).to_owned()));
    let rows = summary.contestants.iter().flat_map(|contestant| {
        contestant.figures.iter().map(|(name, values)| {
            let mut cells = vec![format!("{} {name}", contestant.name), values.unit.says().to_owned()];
            cells.extend(picks.iter().map(|(_, pick)| shown(pick(&values.all))));
            cells
        })
    });
    Table { head, rows: rows.collect() }
}

fn of_session(session: &Session, new: bool) -> Vec<Block> {
    let mut blocks = vec![
        Block::Paragraph(format!(
            "Begun {}; sender on CPU {}, receiver on CPU {}.",
            date(session.began),
            session.sender_cpu,
            session.receiver_cpu
        )),
        Block::Code(vec![session.command.join(" ")]),
    ];
    if new {
        let rows = session.machine.rows().into_iter().map(|(name, value)| vec![name, value]).collect();
        blocks.push(Block::Table(Table { head: vec!["What".into(), "Which".into()], rows }));
    }
    blocks
}

/// Day and time of day, UTC, of seconds since 1970.
fn date(seconds: u64) -> String {
    // Days since 1 March of year 0, in eras of 400 years, which are all of 146 097 days; then a year begins in March, and leap
    // days are last.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02} UTC", era * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_704_067_199), "2023-12-31 23:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC", "2100 is no leap year");
    }
}
