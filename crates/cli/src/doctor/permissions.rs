//! Who we are, and what that allows.

use super::host::Capability;
use super::{Finding, Host};

/// The command an ordinary user starts with: namespaces of one's own, where one is root.
pub(crate) const UNSHARE: &str = "unshare -Urn tsonami send ...";

/// Whether `--dev af_packet:` can work.
pub(super) fn packet_sockets(host: &Host) -> Finding {
    let subject = "packet sockets";
    if host.has(Capability::NetRaw) {
        Finding::good(subject, "CAP_NET_RAW: --dev af_packet:IFACE can work")
    } else {
        Finding::missing(subject, "no CAP_NET_RAW: --dev af_packet:IFACE cannot work")
            .mend("sudo tsonami send ...")
    }
}

/// Root, capabilities, namespaces: what a TAP needs.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let root = host.euid() == Some(0);
    let admin = host.has(Capability::NetAdmin);
    let subject = "permissions";
    if root && admin && !host.in_user_namespace() {
        return vec![Finding::good(subject, "root")];
    }
    if root && admin {
        return vec![Finding::note(
            subject,
            "root inside a user namespace: TAP works in a network namespace made with it (unshare -Urn); \
             network cards and hugepages belong to the real root",
        )];
    }
    if admin {
        return vec![Finding::good(subject, "an ordinary user with CAP_NET_ADMIN")];
    }
    let mut findings = Vec::new();
    let finding = Finding::broken(subject, "an ordinary user without CAP_NET_ADMIN cannot make a TAP")
        .mend("sudo tsonami send ...");
    let allowed = user_namespaces(host);
    match allowed {
        Ok(()) => findings.push(finding.mend(UNSHARE)),
        Err(reason) => {
            findings.push(finding);
            findings.push(reason);
        }
    }
    findings
}

/// Whether an ordinary user may make namespaces.
fn user_namespaces(host: &Host) -> Result<(), Finding> {
    let subject = "namespaces";
    let off = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone", 0, 1),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "kernel.apparmor_restrict_unprivileged_userns",
            1,
            0,
        ),
        ("/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 0, 10_000),
    ];
    for (path, name, bad, good) in off {
        if host.number(path) == Some(bad) {
            return Err(Finding::missing(
                subject,
                format!("ordinary users may not make user namespaces ({name} is {bad})"),
            )
            .mend(format!("sudo sysctl -w {name}={good}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::super::testing::{made_up, put, put_user};
    use super::*;

    #[test]
    fn an_ordinary_user_is_told_of_unshare() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 1000, 0);
        let findings = check(&made_up(root.path()));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].health, Health::Broken);
        assert_eq!(findings[0].mend, ["sudo tsonami send ...", UNSHARE]);
    }

    #[test]
    fn where_namespaces_are_forbidden_the_sysctl_is_named_instead() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 1000, 0);
        put(root.path(), "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
        let findings = check(&made_up(root.path()));
        assert_eq!(findings[0].mend, ["sudo tsonami send ..."]);
        assert_eq!(findings[1].mend, ["sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"]);
    }

    #[test]
    fn packet_sockets_need_their_capability() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 1000, 1 << 12);
        assert_eq!(packet_sockets(&made_up(root.path())).health, Health::Missing);
        put_user(root.path(), 1000, 1 << 13);
        assert_eq!(packet_sockets(&made_up(root.path())).health, Health::Ok);
    }

    #[test]
    fn root_is_good_also_in_a_namespace() {
        let root = tempfile::tempdir().unwrap();
        put_user(root.path(), 0, u64::MAX);
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Ok);
        put(root.path(), "/proc/self/uid_map", "0 1000 1\n");
        assert_eq!(check(&made_up(root.path()))[0].health, Health::Note);
    }
}
