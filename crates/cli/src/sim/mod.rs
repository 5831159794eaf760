//! `tsonami sim`: a scenario from a file, run in the simulator, told in numbers and pictures.

mod file;
mod page;
mod path;
mod plots;
mod report;
mod text;

use std::path::{Path, PathBuf};

use sim::World;

use crate::args::SimArgs;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use file::ScenarioFile;
use report::Report;

/// Runs `tsonami sim`.
pub(crate) fn run(args: &SimArgs, console: &Console) -> Result<Exit, Failure> {
    let mut file = ScenarioFile::read(&args.scenario)?;
    file.seed = args.seed.unwrap_or(file.seed);
    let (page, pcap) = outputs(args)?;

    let mut world = World::new(file.scenario(&args.scenario)?).unobserved();
    world.record();
    world.capture_at(0, &pcap).map_err(|e| unwritable(&pcap, &e))?;
    let ran = match file.duration {
        Some(duration) => world.run_until(tcp::Time::ZERO + duration.into()),
        None => world.run_until(tcp::Time::ZERO + file::LONGEST.into()),
    };
    let ran = ran.and(world.end());
    ran.map_err(|failure| {
        Failure::new(Exit::Device, failure)
            .mend("report it with the scenario and the seed: it happens again every time")
    })?;
    let trace = world.take_trace().unwrap_or_default();
    let report = Report::new(&file, &args.scenario, &world, &trace, [&page, &pcap]);
    let html = page::page(&report, &plots::all(&trace, report.seconds)?);
    std::fs::write(&page, html).map_err(|e| unwritable(&page, &e))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|e| Failure::new(Exit::File, format!("cannot write JSON: {e}")))?;
        console.print(&format!("{json}\n"))?;
    } else {
        console.print(&report.to_string())?;
    }
    Ok(Exit::Success)
}

/// The files that will be written.
fn outputs(args: &SimArgs) -> Result<(PathBuf, PathBuf), Failure> {
    let name = args.out.as_deref().or_else(|| args.scenario.file_stem().map(Path::new));
    let name = name.filter(|name| name.file_name().is_some()).ok_or_else(|| {
        Failure::new(Exit::Usage, "the scenario's path does not end in the name of a file").mend("--out NAME")
    })?;
    let with = |ending: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    Ok((with(".html"), with(".pcap")))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::File, format!("cannot write '{}': {error}", path.display()))
        .mend("--out PATH, in a folder that exists and that you may write to")
}
