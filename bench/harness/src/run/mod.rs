//! `tsonami-bench run`: contestants in turn, each between two probes, until all have had their turns or somebody stops it.

mod child;
mod hugepages;
mod plan;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::line::Line;
use crate::machine::Machine;
use crate::needs;
use crate::probe;
use crate::record::{Absent, Folder, Outcome, Record, Run, Session};
use crate::report;
use crate::scenario::{self, Scenario};

use self::child::{Child, End};
use self::hugepages::Hugepages;
use self::plan::{Turn, plan};

/// Runs scenarios, and writes raw lines, tables and plots to a folder. What the folder has already is not run again
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Which (see `tsonami-bench list`), or all
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// The folder
    #[arg(long)]
    out: PathBuf,
    /// Turns of each contestant
    #[arg(long, default_value_t = 5)]
    repeat: u32,
    /// Seconds of a turn that are measured
    #[arg(long, default_value_t = 5.0)]
    time: f64,
    /// These contestants only
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The CPU that sends, or asks
    #[arg(long, default_value_t = 1)]
    sender_cpu: usize,
    /// The CPU that receives, or answers
    #[arg(long, default_value_t = 0)]
    receiver_cpu: usize,
}

/// What may pass beside the measured time of a turn: start, warm-up, end.
const ALLOWANCE: Duration = Duration::from_secs(90);

/// Runs what is not there yet, and writes the report of what is there then.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    if !(args.time > 0.0 && args.time.is_finite()) {
        return Err(Failure::new(format!("{} seconds cannot be measured", args.time)).mend("--time 5"));
    }
    let scenarios = chosen(&args.scenarios)?;
    let mut folder = Folder::create(&args.out)?;
    let turns = plan(&scenarios, &args.only, args.repeat, args.time, &folder)?;
    let stop = stop_on_signals()?;
    let runner = Runner { args, stop, bar: bar(turns.len()) };
    let ended = runner.all(&turns, &mut folder);
    runner.bar.finish_and_clear();
    // Whatever ended it: what is there is worth a report.
    let written = report::write(&args.out)?;
    let failed = ended?;
    for file in written {
        println!("{}", file.display());
    }
    if runner.stopped() {
        eprintln!("stopped; the same command goes on from here");
        return Ok(ExitCode::from(130));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>, Failure> {
    if names == ["all"] {
        return Ok(crate::scenarios::SCENARIOS.to_vec());
    }
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in names {
        let scenario = scenario::find(name)?;
        if !chosen.iter().any(|other| other.name == scenario.name) {
            chosen.push(scenario);
        }
    }
    Ok(chosen)
}

fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Progress, where a person watches.
fn bar(turns: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {msg} ({eta} left)");
    let bar = ProgressBar::with_draw_target(Some(turns as u64), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Runner<'a> {
    args: &'a RunArgs,
    stop: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl Runner<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A line for who watches, whether at a terminal or in a log.
    fn say(&self, line: &str) {
        if self.bar.is_hidden() { eprintln!("{line}") } else { self.bar.println(line) }
    }

    /// Runs all turns, or those until a signal; returns how many failed.
    fn all(&self, turns: &[Turn], folder: &mut Folder) -> Result<usize, Failure> {
        if turns.is_empty() {
            self.say("nothing to run: the folder has all of it");
            return Ok(0);
        }
        folder.add(Record::Session(self.session()))?;
        let mut absent: Vec<(&str, &str)> = Vec::new();
        let mut failed = 0;
        for turn in turns {
            if self.stopped() {
                break;
            }
            let (scenario, contestant) = (turn.scenario.name, turn.contestant.name);
            self.bar.set_message(format!("{scenario} {contestant}"));
            if absent.contains(&(scenario, contestant)) {
                self.bar.inc(1);
                continue;
            }
            if let Err(why) = needs::missing(turn.contestant.needs) {
                let why = why.to_string();
                self.say(&format!("{scenario} {contestant}: not run: {why}"));
                absent.push((scenario, contestant));
                folder.add(Record::Absent(Absent {
                    scenario: scenario.into(),
                    contestant: contestant.into(),
                    why,
                }))?;
                self.bar.inc(1);
                continue;
            }
            let Some(run) = self.once(turn, folder)? else { break };
            self.say(&told(turn, &run));
            failed += usize::from(run.line().is_none());
            folder.add(Record::Run(run))?;
            self.bar.inc(1);
        }
        Ok(failed)
    }

    fn session(&self) -> Session {
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Session {
            began,
            command: std::env::args().collect(),
            sender_cpu: self.args.sender_cpu,
            receiver_cpu: self.args.receiver_cpu,
            machine: Machine::read(),
        }
    }

    /// One turn; `None` when a signal ended it.
    fn once(&self, turn: &Turn, folder: &Folder) -> Result<Option<Run>, Failure> {
        let _pages = Hugepages::reserve(turn.contestant.needs)?;
        let Turn { scenario, contestant, round } = turn;
        let words = self.words(contestant.part);
        let probe = || probe::between(self.args.sender_cpu, self.args.receiver_cpu);
        let probe_before = probe()?;
        let name = format!("{}-{}-{round}", scenario.name, contestant.name);
        let limit = Duration::from_secs_f64(self.args.time * 2.0) + ALLOWANCE;
        let outcome = match Child::start(&words, &folder.path.join("logs"), &name)?.wait(limit, &self.stop)? {
            End::Stopped => return Ok(None),
            End::Failed(why) => Outcome::Failed(why),
            End::Printed(text) => match Line::parse(&text) {
                Ok(line) => Outcome::Done(line),
                Err(why) => Outcome::Failed(why.to_string()),
            },
        };
        Ok(Some(Run {
            scenario: scenario.name.into(),
            contestant: contestant.name.into(),
            round: *round,
            time: self.args.time,
            probe_before,
            probe_after: probe()?,
            command: [vec!["tsonami-bench".to_owned()], words].concat(),
            outcome,
        }))
    }

    /// What a contestant's child is told.
    fn words(&self, part: &str) -> Vec<String> {
        let RunArgs { time, sender_cpu, receiver_cpu, .. } = self.args;
        let setting = format!("part --time {time} --sender-cpu {sender_cpu} --receiver-cpu {receiver_cpu}");
        setting.split(' ').chain(part.split(' ')).map(str::to_owned).collect()
    }
}

/// What became of a turn, in a line.
fn told(turn: &Turn, run: &Run) -> String {
    let Turn { scenario, contestant, round } = turn;
    let who = format!("{} {} #{round}", scenario.name, contestant.name);
    let measure = scenario.measures.first();
    match (&run.outcome, measure) {
        (Outcome::Failed(why), _) => format!("{who}: failed: {why}"),
        (Outcome::Done(line), Some(measure)) => match line.figures.get(measure.figure) {
            Some(figure) => format!(
                "{who}: {} {} ({})",
                report::number(figure.value),
                figure.unit.says(),
                run.distance().says()
            ),
            None => format!("{who}: done, without the figure '{}'", measure.figure),
        },
        (Outcome::Done(_), None) => format!("{who}: done"),
    }
}
