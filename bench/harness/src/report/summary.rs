//! Raw lines as medians, spreads and ratios.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::line::{Distribution, Medium, Unit};
use crate::probe::Distance;
use crate::record::{Absent, Folder, Outcome, Run, Session};
use crate::scenario::{Better, Contestant, Goal, Measure, Scenario, Who};
use crate::scenarios::SCENARIOS;
use crate::stats::{Reached, Spread, ratios};

/// Everything that pages show.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) sessions: Vec<Session>,
    pub(super) scenarios: Vec<ScenarioSummary>,
    /// Runs that this program cannot place.
    pub(super) strangers: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ScenarioSummary {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    #[serde(skip)]
    pub(super) scenario: &'static Scenario,
    pub(super) contestants: Vec<ContestantSummary>,
    pub(super) ratios: Vec<Ratio>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) absent: Vec<Absent>,
}

#[derive(Debug, Serialize)]
pub(super) struct ContestantSummary {
    pub(super) name: &'static str,
    #[serde(skip)]
    pub(super) contestant: &'static Contestant,
    pub(super) whose: String,
    pub(super) what: &'static str,
    pub(super) class: &'static str,
    pub(super) medium: Option<Medium>,
    pub(super) command: String,
    /// Programs that its part started, as in its last run.
    pub(super) commands: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) figures: BTreeMap<String, Values>,
    /// Cycles per burst, in the order of the loop.
    pub(super) stages: Vec<(String, Spread)>,
    /// Of the run in the middle.
    pub(super) latency: Option<Distribution>,
    pub(super) failures: Vec<String>,
}

/// A figure over all runs, and over those whose CPUs were near or far all the time.
#[derive(Debug, Serialize)]
pub(super) struct Values {
    pub(super) unit: Unit,
    pub(super) all: Split,
    #[serde(skip)]
    pub(super) each: Vec<(Reached, Distance)>,
}

/// Spreads by distance.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub(super) struct Split {
    pub(super) all: Option<Spread>,
    pub(super) near: Option<Spread>,
    pub(super) far: Option<Spread>,
}

/// Ours by theirs, run by run of the same round.
#[derive(Debug, Serialize)]
pub(super) struct Ratio {
    pub(super) figure: &'static str,
    pub(super) ours: &'static str,
    pub(super) theirs: &'static str,
    pub(super) whose: String,
    pub(super) ratio: Split,
}

/// A goal and what was reached.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) figure: &'static str,
    pub(super) ours: &'static str,
    /// As a sentence.
    pub(super) goal: String,
    pub(super) reached: f64,
    pub(super) met: bool,
}

impl Summary {
    pub(super) fn of(folder: &Folder) -> Summary {
        let known = |run: &&Run| {
            SCENARIOS.iter().any(|scenario| {
                scenario.name == run.scenario
                    && scenario.contestants.iter().any(|contestant| contestant.name == run.contestant)
            })
        };
        let mut strangers: Vec<String> = folder
            .runs()
            .filter(|run| !known(run))
            .map(|run| format!("{} {}", run.scenario, run.contestant))
            .collect();
        strangers.sort();
        strangers.dedup();
        let scenarios =
            SCENARIOS.iter().filter_map(|scenario| ScenarioSummary::of(scenario, folder)).collect();
        Summary { sessions: folder.sessions().cloned().collect(), scenarios, strangers }
    }
}

impl ScenarioSummary {
    /// `None` when the folder knows nothing of it.
    fn of(scenario: &'static Scenario, folder: &Folder) -> Option<ScenarioSummary> {
        let runs: Vec<&Run> = folder.runs().filter(|run| run.scenario == scenario.name).collect();
        let absent: Vec<Absent> =
            folder.absent().filter(|absent| absent.scenario == scenario.name).cloned().collect();
        if runs.is_empty() && absent.is_empty() {
            return None;
        }
        let contestants: Vec<ContestantSummary> = scenario
            .contestants
            .iter()
            .filter_map(|contestant| ContestantSummary::of(contestant, &runs, scenario))
            .collect();
        Some(ScenarioSummary {
            name: scenario.name,
            title: scenario.title,
            what: scenario.what,
            scenario,
            ratios: all_ratios(scenario, &contestants),
            verdicts: verdicts(scenario, &contestants),
            contestants,
            absent,
        })
    }
}

