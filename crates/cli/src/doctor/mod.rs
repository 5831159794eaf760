//! `tsonami doctor`: looks at the machine, changes nothing, and names the exact command that mends what is missing.
//!
//! Each check reads a [`Host`] and returns [`Finding`]s, so that tests can show it any machine.

mod cpu;
mod dpdk;
mod finding;
mod host;
pub(crate) mod hugepages;
pub(crate) mod nics;
mod permissions;
mod tap;
mod vhost;

use crate::args::DoctorArgs;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) use finding::{Finding, Health};
pub(crate) use host::Host;
#[cfg(test)]
pub(crate) use host::testing;

/// Runs every check and reports.
pub(crate) fn run(args: &DoctorArgs, console: &Console) -> Result<Exit, Failure> {
    let findings = examine(&Host::this_machine());
    if args.json {
        console.print(&json(&findings))?;
    } else {
        console.print(&text(&findings))?;
    }
    Ok(if can_send(&findings) { Exit::Success } else { Exit::Start })
}

/// What decides whether a TAP can be made.
pub(crate) fn tap_findings(host: &Host) -> Vec<Finding> {
    [permissions::check(host), tap::check(host)].concat()
}

/// Every check, in the order a person would want to read them.
fn examine(host: &Host) -> Vec<Finding> {
    let mut findings = vec![dpdk::library(host)];
    findings.extend(tap_findings(host));
    findings.push(permissions::packet_sockets(host));
    findings.extend(hugepages::check(host));
    findings.extend(vhost::check(host));
    findings.extend(nics::check(host));
    findings.extend(cpu::check(host));
    findings
}

/// Whether `tsonami send` can work: nothing it cannot do without is broken.
fn can_send(findings: &[Finding]) -> bool {
    findings.iter().all(|f| f.health != Health::Broken)
}

fn text(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(|f| format!("{f}\n")).collect();
    text.push_str(if can_send(findings) {
        "\n'tsonami send' can work here.\n"
    } else {
        "\n'tsonami send' cannot work here yet: see what is marked [broken].\n"
    });
    text
}

fn json(findings: &[Finding]) -> String {
    let report = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "can_send": can_send(findings),
        "findings": findings,
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_send_cannot_do_without_makes_it_fail() {
        let missing = Finding::missing("hugepages", "none are reserved").mend("reserve some");
        assert!(can_send(&[Finding::good("a", "b"), missing.clone()]));
        assert!(!can_send(&[missing, Finding::broken("tap", "no /dev/net/tun")]));
    }

    #[test]
    fn findings_read_as_health_subject_state_and_the_mending_command() {
        let findings = [
            Finding::good("DPDK", "22.11"),
            Finding::broken("TAP", "no /dev/net/tun").mend("modprobe tun").mend("mknod ..."),
        ];
        assert_eq!(
            text(&findings),
            "[ok]      DPDK: 22.11\n\
             [broken]  TAP: no /dev/net/tun\n\
             \x20         mend it: modprobe tun\n\
             \x20              or: mknod ...\n\
             \n'tsonami send' cannot work here yet: see what is marked [broken].\n"
        );
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(json["can_send"], false);
        assert_eq!(json["findings"][1]["health"], "broken");
        assert_eq!(json["findings"][1]["mend"][0], "modprobe tun");
    }
}
