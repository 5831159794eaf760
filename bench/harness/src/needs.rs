//! What a contestant needs that may not be there, and the command that mends that.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use crate::failure::Failure;

/// Something without which a contestant cannot run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Root,
    /// A program beside this one or on the PATH.
    Program(Program),
    /// So many CPUs.
    Cpus(usize),
    /// So many hugepages of 2 MiB, which are reserved for the run and given back.
    Hugepages(usize),
}

/// A program and how it is had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// A command to type.
    pub(crate) install: &'static str,
}

pub(crate) const IPERF3: Program = Program { name: "iperf3", install: "sudo apt-get install iperf3" };
pub(crate) const ETHTOOL: Program = Program { name: "ethtool", install: "sudo apt-get install ethtool" };
pub(crate) const TSONAMI: Program =
    Program { name: "tsonami", install: "cargo build --release -p tsonami-cli" };

impl Program {
    /// Where it is: beside this program, as after a build, or on the PATH.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let path = std::env::var_os("PATH").unwrap_or_default();
        beside.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(self.name)).find(
            |file| {
                use std::os::unix::fs::PermissionsExt as _;
                fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
            },
        )
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Root => f.write_str("root"),
            Need::Program(program) => f.write_str(program.name),
            Need::Cpus(n) => write!(f, "{n} CPUs"),
            Need::Hugepages(n) => write!(f, "{n} hugepages"),
        }
    }
}

/// What of these is not there: a sentence and the command that mends it. Hugepages are asked for when it runs.
pub(crate) fn missing(needs: &[Need]) -> Result<(), Failure> {
    for need in needs {
        match need {
            Need::Root if !rustix::process::geteuid().is_root() => {
                return Err(Failure::new("it needs root").mend("sudo tsonami-bench …"));
            }
            Need::Program(program) if program.find().is_none() => {
                return Err(Failure::new(format!("{} is not installed", program.name)).mend(program.install));
            }
            Need::Cpus(n) if crate::machine::cpus() < *n => {
                let there = crate::machine::cpus();
                return Err(Failure::new(format!("it needs {n} CPUs and there are {there}"))
                    .mend("run it on a larger machine"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_with_what_installs_it() {
        let nowhere = Program { name: "no-such-program", install: "sudo apt-get install no-such-program" };
        let failure = missing(&[Need::Program(nowhere)]).expect_err("missing").to_string();
        assert!(failure.contains("no-such-program is not installed"), "{failure}");
        assert!(failure.contains("mend it: sudo apt-get install no-such-program"), "{failure}");
        assert!(missing(&[Need::Program(Program { name: "sh", install: "" })]).is_ok());
        assert!(missing(&[Need::Cpus(100_000)]).is_err());
    }
}