impl ContestantSummary {
    /// `None` when it never ran.
    fn of(
        contestant: &'static Contestant,
        runs: &[&Run],
        scenario: &'static Scenario,
    ) -> Option<ContestantSummary> {
        let runs: Vec<&Run> = runs.iter().copied().filter(|run| run.contestant == contestant.name).collect();
        let last = runs.last()?;
        let mut figures: BTreeMap<String, Values> = BTreeMap::new();
        let mut stages: Vec<(String, Vec<f64>)> = Vec::new();
        for run in &runs {
            let Some(line) = run.line() else { continue };
            for (name, figure) in &line.figures {
                let values = figures.entry(name.clone()).or_insert_with(|| Values {
                    unit: figure.unit,
                    all: Split::default(),
                    each: Vec::new(),
                });
                values.each.push((Reached { round: run.round, value: figure.value }, run.distance()));
            }
            for stage in &line.stages {
                match stages.iter_mut().find(|(name, _)| *name == stage.name) {
                    Some((_, cycles)) => cycles.push(stage.cycles),
                    None => stages.push((stage.name.clone(), vec![stage.cycles])),
                }
            }
        }
        for values in figures.values_mut() {
            values.all = Split::of(values.each.iter().map(|(reached, distance)| (reached.value, *distance)));
        }
        let spread = |(name, cycles): (String, Vec<f64>)| Some((name, Spread::of(cycles)?));
        let lines = || runs.iter().filter_map(|run| run.line());
        let mut notes: Vec<String> = Vec::new();
        for note in lines().flat_map(|line| &line.notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        // What failed and was made good later is of no more interest.
        let mended = |failed: &Run| runs.iter().any(|run| run.round == failed.round && run.line().is_some());
        let failures = runs.iter().filter_map(|run| match &run.outcome {
            Outcome::Failed(why) if !mended(run) => Some(format!("round {}: {why}", run.round)),
            _ => None,
        });
        Some(ContestantSummary {
            name: contestant.name,
            contestant,
            whose: contestant.who.to_string(),
            what: contestant.what,
            class: contestant.class,
            medium: lines().next().map(|line| line.medium),
            command: last.command.join(" "),
            commands: lines().next_back().map(|line| line.commands.clone()).unwrap_or_default(),
            notes,
            latency: middle_latency(&runs, scenario),
            stages: stages.into_iter().filter_map(spread).collect(),
            figures,
            failures: failures.collect(),
        })
    }

    fn each(&self, figure: &str) -> &[(Reached, Distance)] {
        self.figures.get(figure).map_or(&[], |values| &values.each)
    }

    /// The median over all runs.
    pub(super) fn median(&self, figure: &str) -> Option<f64> {
        Some(self.figures.get(figure)?.all.all?.median)
    }
}

/// The distribution of the run that is in the middle by the scenario's first measure.
fn middle_latency(runs: &[&Run], scenario: &Scenario) -> Option<Distribution> {
    let figure = scenario.measures.first()?.figure;
    let mut lines: Vec<_> = runs
        .iter()
        .filter_map(|run| {
            let line = run.line()?;
            Some((line.figures.get(figure)?.value, line.latency.as_ref()?))
        })
        .collect();
    lines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Some(lines.get(lines.len() / 2)?.1.clone())
}

impl Split {
    fn of(values: impl Iterator<Item = (f64, Distance)>) -> Split {
        let values: Vec<(f64, Distance)> = values.collect();
        let only = |which: Distance| {
            Spread::of(values.iter().filter(|(_, distance)| *distance == which).map(|(value, _)| *value))
        };
        Split {
            all: Spread::of(values.iter().map(|(value, _)| *value)),
            near: only(Distance::Near),
            far: only(Distance::Far),
        }
    }
}

/// Each of ours by each of the others of its class, in each measure.
fn all_ratios(scenario: &'static Scenario, contestants: &[ContestantSummary]) -> Vec<Ratio> {
    let mut all = Vec::new();
    for measure in scenario.measures {
        for ours in contestants.iter().filter(|contestant| contestant.contestant.who == Who::Ours) {
            for theirs in rivals(ours, contestants) {
                let ratio = ratio(measure, ours, theirs);
                if ratio.all.is_some() {
                    all.push(Ratio {
                        figure: measure.figure,
                        ours: ours.name,
                        theirs: theirs.name,
                        whose: theirs.whose.clone(),
                        ratio,
                    });
                }
            }
        }
    }
    all
}

/// Those of others with whom one of ours is compared.
fn rivals<'a>(
    ours: &'a ContestantSummary,
    contestants: &'a [ContestantSummary],
) -> impl Iterator<Item = &'a ContestantSummary> {
    contestants.iter().filter(|theirs| theirs.contestant.who != Who::Ours && theirs.class == ours.class)
}

fn ratio(measure: &Measure, ours: &ContestantSummary, theirs: &ContestantSummary) -> Split {
    let (ours, theirs) = (ours.each(measure.figure), theirs.each(measure.figure));
    // Both near or both far, or the cores had something to do with it.
    let of = |which: Option<Distance>| {
        let only = |each: &[(Reached, Distance)]| -> Vec<Reached> {
            let kept = each.iter().filter(|(_, distance)| which.is_none_or(|which| which == *distance));
            kept.map(|(reached, _)| *reached).collect()
        };
        Spread::of(ratios(&only(ours), &only(theirs)).collect::<Vec<_>>())
    };
    Split { all: of(None), near: of(Some(Distance::Near)), far: of(Some(Distance::Far)) }
}

