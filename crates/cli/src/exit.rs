//! How the program ends: the exit codes, as documented in `--help`.

use std::process::ExitCode;

/// What an exit code says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Everything was sent and acknowledged.
    Success,
    /// An input or output file failed.
    File,
    /// The command line or the configuration file is wrong.
    Usage,
    /// The device or EAL could not start.
    Start,
    /// The peer refused the connection.
    Refused,
    /// The peer cannot be reached.
    Unreachable,
    /// Nobody answered in time.
    TimedOut,
    /// The peer reset the connection.
    Reset,
    /// The device failed while running, or a check on it did.
    Device,
    /// A signal ended the run.
    Signal(u8),
}

impl Exit {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::File => 1,
            Exit::Usage => 2,
            Exit::Start => 3,
            Exit::Refused => 4,
            Exit::Unreachable => 5,
            Exit::TimedOut => 6,
            Exit::Reset => 7,
            Exit::Device => 8,
            // The shell's own convention for a process that a signal ended.
            Exit::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_exit_code() {
        let listed: Vec<u8> = crate::args::EXIT_CODES
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        let all = [
            Exit::Success,
            Exit::File,
            Exit::Usage,
            Exit::Start,
            Exit::Refused,
            Exit::Unreachable,
            Exit::TimedOut,
            Exit::Reset,
            Exit::Device,
            Exit::Signal(2),
        ];
        assert_eq!(listed, all.map(Exit::code));
        assert!(crate::args::EXIT_CODES.contains("143: by SIGTERM"));
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}
