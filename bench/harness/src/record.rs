//! What a folder of runs holds: a line of JSON for each session and each run, from which all pages are made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::line::Line;
use crate::machine::Machine;
use crate::probe::Distance;

/// A line of `runs.jsonl`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Record {
    Session(Session),
    Run(Run),
    Absent(Absent),
}

/// One start of `tsonami-bench run`. The records after it are its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Seconds since 1970.
    pub(crate) began: u64,
    pub(crate) command: Vec<String>,
    pub(crate) sender_cpu: usize,
    pub(crate) receiver_cpu: usize,
    pub(crate) machine: Machine,
}

/// One turn of one contestant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) contestant: String,
    /// From 1 on.
    pub(crate) round: u32,
    /// Measured, seconds.
    pub(crate) time: f64,
    /// A cache line between the CPUs and back before and after, nanoseconds.
    pub(crate) probe_before: f64,
    pub(crate) probe_after: f64,
    pub(crate) command: Vec<String>,
    pub(crate) outcome: Outcome,
}

impl Run {
    pub(crate) fn distance(&self) -> Distance {
        Distance::of(self.probe_before, self.probe_after)
    }

    /// Its figures, if it got so far.
    pub(crate) fn line(&self) -> Option<&Line> {
        match &self.outcome {
            Outcome::Done(line) => Some(line),
            Outcome::Failed(_) => None,
        }
    }
}

/// What became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Done(Line),
    /// Why.
    Failed(String),
}

/// A contestant that could not run at all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Absent {
    pub(crate) scenario: String,
    pub(crate) contestant: String,
    /// What is not there, and what mends it.
    pub(crate) why: String,
}

/// A folder's records.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) records: Vec<Record>,
}

const RUNS: &str = "runs.jsonl";

impl Folder {
    /// Makes it if it is not there.
    pub(crate) fn create(path: &Path) -> Result<Folder, Failure> {
        std::fs::create_dir_all(path)
            .map_err(|error| Failure::new(format!("cannot make the folder '{}': {error}", path.display())))?;
        if path.join(RUNS).exists() {
            return Folder::open(path);
        }
        Ok(Folder { path: path.to_owned(), records: Vec::new() })
    }

    /// One that is there.
    pub(crate) fn open(path: &Path) -> Result<Folder, Failure> {
        let name = path.join(RUNS);
        let file = File::open(&name).map_err(|error| {
            Failure::new(format!("cannot read '{}': {error}", name.display()))
                .mend("tsonami-bench run p1a --out DIR makes one")
        })?;
        let mut records = Vec::new();
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line?;
            match serde_json::from_str(&line) {
                Ok(record) => records.push(record),
                Err(error) => {
                    return Err(Failure::new(format!("{}:{}: {error}", name.display(), number + 1))
                        .mend("remove that line; the run is made again"));
                }
            }
        }
        Ok(Folder { path: path.to_owned(), records })
    }

    /// Writes one more, at once.
    pub(crate) fn add(&mut self, record: Record) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(&record).map_err(std::io::Error::from)?;
        line.push(b'\n');
        // One write, so that an end in the middle of it leaves whole lines.
        let write = |line: &[u8]| {
            OpenOptions::new().create(true).append(true).open(self.path.join(RUNS))?.write_all(line)
        };
        write(&line).map_err(|error| {
            Failure::new(format!("cannot write '{}': {error}", self.path.join(RUNS).display()))
        })?;
        self.records.push(record);
        Ok(())
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.records.iter().filter_map(|record| match record {
            Record::Run(run) => Some(run),
            _ => None,
        })
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.records.iter().filter_map(|record| match record {
            Record::Session(session) => Some(session),
            _ => None,
        })
    }

    /// Contestants that never ran, and why the last time.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &Absent> {
        let ran = |absent: &Absent| {
            self.runs().any(|run| run.scenario == absent.scenario && run.contestant == absent.contestant)
        };
        let mut last = BTreeMap::new();
        for record in &self.records {
            if let Record::Absent(absent) = record {
                last.insert((&absent.scenario, &absent.contestant), absent);
            }
        }
        last.into_values().filter(move |absent| !ran(absent))
    }
}