/// Every goal of every one of ours, against the best of those it names.
fn verdicts(scenario: &'static Scenario, contestants: &[ContestantSummary]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for measure in scenario.measures {
        for ours in contestants.iter().filter(|contestant| contestant.contestant.who == Who::Ours) {
            for goal in measure.goals {
                verdicts.extend(verdict(measure, goal, ours, contestants));
            }
        }
    }
    verdicts
}

fn verdict(
    measure: &Measure,
    goal: &Goal,
    ours: &ContestantSummary,
    contestants: &[ContestantSummary],
) -> Option<Verdict> {
    let bound = match measure.better {
        Better::More => "at least",
        Better::Less => "at most",
    };
    let (wanted, reached, goal) = match *goal {
        Goal::Value(value) => {
            let unit = ours.figures.get(measure.figure)?.unit.says();
            let goal = format!("{bound} {} {unit}", super::number(value));
            (value, ours.median(measure.figure)?, goal)
        }
        Goal::Times(who, times) => {
            let of_them = rivals(ours, contestants).filter(|theirs| theirs.contestant.who == who);
            let better = |a: f64, b: f64| match measure.better {
                Better::More => a.total_cmp(&b),
                Better::Less => b.total_cmp(&a),
            };
            let (best, _) = of_them
                .filter_map(|theirs| Some((theirs, theirs.median(measure.figure)?)))
                .max_by(|(_, a), (_, b)| better(*a, *b))?;
            let reached = ratio(measure, ours, best).all?.median;
            (times, reached, format!("{bound} {times} × {}, the best of: {who}", best.name))
        }
    };
    let met = match measure.better {
        Better::More => reached >= wanted,
        Better::Less => reached <= wanted,
    };
    Some(Verdict { figure: measure.figure, ours: ours.name, goal, reached, met })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Line, Stage};
    use crate::record::Record;

    const SCENARIO: &Scenario = &Scenario {
        name: "s",
        title: "T",
        what: "W",
        measures: &[
            Measure {
                figure: "rate",
                title: "Rate",
                better: Better::More,
                goals: &[Goal::Times(Who::Kernel, 2.0), Goal::Value(100.0)],
            },
            Measure {
                figure: "delay",
                title: "Delay",
                better: Better::Less,
                goals: &[Goal::Times(Who::Kernel, 0.5)],
            },
        ],
        contestants: &[
            Contestant::new("ours", Who::Ours, "", "memcpy", &[]).among("one"),
            Contestant::new("slow", Who::Kernel, "", "memcpy", &[]).among("one"),
            Contestant::new("fast", Who::Kernel, "", "memcpy", &[]).among("one"),
            Contestant::new("other", Who::Kernel, "", "memcpy", &[]).among("many"),
        ],
        axis: None,
    };
    const NEAR: (f64, f64) = (80.0, 90.0);
    const FAR: (f64, f64) = (380.0, 390.0);
    const CHANGED: (f64, f64) = (80.0, 390.0);

    fn run(contestant: &str, round: u32, probes: (f64, f64), rate: f64, delay: f64) -> Record {
        let mut line = Line::new(Medium::Memory).figure("rate", rate, Unit::PerSecond).figure(
            "delay",
            delay,
            Unit::Nanoseconds,
        );
        line.stages = vec![Stage { name: "rx".into(), cycles: rate }];
        outcome(contestant, round, probes, Outcome::Done(line))
    }

    fn outcome(contestant: &str, round: u32, (before, after): (f64, f64), outcome: Outcome) -> Record {
        Record::Run(Run {
            scenario: "s".into(),
            contestant: contestant.into(),
            round,
            time: 1.0,
            probe_before: before,
            probe_after: after,
            command: vec![],
            outcome,
        })
    }

    fn summary(records: Vec<Record>) -> ScenarioSummary {
        ScenarioSummary::of(SCENARIO, &Folder { path: "out".into(), records }).expect("runs")
    }

    fn ratio<'a>(summary: &'a ScenarioSummary, figure: &str, theirs: &str) -> &'a Split {
        let found = summary.ratios.iter().find(|ratio| ratio.figure == figure && ratio.theirs == theirs);
        &found.expect("a ratio").ratio
    }

    #[test]
    fn near_and_far_are_kept_apart_and_changes_count_among_all_alone() {
        let summary = summary(vec![
            run("ours", 1, NEAR, 100.0, 1.0),
            run("ours", 2, FAR, 50.0, 1.0),
            run("ours", 3, CHANGED, 70.0, 1.0),
            run("fast", 1, NEAR, 20.0, 1.0),
            run("fast", 2, NEAR, 20.0, 1.0),
            run("fast", 3, CHANGED, 10.0, 1.0),
        ]);
        let rate = summary.contestants[0].figures["rate"].all;
        let runs = |spread: Option<Spread>| spread.map(|spread| (spread.runs, spread.median));
        assert_eq!(
            (runs(rate.all), runs(rate.near), runs(rate.far)),
            (Some((3, 70.0)), Some((1, 100.0)), Some((1, 50.0)))
        );
        // Round 2 was far for one and near for the other.
        let ratio = ratio(&summary, "rate", "fast");
        assert_eq!(
            (runs(ratio.all), runs(ratio.near), runs(ratio.far)),
            (Some((3, 5.0)), Some((1, 5.0)), None)
        );
        assert_eq!(
            summary.contestants[0].stages,
            [("rx".to_owned(), Spread { runs: 3, median: 70.0, min: 50.0, max: 100.0 })]
        );
    }

    #[test]
    fn a_goal_is_against_the_best_of_the_same_class() {
        let summary = summary(vec![
            run("ours", 1, NEAR, 90.0, 40.0),
            run("slow", 1, NEAR, 10.0, 70.0),
            run("fast", 1, NEAR, 60.0, 100.0),
            run("other", 1, NEAR, 1000.0, 1.0),
        ]);
        let verdicts: Vec<(&str, &str, bool)> =
            summary.verdicts.iter().map(|v| (v.figure, v.goal.as_str(), v.met)).collect();
        let wanted = [
            ("rate", "at least 2 × fast, the best of: kernel", false),
            ("rate", "at least 100 1/s", false),
            ("delay", "at most 0.5 × slow, the best of: kernel", false),
        ];
        assert_eq!(verdicts, wanted);
        assert_eq!(summary.verdicts[0].reached, 1.5);
        assert!(summary.ratios.iter().all(|ratio| ratio.theirs != "other"));
    }

    #[test]
    fn a_goal_is_met_on_its_own_side() {
        let summary = summary(vec![run("ours", 1, NEAR, 120.0, 30.0), run("fast", 1, NEAR, 60.0, 60.0)]);
        assert!(summary.verdicts.iter().all(|verdict| verdict.met), "{:?}", summary.verdicts);
        assert_eq!(summary.verdicts.len(), 3);
    }

    #[test]
    fn what_failed_is_told_until_it_is_made_good() {
        let failed = |round| outcome("fast", round, NEAR, Outcome::Failed("no".into()));
        let summary = summary(vec![failed(1), failed(2), run("fast", 1, NEAR, 1.0, 1.0)]);
        assert_eq!(summary.contestants[0].failures, ["round 2: no"]);
        assert_eq!(summary.contestants[0].figures["rate"].each.len(), 1);
    }

    #[test]
    fn the_page_has_plots_of_rates_stages_and_percentiles_and_says_in_memory() {
        let mut times = hdrhistogram::Histogram::<u64>::new(3).expect("a histogram");
        (1..=1000).for_each(|n| times.record(n).expect("in range"));
        let line =
            Line::new(Medium::Memory).figure("rate", 5.0, Unit::PerSecond).latency(&times).stage("rx", 9.0);
        let summary = summary(vec![outcome("ours", 1, NEAR, Outcome::Done(line))]);
        let blocks = super::super::plots::all(&summary).expect("plots");
        let titles: Vec<&str> = blocks
            .iter()
            .map(|block| match block {
                super::super::page::Block::Plot { title, svg, .. } => {
                    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
                    title.as_str()
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(titles, ["Rate", "Percentiles", "Cycles per burst, by stage"]);
    }

    #[test]
    fn points_on_an_axis_become_a_curve() {
        const fn at(name: &'static str, at: f64) -> Contestant {
            let mut contestant = Contestant::new(name, Who::Ours, "", "memcpy", &[]);
            contestant.at = Some(at);
            contestant
        }
        const SCALE: &Scenario = &Scenario {
            name: "s",
            title: "T",
            what: "W",
            measures: &[Measure { figure: "rate", title: "Rate", better: Better::More, goals: &[] }],
            contestants: &[at("one", 1.0), at("million", 1e6)],
            axis: Some("connections"),
        };
        let records = vec![run("one", 1, NEAR, 10.0, 1.0), run("million", 1, NEAR, 9.0, 1.0)];
        let folder = Folder { path: "out".into(), records };
        let summary = ScenarioSummary::of(SCALE, &folder).expect("runs");
        let blocks = super::super::plots::all(&summary).expect("plots");
        let curve = blocks.iter().find_map(|block| match block {
            super::super::page::Block::Plot { title, svg, .. } if title == "Rate by connections" => Some(svg),
            _ => None,
        });
        let curve = curve.expect("a curve");
        assert!(curve.contains("<polyline") && curve.contains("ours"), "{curve}");
    }
}
