//! Who runs when: contestants in turn, round after round, without what is there already.

use crate::failure::Failure;
use crate::record::Folder;
use crate::scenario::{Contestant, Scenario};

/// A turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) scenario: &'static Scenario,
    pub(super) contestant: &'static Contestant,
    /// From 1 on.
    pub(super) round: u32,
}

/// All turns that the folder lacks: A B C A B C ….
pub(super) fn plan(
    scenarios: &[&'static Scenario],
    only: &[String],
    repeat: u32,
    time: f64,
    folder: &Folder,
) -> Result<Vec<Turn>, Failure> {
    let everybody = || scenarios.iter().flat_map(|scenario| scenario.contestants);
    if let Some(name) = only.iter().find(|name| everybody().all(|contestant| contestant.name != **name)) {
        let names: Vec<&str> = everybody().map(|contestant| contestant.name).collect();
        return Err(Failure::new(format!("there is no contestant '{name}'"))
            .mend(format!("name some of {}", names.join(", "))));
    }
    let mut turns = Vec::new();
    for &scenario in scenarios {
        if let Some(run) = folder.runs().find(|run| run.scenario == scenario.name && run.time != time) {
            return Err(Failure::new(format!(
                "'{}' has runs of {} of {} s, which do not compare with runs of {time} s",
                folder.path.display(),
                scenario.name,
                run.time
            ))
            .mend(format!("--time {}, or another folder for --out", run.time)));
        }
        for round in 1..=repeat {
            for contestant in scenario.contestants {
                if !only.is_empty() && !only.iter().any(|name| name == contestant.name) {
                    continue;
                }
                let turn = Turn { scenario, contestant, round };
                if !there(&turn, folder) {
                    turns.push(turn);
                }
            }
        }
    }
    Ok(turns)
}

/// It was run, with success: what failed is tried again.
fn there(turn: &Turn, folder: &Folder) -> bool {
    folder.runs().any(|run| {
        run.scenario == turn.scenario.name
            && run.contestant == turn.contestant.name
            && run.round == turn.round
            && run.line().is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Line, Medium, Unit};
    use crate::record::{Outcome, Record, Run};
    use crate::scenario::{Better, Measure, Who};

    const SCENARIO: Scenario = Scenario {
        name: "s",
        title: "",
        what: "",
        measures: &[Measure { figure: "x", title: "", better: Better::More, goals: &[] }],
        contestants: &[
            Contestant::new("a", Who::Ours, "", "memcpy", &[]),
            Contestant::new("b", Who::Kernel, "", "memcpy", &[]),
            Contestant::new("c", Who::Limit, "", "memcpy", &[]),
        ],
        axis: None,
    };

    fn folder(runs: &[(&str, u32, bool)]) -> Folder {
        let records = runs.iter().map(|&(contestant, round, success)| {
            let line = Line::new(Medium::Memory).figure("x", 1.0, Unit::Count);
            Record::Run(Run {
                scenario: "s".into(),
                contestant: contestant.into(),
                round,
                time: 5.0,
                probe_before: 80.0,
                probe_after: 80.0,
                command: vec![],
                outcome: if success { Outcome::Done(line) } else { Outcome::Failed("no".into()) },
            })
        });
        Folder { path: "out".into(), records: records.collect() }
    }

    fn order(only: &[&str], time: f64, folder: &Folder) -> Result<Vec<String>, String> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let turns = plan(&[&SCENARIO], &only, 2, time, folder).map_err(|failure| failure.to_string())?;
        Ok(turns.iter().map(|turn| format!("{}{}", turn.contestant.name, turn.round)).collect())
    }

    #[test]
    fn contestants_take_turns() {
        assert_eq!(order(&[], 5.0, &folder(&[])).expect("a plan"), ["a1", "b1", "c1", "a2", "b2", "c2"]);
        assert_eq!(order(&["c", "a"], 5.0, &folder(&[])).expect("a plan"), ["a1", "c1", "a2", "c2"]);
    }

    #[test]
    fn what_is_there_is_not_run_again_but_what_failed_is() {
        let folder = folder(&[("a", 1, true), ("b", 1, false), ("c", 1, true), ("a", 2, true)]);
        assert_eq!(order(&[], 5.0, &folder).expect("a plan"), ["b1", "b2", "c2"]);
    }

    #[test]
    fn runs_of_another_length_are_not_mixed() {
        let why = order(&[], 1.0, &folder(&[("a", 1, true)])).expect_err("refused");
        assert!(why.contains("'out' has runs of s of 5 s") && why.contains("--time 5"), "{why}");
    }

    #[test]
    fn an_unknown_contestant_is_answered_with_those_there_are() {
        let why = order(&["d"], 5.0, &folder(&[])).expect_err("refused");
        assert!(why.contains("'d'") && why.contains("a, b, c"), "{why}");
    }
}
