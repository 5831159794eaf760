//! What a scenario is: contestants that run in turn, and the measures by which they are compared.

use std::fmt;

use crate::failure::Failure;
use crate::needs::Need;
use crate::scenarios::SCENARIOS;

/// One row of docs/results: who is compared, and by what.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// As it is typed.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// A sentence or two: what is measured, and how.
    pub(crate) what: &'static str,
    /// The first is the one that plots show.
    pub(crate) measures: &'static [Measure],
    /// In the order in which they take turns.
    pub(crate) contestants: &'static [Contestant],
    /// What [`Contestant::at`] counts, for a curve over it.
    pub(crate) axis: Option<&'static str>,
}

/// A figure by which contestants are compared.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Its name in a [`Line`](crate::line::Line).
    pub(crate) figure: &'static str,
    pub(crate) title: &'static str,
    pub(crate) better: Better,
    pub(crate) goals: &'static [Goal],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Better {
    More,
    Less,
}

/// What ours has to reach.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Goal {
    /// So many times what the best of these reach: at least, or at most where less is better.
    Times(Who, f64),
    /// This value: at least, or at most where less is better.
    Value(f64),
}

/// Whose a contestant is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    Ours,
    /// The kernel's sockets, by whatever program.
    Kernel,
    /// What no stack can pass: a copy, frames without TCP.
    Limit,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Who::Ours => "ours",
            Who::Kernel => "kernel",
            Who::Limit => "limit",
        })
    }
}

/// One that takes its turn: a part of this program, which may start others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contestant {
    /// As it is typed and as tables show it; once in a scenario.
    pub(crate) name: &'static str,
    pub(crate) who: Who,
    /// What it does, in a few words.
    pub(crate) what: &'static str,
    /// The words after `tsonami-bench part`, options of all parts aside.
    pub(crate) part: &'static str,
    pub(crate) needs: &'static [Need],
    /// Whom it is compared with: those of the same class, such as "64 connections". Empty where all do the same.
    pub(crate) class: &'static str,
    /// Its place on the scenario's axis, if it is a point of a curve; curves are told apart by [`Who`].
    pub(crate) at: Option<f64>,
}

impl Contestant {
    /// One that is on no curve and compared with all.
    pub(crate) const fn new(
        name: &'static str,
        who: Who,
        what: &'static str,
        part: &'static str,
        needs: &'static [Need],
    ) -> Contestant {
        Contestant { name, who, what, part, needs, class: "", at: None }
    }

    /// Compared with others of this class only.
    pub(crate) const fn among(mut self, class: &'static str) -> Contestant {
        self.class = class;
        self
    }
}

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Result<&'static Scenario, Failure> {
    SCENARIOS.iter().copied().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        Failure::new(format!("there is no scenario '{name}'"))
            .mend(format!("name one of {}", names.join(", ")))
    })
}

/// What `tsonami-bench list` prints.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for scenario in SCENARIOS {
        text += &format!("{}  {}\n    {}\n", scenario.name, scenario.title, scenario.what);
        for measure in scenario.measures {
            let (bound, direction) = match measure.better {
                Better::More => ("at least", "more is better"),
                Better::Less => ("at most", "less is better"),
            };
            let goals = measure.goals.iter().map(|goal| match goal {
                Goal::Times(who, times) => format!("; goal: {bound} {times} × the best of: {who}"),
                Goal::Value(value) => format!("; goal: {bound} {value}"),
            });
            let goals: String = goals.collect();
            text += &format!("    measure  {} ({}): {direction}{goals}\n", measure.title, measure.figure);
        }
        for contestant in scenario.contestants {
            let needs: Vec<String> = contestant.needs.iter().map(Need::to_string).collect();
            let needs = if needs.is_empty() { "nothing".into() } else { needs.join(", ") };
            text += &format!(
                "    {:<24} {:<7} {}; needs {needs}\n",
                contestant.name,
                contestant.who.to_string(),
                contestant.what
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser as _;

    use super::*;
    use crate::parts::PartArgs;

    #[test]
    fn names_are_unique_and_every_part_is_one() {
        let mut scenarios = BTreeSet::new();
        for scenario in SCENARIOS {
            assert!(scenarios.insert(scenario.name), "{} twice", scenario.name);
            assert!(!scenario.measures.is_empty(), "{} measures nothing", scenario.name);
            let mut names = BTreeSet::new();
            for contestant in scenario.contestants {
                let name = contestant.name;
                assert!(names.insert(name), "{name} twice in {}", scenario.name);
                assert!(
                    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                    "{name} becomes the name of a file"
                );
                assert_eq!(
                    contestant.at.is_some(),
                    scenario.axis.is_some(),
                    "{name} is on the scenario's axis"
                );
                if let Err(error) =
                    PartArgs::try_parse_from(["part"].into_iter().chain(contestant.part.split(' ')))
                {
                    panic!("{name} of {}: {error}", scenario.name);
                }
            }
        }
    }

    #[test]
    fn a_goal_is_against_somebody_who_runs() {
        for scenario in SCENARIOS {
            for measure in scenario.measures {
                for goal in measure.goals {
                    if let Goal::Times(who, _) = goal {
                        let there = scenario.contestants.iter().any(|contestant| contestant.who == *who);
                        assert!(there, "{}: nobody is of {who}", scenario.name);
                    }
                }
            }
        }
    }

    #[test]
    fn an_unknown_scenario_is_answered_with_those_there_are() {
        let failure = find("p99").expect_err("unknown").to_string();
        assert!(failure.contains("'p99'") && failure.contains("p1a, p1b"), "{failure}");
    }

    #[test]
    fn the_list_names_everything() {
        let list = list();
        for scenario in SCENARIOS {
            assert!(list.contains(&format!("{}  {}", scenario.name, scenario.title)));
            assert!(scenario.contestants.iter().all(|contestant| list.contains(contestant.what)));
        }
        assert!(list.contains("needs root, iperf3"), "{list}");
    }
}
